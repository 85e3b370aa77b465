"""A folder of predicted masks against a folder of references: the evaluation file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from semivox.cohort import (
    Volume,
    grid_error,
    is_scan,
    is_sheared,
    read_geometry,
    read_label,
    refuse_other_palettes,
    undrawn,
)
from semivox.errors import DataError
from semivox.evaluation.case_metrics import Scores, case_metrics, check_settings
from semivox.evaluation.intervals import RESAMPLES, mean_and_interval
from semivox.evaluation.metrics import METRICS, Policy, policy_text
from semivox.evaluation.paired import FOREGROUND, case_value
from semivox.evaluation.pairs import Pair, Pairs, match_folders
from semivox.evaluation.reading import FORMAT
from semivox.prediction_rows import JOURNAL
from semivox.prepare import map_cases

Rows = dict[str, Scores]  # of one case: label value as a string -> metrics


def evaluate_folders(
    predictions: str | Path,
    labels: str | Path,
    *,
    tolerance_mm: float = 2.0,
    missing_as_empty: bool = False,
    policy: Policy = "default",
    workers: int = 2,
    progress: Callable[[int, int], None] | None = None,
    elsewhere: Callable[[Pairs], list[Rows]] | None = None,
) -> dict[str, Any]:
    """Evaluate every reference's prediction; returns the content of the evaluation file.

    Parameters
    ----------
    predictions
        Folder of masks ``CASE.ext``, as ``predict`` writes it.
    labels
        A data folder, or a folder of label files ``CASE.ext``.
    tolerance_mm
        Tolerance of the surface Dice (``nsd``).
    missing_as_empty
        Count a missing prediction as an empty mask instead of raising.
    policy
        What distances are worth when one mask is empty, see `case_metrics`.
    workers
        Cases worked on at a time; memory is that of as many cases.
    progress
        Called with (cases done, cases) after each case.
    elsewhere
        Scores each pair in place of this process.

    Raises
    ------
    DataError
        A reference has no prediction, files are unreadable or on different grids, a value is no class, or the
        palettes of references, or of predictions, disagree.
    """
    check_settings(policy, tolerance_mm)
    matched = match_folders(Path(predictions), Path(labels))
    if matched.missing and not missing_as_empty:
        raise _missing(matched, Path(predictions))
    for paths in zip(*((pair.reference, pair.prediction) for pair in matched.pairs), strict=True):
        refuse_other_palettes(filter(None, paths))
    score = partial(score_pair, matched=matched, tolerance_mm=tolerance_mm, policy=policy)
    if elsewhere is None:
        scores = map_cases(score, matched.pairs, max(1, workers), progress)
    else:
        scores = elsewhere(matched)
    rows: dict[str, Rows] = {pair.case: row for pair, row in zip(matched.pairs, scores, strict=True)}
    patients = {pair.case: pair.patient for pair in matched.pairs}
    values = [str(v) for v in sorted(matched.classes)]
    mean, ci95 = summarise(rows, patients, values)
    return {
        "format": FORMAT,
        "classes": {str(v): matched.classes[v] for v in sorted(matched.classes)},
        **({"regions": made_of} if (made_of := _as_text(matched.regions.parts)) else {}),
        "mean": mean,
        "ci95": ci95,
        "worst": {key: worst for key in [*values, FOREGROUND] if (worst := lowest(rows, key))},
        "policy": {
            **policy_text(policy, tolerance_mm, matched.spacing_known),
            "missing": "a missing prediction counts as empty" if missing_as_empty else "an error",
            "ci95": f"bootstrap over patients, percentile interval, {RESAMPLES} resamples, fixed key; "
            "null below two patients",
            "worst": "the case with the lowest Dice",
        },
        "missing": list(matched.missing),
        "unmatched": list(matched.unmatched),
        "refused": dict(matched.refused),
        "patients": patients,
        "cases": rows,
    }


def _as_text(parts: Mapping[int, Sequence[int]]) -> dict[str, list[int]]:
    return {str(number): list(values) for number, values in parts.items()}


def score_pair(pair: Pair, *, matched: Pairs, tolerance_mm: float, policy: Policy) -> Rows:
    """Read one case's two files and return its metrics, class by class."""
    of = None  # a segmentation may hold a part of the grid that the prediction shows
    if pair.prediction is not None and not is_scan(pair.reference):
        of = read_geometry(pair.prediction, label=True)
    meaning = None if matched.regions else matched.classes, matched.regions
    reference = read_label(pair.reference, of, *meaning)
    if (error := undrawn(pair.reference, reference.array[0], matched.ignore)) is not None:
        raise error
    spacing_mm, axes_mm = reference.spacing_mm, _sheared_axes(reference)
    if pair.prediction is None:
        mask = np.zeros_like(reference.array[0])
    else:
        prediction = read_label(pair.prediction, reference, *meaning)
        error = grid_error(
            "prediction and reference lie on different grids",
            pair.prediction, prediction, pair.reference, reference,
        )  # fmt: skip
        if error is not None:
            raise error
        mask = prediction.array[0]
        spacing_mm = spacing_mm or prediction.spacing_mm
        axes_mm = _sheared_axes(prediction) if axes_mm is None else axes_mm
    scores = case_metrics(
        mask,
        reference.array[0],
        sorted(matched.classes),
        spacing_mm if matched.spacing_known else None,
        tolerance_mm=tolerance_mm,
        ignore=matched.ignore,
        policy=policy,
        annotated=pair.annotated,
        paths=(pair.prediction, pair.reference),
        axes_mm=axes_mm if matched.spacing_known else None,
        parts=matched.regions.parts,
    )
    return {str(value): row for value, row in scores.items()}


def _sheared_axes(mask: Volume) -> np.ndarray | None:
    """``(3, d)``: the axes in mm of a mask that says they are not at right angles."""
    if mask.spacing_mm is None or not mask.placed or not is_sheared(mask.affine, mask.dims):
        return None
    return mask.affine[:3, : mask.dims]


def summarise(
    rows: Mapping[str, Rows], patients: Mapping[str, str], values: Sequence[str]
) -> tuple[dict[str, Scores], dict[str, dict[str, list[float] | None]]]:
    """Mean over cases and 95 % interval over patients of each metric, per class and for "foreground"."""
    keys = [*values, FOREGROUND]
    table = np.array(
        [[[case_value(row, metric, key) for metric in METRICS] for key in keys] for row in rows.values()]
    )  # (cases, classes + 1, metrics)
    flat = table.reshape(len(rows), -1)
    mean, interval = mean_and_interval(flat, [patients[case] for case in rows])
    columns = [(key, metric) for key in keys for metric in METRICS]
    means: dict[str, Scores] = {key: {} for key in keys}
    intervals: dict[str, dict[str, list[float] | None]] = {key: {} for key in keys}
    for (key, metric), m, low_high in zip(columns, mean, interval, strict=True):
        means[key][metric] = None if np.isnan(m) else float(m)
        intervals[key][metric] = None if np.isnan(low_high).any() else [float(v) for v in low_high]
    return means, intervals


def lowest(rows: Mapping[str, Rows], key: str) -> dict[str, Any] | None:
    """The case with the lowest Dice of a class or of "foreground"; None where no case has the class."""
    dice = {case: case_value(row, "dice", key) for case, row in rows.items()}
    there = {case: value for case, value in dice.items() if not np.isnan(value)}
    if not there:
        return None
    case = min(there, key=there.__getitem__)
    return {"case": case, "dice": there[case]}


def _missing(matched: Pairs, predictions: Path) -> DataError:
    shown = [
        case + (f" ({why})" if (why := matched.refused.get(case)) else "") for case in matched.missing[:5]
    ]
    more = ", ..." if len(matched.missing) > 5 else ""
    return DataError(
        f"{len(matched.missing)} of {len(matched.pairs)} references have no prediction",
        path=predictions,
        found=f"none for {', '.join(shown)}{more}",
        expected="a mask for every reference",
        remedy=(
            "predict has not ended: wait, or give its command again with --skip-existing"
            if (predictions / JOURNAL).is_file()
            else "predict these cases, or count them as empty masks with --missing-as-empty"
        ),
    )
