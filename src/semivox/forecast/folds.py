"""Points of a learning curve from folders of ``train --folds``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from semivox.comparison_contents import FinishedCell
from semivox.contents import Cases
from semivox.errors import DataError
from semivox.evaluation import case_value, read_evaluation
from semivox.files import read_json
from semivox.forecast.curve import Forecast, Point, forecast
from semivox.inference.ensemble import members_of

MEASURED, CASES, CELL = "cross_validation.json", "cases.json", "cell.json"


def read_points(folders: str | Path | Iterable[str | Path]) -> tuple[list[Point], list[str]]:
    """A point for each folder: every patient measured by the run that has not seen it; and notes on what
    makes the points less comparable.

    Raises DataError for a folder whose folds are not all measured.
    """
    points, trained = [], dict[str, str]()
    for folder in map(Path, [folders] if isinstance(folders, str | Path) else folders):
        if not (folder / MEASURED).is_file():
            raise DataError(
                "holds no measured folds",
                path=folder,
                expected=f"a folder that train --folds has finished, with {MEASURED}",
                remedy="semivox train DATA --labeled SET --folds K --out FOLDER",
            )
        measured = read_evaluation(folder / MEASURED)
        runs = members_of([folder])
        learned = [_patients(run) for run in runs]
        points.append(Point(fmean(learned), _dice(measured), len(runs), str(folder)))
        trained[str(folder)] = _training(runs[0])
    notes = []
    if len(set(trained.values())) > 1:
        told = "; ".join(f"{folder}: {how}" for folder, how in trained.items())
        notes.append(f"the runs of the learning curve were not trained alike ({told})")
    return points, notes


def foretell(points: Sequence[Point], labeled: int, more: int) -> tuple[Forecast | None, tuple[str, ...]]:
    """What ``more`` labelled patients will bring, or a note why that cannot be said; nothing of both where
    there is no point."""
    if points and not more:
        return None, (
            "no forecast: it tells what further patients bring, and of each patient whose scan was chosen "
            "one is labelled already",
        )
    found = forecast(points, labeled, more)
    if found is not None or not points:
        return found, ()
    sizes = ", ".join(f"{point.patients:.3g}" for point in points)
    return None, (
        f"no forecast: the folds learned from {sizes} patients, and it takes different numbers and patients "
        "that they share; train --folds 2 beside --folds 4 gives a second point",
    )


def _patients(run: Path) -> int:
    """How many labelled ones a run has learned from."""
    rows = read_json(run / CASES, kind=Cases)["cases"]
    return len({row["patient"] or row["case"] for row in rows if row["role"] == "labeled"})


def _dice(measured: Mapping[str, Any]) -> dict[str, float]:
    """Of each patient the mean over the scans that have a number."""
    patients, found = measured.get("patients", {}), defaultdict(list)
    for name, rows in measured["cases"].items():
        dice = case_value(rows, "dice")
        if dice == dice:
            found[patients.get(name) or name].append(dice)
    return {patient: fmean(dice) for patient, dice in found.items()}


def _training(run: Path) -> str:
    cell = read_json(run / CELL, kind=FinishedCell)
    return f"{cell.get('request', {}).get('method')}, {cell.get('steps')} steps"
