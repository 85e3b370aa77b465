"""Folders as ``train --folds`` leaves them, without the training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path


def folder_of_folds(
    place: Path, learned: Mapping[str, list[str]], dice: Mapping[str, float], steps: int = 10
) -> Path:
    """``learned``: run -> cases it has learned from, each of a patient of its own but for a letter at the
    end; ``dice``: of each case."""
    for run, cases in learned.items():
        (place / run).mkdir(parents=True)
        rows = [{"case": case, "patient": case.rstrip("ab"), "role": "labeled"} for case in cases]
        rows.append({"case": "other", "patient": "other", "role": "unlabeled"})
        rows = [{"annotated": None, "sha256": "", **row} for row in rows]
        (place / run / "cases.json").write_text(json.dumps({"format": 1, "cases": rows}))
        cell = {"format": 1, "request": {"method": "supervised"}, "steps": steps}
        (place / run / "cell.json").write_text(json.dumps(cell))
    (place / "ensemble.json").write_text(json.dumps({"format": 1, "runs": [*learned]}))
    measured = {
        "format": 1,
        "classes": {"1": "heart"},
        "mean": {key: {"dice": 0.5} for key in ("1", "foreground")},
        "ci95": {key: {"dice": None} for key in ("1", "foreground")},
        "cases": {case: {"1": {"dice": value}} for case, value in dice.items()},
        "patients": {case: case.rstrip("ab") for case in dice},
    }
    (place / "cross_validation.json").write_text(json.dumps(measured))
    return place


def two_folders(place: Path, steps: int = 10) -> list[Path]:
    halves = folder_of_folds(
        place / "halves", {"x": ["1a", "1b", "2"], "y": ["3", "4"]},
        {"1a": 0.4, "1b": 0.6, "2": 0.6, "3": 0.7, "4": 0.6},
    )  # fmt: skip
    leave_one_out = folder_of_folds(
        place / "thirds", {str(i): [str(j) for j in range(1, 5) if j != i] for i in range(1, 5)},
        {"1a": 0.5, "1b": 0.7, "2": 0.7, "3": 0.8, "4": 0.7}, steps,
    )  # fmt: skip
    return [halves, leave_one_out]
