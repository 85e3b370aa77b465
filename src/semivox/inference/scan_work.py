"""One scan -> its mask, its maps and its row of the record."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
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
    is_somebodys,
    mask_name,
    mask_place,
    quick_sha256,
    read_case,
    scan_ending,
    stem_of,
    write_volume,
)
from semivox.contents import RunOfMask
from semivox.errors import DataError, DiskFault, in_words
from semivox.files import inside, remove_file
from semivox.inference.predictor import Predictor
from semivox.inference.promise import UNCALIBRATED, Calibration
from semivox.inference.ranges import departures
from semivox.inference.record import Row
from semivox.inference.segmentation import Segmentation
from semivox.prepare import appearance

PROBABILITIES, UNCERTAINTY = "probabilities", "uncertainty"

Rest = Callable[[], tuple[Row, bool]]
"""What is left to do for a case: gives its row, and whether it was predicted now (else it was up to date)."""


@dataclass(frozen=True)
class Wanted:
    """What is written: the masks' ``format`` and which maps lie beside them."""

    format: str = "same"
    probabilities: bool = False
    uncertainty: bool = False


class StaleRow(Exception):  # noqa: N818
    """What ``forget`` may raise where it cannot take a row from the record: the scan is left alone."""


@dataclass(frozen=True)
class Digest:
    """``scan``: the identity of a case; ``files``: the hash of its files' bytes. None: not known."""

    scan: str | None = None
    files: str | None = None


@dataclass(frozen=True)
class ScanWork:
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
            place = inside(self.out, self._name())
            digest = Digest(files=quick_sha256(self.scan))
            if before is not None and _up_to_date(self.model, before, digest, self.out, self.wanted):
                return lambda: (before, False)
            volume = read_case(self.scan)
            digest = replace(digest, scan=case_identity(self.scan, volume))
            if before is not None and _up_to_date(self.model, before, digest, self.out, self.wanted):
                return lambda: (before, False)
            self._refuse_somebodys(place)
            if self.before is not None and not _same_work(self.model, self.before, digest):
                self.forget()  # if this process dies, the old row must not pass for that of the new mask
            segmentation = self.model.predict(
                volume, probabilities=self.wanted.probabilities, uncertainty=self.wanted.uncertainty
            )
        except (DiskFault, StaleRow):
            raise
        except Exception as error:  # whatever is wrong with one scan, the others are still wanted
            return partial(self.fail, error, digest, time.perf_counter() - started)
        return partial(self._end, digest, time.perf_counter() - started, segmentation)

    def _end(self, digest: Digest, seconds: float, segmentation: Segmentation) -> tuple[Row, bool]:
        """Measure and write a segmentation that took ``seconds`` so far."""
        model, started = self.model, time.perf_counter()
        try:
            maps = self._write_maps(segmentation)
            reasons = departures(segmentation, model.card.get("training"), tuple(model.card["may_be_empty"]))
            looks = appearance(segmentation.volume, model.plan.channels)
            sizes, agreed = named(segmentation.volume_ml), segmentation.agreements
            promise = self.calibration.promise(model.model_id, agreed, sizes, looks, digest.scan)
            reasons += promise.reasons if promise else []
            mask = segmentation.save(self._place(segmentation))
            self._remove({mask, *maps})
        except DiskFault:  # not this scan's fault; what is there stays
            raise
        except Exception as error:
            return self.fail(error, digest, seconds + time.perf_counter() - started)
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
            voxels=named(segmentation.voxels),
            components=named(segmentation.components),
            removed=named(segmentation.removed),
            border_contact=named(segmentation.border_contact),
            mean_entropy=segmentation.mean_entropy,
            agreement=agreed[model.model_id],
            appearance=looks,
            promise=promise.to_json() if promise else None,
        )
        return row, True

    def fail(self, error: Exception, digest: Digest = Digest(), seconds: float = 0.0) -> tuple[Row, bool]:
        """The row of a scan that has no mask, and why."""
        self._remove()
        failed = Row(
            case=self.scan.name,
            status="failed",
            flag="refuse",
            reason=in_words(error),
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

    def _name(self) -> str:
        """Of its mask, and of the maps beside it, unless the format does not hold them."""
        return mask_name(self.scan.name, scan_ending(self.scan.images[0]), self.wanted.format)

    def _place(self, segmentation: Segmentation) -> Path:
        """Where the mask goes; another name than it should have is known only now."""
        named = inside(self.out, self._name())
        place = mask_place(named, segmentation.mask, segmentation.volume)
        if place != named:
            self._refuse_somebodys(place)
        return place

    def _refuse_somebodys(self, place: Path) -> None:
        if is_somebodys(place, self.model.regions):
            raise DataError(
                "a mask is there that predict has not written, or that was edited since",
                path=place,
                remedy="move it away, or choose another --out",
            )

    def _remove(self, written: Collection[Path] = ()) -> None:
        """Take away what an earlier call wrote for the case and this one has not ``written``: it must not
        pass for this one's. A mask that was edited since stays."""
        before = None if self.before is None else self.before.mask
        mask = None if before is None else self.out / before
        if mask is not None and mask not in written and not is_somebodys(mask, self.model.regions):
            remove_file(self.out, mask.name)
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
                path = inside(self.out, folder, self._name())
                written.append(write_volume(path, channels, segmentation.volume))
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


def named(numbers: Mapping[int, Any]) -> dict[str, Any]:
    """Keyed as JSON is."""
    return {str(value): number for value, number in numbers.items()}
