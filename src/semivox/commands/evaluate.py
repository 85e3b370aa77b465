"""``semivox evaluate``: a predictions folder against references, into one evaluation file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from semivox.evaluation.folders import evaluate_folders
from semivox.evaluation.metrics import Policy
from semivox.evaluation.table import evaluation_table
from semivox.files import write_json


def evaluate(
    predictions: str | Path,
    labels: str | Path,
    out: str | Path | None = None,
    tolerance_mm: float = 2.0,
    missing_as_empty: bool = False,
    policy: Policy = "default",
    *,
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure predicted masks against references and write the evaluation file.

    Parameters
    ----------
    predictions
        Folder of masks, as ``predict`` writes it.
    labels
        A data folder, or a folder of label files.
    out
        The file to write; None: ``PREDICTIONS/evaluation.json``.
    tolerance_mm
        Tolerance of the normalised surface Dice.
    missing_as_empty
        Count a missing prediction as an empty mask instead of raising.
    policy
        "default", or "literature": 0 distance where one mask is empty, to compare with papers.
    workers
        Cases worked on at a time.
    progress
        Called with (cases done, cases) after each case.

    Returns
    -------
    dict
        The content of the file.

    Raises
    ------
    DataError
        A reference has no prediction, files are unreadable or on different grids, or a value is no class.
    """
    evaluation = evaluate_folders(
        predictions,
        labels,
        tolerance_mm=tolerance_mm,
        missing_as_empty=missing_as_empty,
        policy=policy,
        workers=workers,
        progress=progress,
    )
    write_json(Path(predictions) / "evaluation.json" if out is None else Path(out), evaluation)
    return evaluation


def render(evaluation: Mapping[str, Any]) -> RenderableType:
    """The evaluation as a table for the terminal."""
    return evaluation_table(evaluation)
