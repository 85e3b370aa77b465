"""Where a run keeps what it is worth: ``RUN/evaluations/NAME/`` holds ``masks/`` and these files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from semivox.prediction_rows import JSON

EVALUATIONS, MASKS = "evaluations", "masks"
EVALUATION, SOURCE, CALIBRATION = "evaluation.json", "source.json", "calibration.json"
PAGE = "report.html"
"""The page of a run or a comparison, in its folder."""


def measured(run: Path) -> list[Path]:
    """The evaluations of a run, in their order, that have both a record of masks and what these are worth."""
    return [
        place
        for place in sorted((run / EVALUATIONS).glob("*"))
        if (place / EVALUATION).is_file() and (place / MASKS / JSON).is_file()
    ]


@dataclass(frozen=True)
class CellFolder:
    """A cell of the comparison in ``out``: the run folder ``out / place``, measured on ``fold``."""

    out: Path
    place: str
    fold: str

    @property
    def folder(self) -> Path:
        return self.out / self.place

    @property
    def masks(self) -> Path:
        """The predicted masks of its held-out cases."""
        return self.folder / EVALUATIONS / self.fold / MASKS

    @property
    def evaluation(self) -> Path:
        return self.folder / EVALUATIONS / self.fold / EVALUATION

    @property
    def result(self) -> Path:
        """``cell.json``, which is written once the cell is measured."""
        return self.folder / "cell.json"
