"""Many scans -> a predictions folder: masks, maps, and the record of each case, written as it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from semivox.cohort import (
    CHOICES,
    Case,
    case_identity,
    ending_of,
    label_entries,
    mask_ending,
    quick_sha256,
    read_case,
    stem_of,
    write_volume,
)
from semivox.cohort.dataset_json import LABEL_KEYS
from semivox.contents import RunOfMask
from semivox.errors import DataError, DiskFault, SemivoxError, SettingsError
from semivox.files import inside, read_json, real_path, refuse_full, remove_file, write_json
from semivox.inference.predictor import Predictor
from semivox.inference.promise import UNCALIBRATED, Calibration
from semivox.inference.ranges import departures
from semivox.inference.record import Record, Row
from semivox.inference.segmentation import Segmentation
from semivox.machine import freed_memory_kept
from semivox.output_places import refuse_in_run
from semivox.prepare import appearance

PROBABILITIES, UNCERTAINTY = "probabilities", "uncertainty"
MASK_SHARE, MAP_SHARE = 0.01, 0.1
"""Of a scan's file: what its mask, and each map of a class, takes at least."""

Rest = Callable[[], tuple[Row, bool]]
"""What is left to do for a case: gives its row, and whether it was predicted now (else it was up to date)."""


@dataclass(frozen=True)
class Wanted:
    """What is written: the masks' ``format`` and which maps lie beside them."""

    format: str = "same"
    probabilities: bool = False
    uncertainty: bool = False


@dataclass(frozen=True)
class PredictionReport:
    """What happened: ``rows`` of this call by case; ``skipped`` cases were up to date already, files that are
    ``left_out`` are no scans, nor are the DICOM series of ``notes``."""

    out: Path
    model_id: str
    rows: tuple[Row, ...]
    skipped: tuple[str, ...]
    left_out: tuple[Path, ...] = ()
    notes: tuple[DataError, ...] = ()
    undertrained: str | None = None
    """The warning that the model is not to be used, where it says so."""
    calibration: Mapping[str, Any] | None = None
    """What promises rest on (:meth:`semivox.inference.promise.Calibration.to_json`)."""
    stored: tuple[Path, ...] = ()
    """Masks that a DICOMweb server has now, compared with what it gives back."""
    not_stored: tuple[DataError, ...] = ()
    """Why it has not others."""

    @property
    def failed(self) -> tuple[Row, ...]:
        """Cases without a mask; not empty: the command ends with exit code 3."""
        return tuple(row for row in self.rows if row.status == "failed")

    @property
    def review(self) -> tuple[Row, ...]:
        """Cases a person should look at."""
        return tuple(row for row in self.rows if row.flag == "review")


def predict_folder(
    model: Predictor,
    scans: Sequence[Case],
    out: Path,
    wanted: Wanted,
    *,
    faults: Mapping[str, DataError] | None = None,
    left_out: tuple[Path, ...] = (),
    notes: tuple[DataError, ...] = (),
    calibration: Calibration = UNCALIBRATED,
    skip_existing: bool = False,
    fail_fast: bool = False,
    progress: Callable[[int, int, Row], None] | None = None,
) -> PredictionReport:
    """Predict ``scans`` into ``out`` one after the other; a case that fails does not stop the others.

    While the network has one scan, a thread measures and writes the mask of the one before.
    ``faults`` of single cases fail them unread; ``left_out`` and ``notes`` go into the report;
    ``calibration`` tells what agreement is worth.
    ``progress(done, all, row)`` is called after each case. Raises SettingsError if ``out`` holds predictions
    of other classes, or a mask would take a scan's place.
    """
    faults = faults or {}
    _check_folder(model, scans, out)
    record = Record(out, _head(model, calibration))
    _refuse_full(model, [scan for scan in scans if scan.name not in record.rows], out, wanted)
    _write_dataset_json(model, scans, out, wanted)
    record.write()
    rows: list[Row] = []
    skipped: list[str] = []

    def settle(ending: Future[tuple[Row, bool]]) -> bool:
        """Wait for a case and put it on record; False: no more are wanted."""
        row, fresh = ending.result()
        if fresh:
            record.put(row)
            rows.append(row)
        else:
            skipped.append(row.case)
        if progress is not None:
            progress(len(rows) + len(skipped), len(scans), row)
        return not (fail_fast and row.status == "failed")

    ending: Future[tuple[Row, bool]] | None = None
    with freed_memory_kept(), ThreadPoolExecutor(1) as writer:
        try:
            for scan in scans:
                rest = _Case(
                    model,
                    scan,
                    out,
                    wanted,
                    record.rows.get(scan.name),
                    partial(record.forget, scan.name),
                    faults.get(scan.name),
                    calibration,
                ).begin(skip_existing)
                go_on, ending = ending is None or settle(ending), None
                if not go_on:
                    break
                ending = writer.submit(rest)
        finally:  # an interrupted call, too, leaves the record of every mask that is there
            if ending is not None:
                settle(ending)
            record.write()
    undertrained = model.card.get("undertrained")
    return PredictionReport(
        out, model.model_id, tuple(rows), tuple(skipped), left_out, notes, undertrained, calibration.to_json()
    )


@dataclass(frozen=True)
class Digest:
    """``scan``: the identity of a case; ``files``: the hash of its files' bytes. None: not known."""

    scan: str | None = None
    files: str | None = None


@dataclass(frozen=True)
class _Case:
    """A scan on its way to a row; ``before`` is its row of an earlier call, which ``forget`` takes from the
    record, ``fault`` what is wrong with it before it is read."""

    model: Predictor
    scan: Case
    out: Path
    wanted: Wanted
    before: Row | None
    forget: Callable[[], None]
    fault: DataError | None = None
    calibration: Calibration = UNCALIBRATED

    def begin(self, skip_existing: bool) -> Rest:
        """Read, hash and segment the scan; equal files are known without reading. No mask is written or
        taken away before the rest is called."""
        started, digest = time.perf_counter(), Digest()
        try:
            if self.fault is not None:
                raise self.fault
            before = self.before if skip_existing else None
            digest = Digest(files=quick_sha256(self.scan))
            if before is not None and _up_to_date(self.model, before, digest, self.out, self.wanted):
                return lambda: (before, False)
            volume = read_case(self.scan)
            digest = replace(digest, scan=case_identity(self.scan, volume))
            if before is not None and _up_to_date(self.model, before, digest, self.out, self.wanted):
                return lambda: (before, False)
            if self.before is not None and not _same_work(self.model, self.before, digest):
                self.forget()  # if this process dies, the old row must not pass for that of the new mask
            segmentation = self.model.predict(
                volume, probabilities=self.wanted.probabilities, uncertainty=self.wanted.uncertainty
            )
        except DiskFault:
            raise
        except Exception as error:  # whatever is wrong with one scan, the others are still wanted
            return partial(self._fail, digest, time.perf_counter() - started, error)
        return partial(self._end, digest, time.perf_counter() - started, segmentation)

    def _end(self, digest: Digest, seconds: float, segmentation: Segmentation) -> tuple[Row, bool]:
        """Measure and write a segmentation that took ``seconds`` so far."""
        model, started = self.model, time.perf_counter()
        try:
            maps = self._write_maps(segmentation)
            reasons = departures(segmentation, model.card.get("training"), tuple(model.card["may_be_empty"]))
            looks = appearance(segmentation.volume, model.plan.channels)
            sizes, agreed = _named(segmentation.volume_ml), segmentation.agreements
            promise = self.calibration.promise(model.model_id, agreed, sizes, looks, digest.scan)
            reasons += promise.reasons if promise else []
            mask = segmentation.save(inside(self.out, self.scan.name), self.wanted.format)
            self._remove({mask, *maps})
        except DiskFault:  # not this scan's fault; what is there stays
            raise
        except Exception as error:
            return self._fail(digest, seconds + time.perf_counter() - started, error)
        row = Row(
            case=self.scan.name,
            status="ok",
            flag="review" if reasons else "ok",
            reason="; ".join(reasons),
            model_id=model.model_id,
            weights=model.weights,
            whole=model.whole,
            pieces=model.pieces,
            runs=model.runs,
            input_sha256=digest.scan,
            input_files_sha256=digest.files,
            seconds=round(seconds + time.perf_counter() - started, 3),
            mask=mask.name,
            volume_ml=sizes,
            voxels=_named(segmentation.voxels),
            components=_named(segmentation.components),
            removed=_named(segmentation.removed),
            border_contact=_named(segmentation.border_contact),
            mean_entropy=segmentation.mean_entropy,
            agreement=agreed[model.model_id],
            appearance=looks,
            promise=promise.to_json() if promise else None,
        )
        return row, True

    def _fail(self, digest: Digest, seconds: float, error: Exception) -> tuple[Row, bool]:
        self._remove()
        failed = Row(
            case=self.scan.name,
            status="failed",
            flag="refuse",
            reason=str(error) if isinstance(error, SemivoxError) else f"{type(error).__name__}: {error}",
            model_id=self.model.model_id,
            weights=self.model.weights,
            whole=self.model.whole,
            pieces=self.model.pieces,
            runs=self.model.runs,
            input_sha256=digest.scan,
            input_files_sha256=digest.files,
            seconds=round(seconds, 3),
        )
        return failed, True

    def _remove(self, written: Collection[Path] = ()) -> None:
        """Take away what an earlier call wrote for the case and this one has not ``written``: it must not
        pass for this one's."""
        before = None if self.before is None else self.before.mask
        if before is not None and self.out / before not in written:
            remove_file(self.out, before)
        for folder in (PROBABILITIES, UNCERTAINTY):
            for path in _maps(self.scan.name, self.out / folder):
                if path not in written:
                    remove_file(self.out, folder, path.name)

    def _write_maps(self, segmentation: Segmentation) -> list[Path]:
        """Maps keep half precision's digits: the rest would only be noise that does not compress."""
        written = []
        maps = {PROBABILITIES: segmentation.probabilities, UNCERTAINTY: segmentation.uncertainty}
        for folder, array in maps.items():
            if array is not None:
                channels = (array if folder == PROBABILITIES else array[None]).astype(np.float16)
                path = inside(self.out, folder, self.scan.name)
                written.append(write_volume(path, channels, segmentation.volume, self.wanted.format))
        return written


def _same_work(model: Predictor, before: Row, digest: Digest) -> bool:
    """Whether the row is of this model and scan."""
    same = (before.status, before.model_id, before.weights, before.whole, before.pieces)
    if same != ("ok", model.model_id, model.weights, model.whole, model.pieces):
        return False
    alone = RunOfMask(model_id=before.model_id, weights=before.weights, mirror_axes=[])
    if sorted(before.runs or [alone], key=str) != sorted(model.runs, key=str):
        return False
    # earlier versions recorded the files' hash in the scan's place
    return bool({before.input_sha256, before.input_files_sha256} & {digest.scan, digest.files} - {None})


def _up_to_date(model: Predictor, before: Row, digest: Digest, out: Path, wanted: Wanted) -> bool:
    if before.mask is None or not _same_work(model, before, digest):
        return False
    if wanted.format != "same" and ending_of(before.mask) != CHOICES[wanted.format]:
        return False
    folders = [PROBABILITIES] * wanted.probabilities + [UNCERTAINTY] * wanted.uncertainty
    return (out / before.mask).is_file() and all(_maps(before.case, out / folder) for folder in folders)


def _maps(case: str, folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if stem_of(p) == case] if folder.is_dir() else []


def _check_folder(model: Predictor, scans: Sequence[Case], out: Path) -> None:
    sources = {real_path(path.parent) for scan in scans for path in scan.images}
    if real_path(out) in sources:
        raise SettingsError(
            "the masks would lie among the scans, and could take their place",
            path=out,
            remedy="choose another folder for --out",
        )
    refuse_in_run(out)
    for folder in (PROBABILITIES, UNCERTAINTY):
        inside(out, folder, "any")  # neither leads out of it
    described = out / "dataset.json"
    if out.exists() and not out.is_dir():
        raise DataError("is not a folder", path=out, remedy="choose another --out")
    if described.is_file():
        content, expected = read_json(described), label_entries(model.classes, model.regions)
        found = {name: content[name] for name in LABEL_KEYS if name in content}
        if found != expected:
            raise SettingsError(
                "the folder holds predictions of other classes",
                path=out,
                found=found,
                expected=expected,
                remedy="choose another folder for --out",
            )


def _refuse_full(model: Predictor, scans: Sequence[Case], out: Path, wanted: Wanted) -> None:
    """Raise DiskFault where masks and maps surely have no room. Nobody knows their size yet; they compress
    well, so this asks for less than most take."""
    maps = (len(model.classes) + 1) * wanted.probabilities + wanted.uncertainty
    size = sum(path.stat().st_size for scan in scans for path in scan.images if path.is_file())
    refuse_full(out, int(size * (MASK_SHARE + MAP_SHARE * maps)), f"the masks of {len(scans)} scans")


def _write_dataset_json(model: Predictor, scans: Sequence[Case], out: Path, wanted: Wanted) -> None:
    endings = {ending_of(path) for scan in scans for path in scan.images[:1]}
    same = mask_ending(endings.pop() if len(endings) == 1 else model.card["file_ending"])
    content = {
        **label_entries(model.classes, model.regions),
        "channel_names": {str(i): name for i, name in enumerate(model.channels)},
        "file_ending": same if wanted.format == "same" else CHOICES[wanted.format],
        "spacing_known": model.card["spacing_known"],
        "may_be_empty": [model.structures[number] for number in model.card["may_be_empty"]],
        "codes": model.card["codes"],
        "colours": model.card["colours"],
        "inferred": list(model.card.get("inferred", ())),
        "numTraining": 0,
    }
    write_json(out / "dataset.json", content)


def _head(model: Predictor, calibration: Calibration) -> dict[str, object]:
    return {
        "model_id": model.model_id,
        "weights": model.weights,
        "runs": list(model.runs),
        "method": model.card["method"],
        "classes": _named(model.structures),
        **({"regions": _named(model.regions.parts)} if model.regions else {}),
        "spacing_known": model.card["spacing_known"],
        "mean_entropy": "nats, over the predicted foreground and 2 voxels around it, on the working grid",
        "calibration": calibration.to_json(),
    }


def _named(numbers: Mapping[int, Any]) -> dict[str, Any]:
    return {str(value): number for value, number in numbers.items()}
