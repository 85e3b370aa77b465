"""Many scans -> a predictions folder: masks, maps, and the record of each case, written as it goes."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from semivox.cohort import (
    CHOICES,
    Case,
    label_entries,
    mask_ending,
    scan_ending,
)
from semivox.cohort.dataset_json import LABEL_KEYS
from semivox.errors import DataError, SettingsError
from semivox.files import inside, read_json, real_path, refuse_full, write_json
from semivox.inference.predictor import Predictor
from semivox.inference.promise import UNCALIBRATED, Calibration
from semivox.inference.record import Record, Row, kept_rows
from semivox.inference.scan_work import PROBABILITIES, UNCERTAINTY, ScanWork, Wanted, named
from semivox.inference.sole_writer import sole_writer
from semivox.machine import freed_memory_kept
from semivox.output_places import refuse_in_run

MASK_SHARE, MAP_SHARE = 0.01, 0.1
"""Of a scan's file: what its mask, and each map of a class, takes at least."""

Settle = Callable[[Row, bool], bool]


@dataclass(frozen=True)
class Asked:
    """A scan for another process. ``before``: its row of an earlier call, which stays if nothing has changed,
    provided it may be skipped; else it is forgotten already."""

    number: int
    scan: Case
    before: Row | None
    may_be_skipped: bool


@dataclass(frozen=True)
class Answer:
    """``row`` None: ``before`` is of other work, so it is to be forgotten; an error: nobody could do it."""

    number: int
    row: Row | Exception | None
    fresh: bool = True


class Rising(Iterator[Asked]):
    """What is asked ``again`` before what is ``first`` asked. After its end more may come."""

    def __init__(self, first: Iterator[Asked], again: deque[Asked]) -> None:
        self._first, self._again = first, again

    def __next__(self) -> Asked:
        return self._again.popleft() if self._again else next(self._first)


Elsewhere = Callable[[Iterator[Asked]], Generator[Answer]]
"""Has scans predicted by other processes, and tells of each as it ends."""


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
    elsewhere: Elsewhere | None = None,
) -> PredictionReport:
    """Predict ``scans`` into ``out``, here one after the other, or by ``elsewhere``; a case that fails stops
    no other.

    ``faults`` of single cases fail them unread; ``left_out`` and ``notes`` go into the report;
    ``calibration`` tells what agreement is worth.
    ``progress(done, all, row)`` is called after each case. Raises SettingsError if ``out`` holds predictions
    of other classes, another call writes into it, or a mask would take a scan's place.
    """
    faults = faults or {}
    _check_folder(model, scans, out)
    rows: list[Row] = []
    skipped: list[str] = []
    with sole_writer(out):
        kept = kept_rows(out)
        there = {row.case for row in kept}
        _refuse_full(model, [scan for scan in scans if scan.name not in there], out, wanted)
        record = Record(out, _head(model, calibration), kept)
        kept.clear()  # of thousands, that is memory
        _write_dataset_json(model, scans, out, wanted)
        record.write()

        def settle(row: Row, fresh: bool) -> bool:
            """Put a case on record; False: no more are wanted."""
            if fresh:
                record.put(row)
                rows.append(row)
            else:
                skipped.append(row.case)
            if progress is not None:
                progress(len(rows) + len(skipped), len(scans), row)
            return not (fail_fast and row.status == "failed")

        def work(scan: Case) -> ScanWork:
            before, forget = record.get(scan.name), partial(record.forget, scan.name)
            return ScanWork(model, scan, out, wanted, before, forget, faults.get(scan.name), calibration)

        try:
            if elsewhere is None:
                _predict_here(scans, work, settle, skip_existing)
            else:
                _predict_elsewhere(elsewhere, scans, work, settle, skip_existing)
        finally:  # an interrupted call, too, leaves the record of every mask that is there
            record.close()
    undertrained = model.card.get("undertrained")
    return PredictionReport(
        out, model.model_id, tuple(rows), tuple(skipped), left_out, notes, undertrained, calibration.to_json()
    )


def _predict_here(
    scans: Sequence[Case], work: Callable[[Case], ScanWork], settle: Settle, skip_existing: bool
) -> None:
    """While the network has one scan, a thread measures and writes the mask of the one before."""
    ending: Future[tuple[Row, bool]] | None = None
    with freed_memory_kept(), ThreadPoolExecutor(1) as writer:
        try:
            for scan in scans:
                rest = work(scan).begin(skip_existing)
                go_on, ending = ending is None or settle(*ending.result()), None
                if not go_on:
                    break
                ending = writer.submit(rest)
        finally:
            if ending is not None:
                settle(*ending.result())


def _predict_elsewhere(
    elsewhere: Elsewhere,
    scans: Sequence[Case],
    work: Callable[[Case], ScanWork],
    settle: Settle,
    skip_existing: bool,
) -> None:
    """The record is kept here. A row of other work is forgotten before its scan is given to another process,
    or, where that process finds it out, before it is given there again."""
    for scan in scans:
        if (given := work(scan)).fault is not None and not settle(*given.begin(skip_existing)()):
            return
    again, out = deque[Asked](), dict[int, ScanWork]()

    def first() -> Iterator[Asked]:
        for number, scan in enumerate(scans):
            given = work(scan)
            if given.fault is None:
                if given.before is not None and not skip_existing:
                    given.forget()
                out[number] = given
                yield Asked(number, scan, given.before, skip_existing)

    with contextlib.closing(elsewhere(Rising(first(), again))) as answers:
        for answer in answers:
            given, row = out.pop(answer.number), answer.row
            if row is None:
                given.forget()
                out[answer.number] = given
                again.append(Asked(answer.number, given.scan, given.before, False))
            elif not settle(*(given.fail(row) if isinstance(row, Exception) else (row, answer.fresh))):
                break


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
    endings = {scan_ending(path) for scan in scans for path in scan.images[:1]}
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
        "classes": named(model.structures),
        **({"regions": named(model.regions.parts)} if model.regions else {}),
        "spacing_known": model.card["spacing_known"],
        "mean_entropy": "nats, over the predicted foreground and 2 voxels around it, on the working grid",
        "calibration": calibration.to_json(),
    }
