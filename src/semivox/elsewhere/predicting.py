"""Scans that other processes predict, each of which keeps the model loaded. The record is kept here."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from semivox.cohort import Case
from semivox.elsewhere.bundles import results_of
from semivox.engines import Needs, Tell
from semivox.inference import Predictor, load_ensemble
from semivox.inference.folder import Answer, Asked, Elsewhere
from semivox.inference.promise import Calibration
from semivox.inference.record import Row
from semivox.inference.scan_work import ScanWork, StaleRow, Wanted
from semivox.machine import freed_memory_kept
from semivox.runs.held_out_masks import held_out_masks


@dataclass(frozen=True)
class Opening:
    """How the model is opened, the same in every process; as JSON it is its name. Paths are absolute."""

    runs: Sequence[str]
    device: str
    weights: str | None
    threads: int | None
    pieces: Literal["auto", "all"]
    tta: bool
    calibrate_with: str | None
    level: float

    def model(self) -> Predictor:
        return load_ensemble(
            list(self.runs),
            device=self.device,
            weights=self.weights,
            threads=self.threads,
            pieces=self.pieces,
            tta=self.tta,
        )

    def calibration(self, model: Predictor) -> Calibration:
        return Calibration(held_out_masks(self.runs, model, self.calibrate_with), self.level)


def predicted_elsewhere(on: str, opening: Opening, out: Path, wanted: Wanted) -> Elsewhere:
    """For :func:`semivox.inference.folder.predict_folder`: the engine of ``--on``."""
    needs = Needs.of(opening.threads, opening.device)
    common = {"opening": asdict(opening), "out": str(out.absolute()), "wanted": asdict(wanted)}

    def plain(asked: Asked) -> dict[str, Any]:
        return {
            "name": asked.scan.name,
            "images": [str(path.absolute()) for path in asked.scan.images],
            "before": None if asked.before is None else asdict(asked.before),
            "may_be_skipped": asked.may_be_skipped,
        }

    def predicted(asked: Iterator[Asked]) -> Generator[Answer]:
        for each, result in results_of(on, needs, out / "engine", "scans", common, asked, plain):
            if isinstance(result, Exception):
                yield Answer(each.number, result)
            else:
                row, fresh = result
                yield Answer(each.number, None if row is None else Row(**row), fresh)

    return predicted


def do_scans(
    tell: Tell,
    opening: Mapping[str, Any],
    out: str,
    wanted: Mapping[str, Any],
    pieces: Sequence[Mapping[str, Any]],
) -> list[tuple[dict[str, Any] | None, bool]]:
    """In the other process: of each scan its row, and whether it was predicted now; None where the row of an
    earlier call is to be forgotten first."""
    model, calibration = _opened(json.dumps(opening))
    answers: list[tuple[dict[str, Any] | None, bool]] = []
    with freed_memory_kept():
        for asked in pieces:
            before = asked["before"]
            work = ScanWork(
                model,
                Case(asked["name"], tuple(map(Path, asked["images"]))),
                Path(out),
                Wanted(**wanted),
                None if before is None else Row(**before),
                _refuse if asked["may_be_skipped"] else _forgotten,
                calibration=calibration,
            )
            try:
                row, fresh = work.begin(asked["may_be_skipped"])()
            except StaleRow:
                answers.append((None, False))
            else:
                answers.append((asdict(row), fresh))
    return answers


@lru_cache(maxsize=1)
def _opened(opening: str) -> tuple[Predictor, Calibration]:
    """Kept for the tasks that follow."""
    how = Opening(**json.loads(opening))
    model = how.model()
    return model, how.calibration(model)


def _refuse() -> None:
    raise StaleRow


def _forgotten() -> None: ...
