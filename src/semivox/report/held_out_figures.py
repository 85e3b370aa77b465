"""The figures of a set of held-out cases, with the captions that say what they show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from semivox.evaluation.calibration import Reliability, rank_correlation, uncertainty_and_error
from semivox.report import run_figures
from semivox.report.page import number, percent
from semivox.report.run_record import HeldOut
from semivox.report.style import svg

Figure = tuple[Markup, str]
"""The SVG and its caption."""

OF_DISTRIBUTION = (
    "A dot a case; the box goes from the first to the third quartile, with the median; a diamond is the mean."
)


def figures_of(
    held: HeldOut, content: Mapping[str, Any], key: str, voxels: str
) -> list[tuple[str, str, list[Figure]]]:
    """(id, heading, figures) of each group."""
    distribution = svg(run_figures.dice_distribution(content), f"{key}-dice", "Dice of every case, by class")
    volumes = _volumes(held, content, key, voxels)
    heading = "Dice and volumes over cases" if volumes else "Dice over cases"
    groups = [("distribution", heading, [(distribution, OF_DISTRIBUTION), *volumes])]
    if belief := _belief(held, content, key):
        groups.append(("belief", "Can its confidence be believed?", belief))
    return groups


def _volumes(held: HeldOut, content: Mapping[str, Any], key: str, voxels: str) -> list[Figure]:
    figures = []
    for value, name in content["classes"].items():
        pairs, unit, lost = volume_pairs(held, content, value)
        if not pairs:
            continue
        unit = "ml" if unit == "ml" else voxels
        figure = run_figures.bland_altman([p for p, _ in pairs], [r for _, r in pairs], name, unit)
        caption = "Volume against the reference. Dashed: limits of 95\u00a0% of differences (1.96 SD)."
        if lost:
            caption += f" {cases_said(lost)} left out: the size of the reference is not recorded."
        figures.append((svg(figure, f"{key}-volume-{value}", f"Bland-Altman plot of {name}"), caption))
    return figures


def volume_pairs(
    held: HeldOut, content: Mapping[str, Any], value: str
) -> tuple[list[tuple[float, float]], str, int]:
    """(predicted, reference) volume of each case that has the class, their unit, and the number of cases
    whose reference is of unknown size. In ml, or in voxels where spacing is unknown or in 2D."""
    rows = {case: row[value] for case, row in content["cases"].items() if value in row}
    in_ml = any(row.get("volume_error_ml") is not None for row in rows.values())
    pairs, lost = [], 0
    for case, row in rows.items():
        prediction = held.rows.get(case, {})
        if in_ml:
            reference = _reference_ml(row, (prediction.get("volume_ml") or {}).get(value))
            predicted = None if reference is None else reference + row["volume_error_ml"]
        else:
            predicted = (prediction.get("voxels") or {}).get(value)
            reference = _reference_voxels(held, case, value, predicted, row.get("volume_error_rel"))
        if predicted is None or reference is None:
            lost += 1
        else:
            pairs.append((float(predicted), float(reference)))
    return pairs, "ml" if in_ml else "voxels", lost


def _reference_ml(row: Mapping[str, float | None], predicted: float | None) -> float | None:
    error, relative = row.get("volume_error_ml"), row.get("volume_error_rel")
    if error is None:
        return None
    if relative:  # error = relative x reference
        return error / relative
    return None if predicted is None else predicted - error


def _reference_voxels(
    held: HeldOut, case: str, value: str, predicted: float | None, relative: float | None
) -> float | None:
    if (counted := held.reference_voxels.get(case)) is not None:
        return counted.get(value)
    if predicted is None or relative is None or relative == -1:
        return None
    return predicted / (1 + relative)


def _belief(held: HeldOut, content: Mapping[str, Any], key: str) -> list[Figure]:
    figures: list[Figure] = []
    found = sum(held.reliability.values(), Reliability.empty())
    error, over = found.expected_calibration_error, found.overconfidence
    if error is not None and over is not None:
        word = "surer than it is right" if over > 0 else "less sure than it could be"
        caption = (
            f"Voxels of {cases_said(len(held.reliability))} in the predicted foreground and 2 voxels around "
            f"it. Expected calibration error {number(error)}; on average the model is {word}, by "
            f"{percent(abs(over), 1)}."
        )
        drawn = run_figures.reliability_diagram(found)
        figures.append((svg(drawn, f"{key}-reliability", "Share of right voxels by confidence"), caption))
    entropies = {case: row.get("mean_entropy") for case, row in held.rows.items()}
    names, uncertain, wrong = uncertainty_and_error(content, entropies)
    if len(names) > 2:
        rho = rank_correlation(uncertain, wrong)
        said = "" if rho is None else f" Rank correlation {number(rho, 2)}: {_meaning(rho)}."
        flagged = [held.rows[name].get("flag") == "review" for name in names]
        drawn = run_figures.uncertainty_figure(uncertain.tolist(), wrong.tolist(), flagged)
        caption = f"Each case's mean entropy against its error.{said}"
        figures.append((svg(drawn, f"{key}-uncertainty", "Uncertainty against error of every case"), caption))
    return figures


def _meaning(rho: float) -> str:
    if rho >= 0.5:
        return "where it is unsure it tends to be wrong"
    return "its uncertainty says little of its error" if rho > -0.5 else "it is surest where it is wrong"


def cases_said(count: int) -> str:
    """``1 case``, ``12 cases``."""
    return counted(count, "case")


def counted(count: int, word: str) -> str:
    """A number of things: ``1 mask``, ``12 masks``."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
