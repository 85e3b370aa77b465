"""Figures of held-out cases, for a run's page and for notebooks: functions that return a ``Figure``.

``evaluation`` is an evaluation file's content.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from semivox.contents import MEAN_OF_CLASSES
from semivox.evaluation import case_value
from semivox.evaluation.calibration import BINS, Reliability, rank_correlation, uncertainty_and_error
from semivox.report.figure_rows import Drawing, FigureRow, Place
from semivox.report.page import number, percent
from semivox.report.run_record import HeldOut
from semivox.report.style import COLOURS, INK, QUIET, SIZE, STYLE, spread, widen

FLAGGED = COLOURS[5]
FEW = 3
"""Fewer cases have neither quartiles nor limits of agreement."""
SAME = 1e-3
"""Volumes that differ by less than this part of the largest are drawn as equal."""


@rc_context(STYLE)
def dice_distribution(evaluation: Mapping[str, Any]) -> Figure:
    """The Dice of every case: a row a class, a dot a case; from FEW cases on the box from the first to the
    third quartile with the median, and a diamond at the mean. Several classes get a row for their mean."""
    keys = list(evaluation["classes"])
    keys = [*keys, "foreground"] if len(keys) > 1 else keys
    figure = Figure(figsize=(SIZE[0], max(1.9, 1.0 + 0.5 * len(keys))), layout="constrained")
    axis = figure.subplots()
    lowest, names = 1.0, []
    for y, key in enumerate(keys):
        dice = np.array([case_value(row, "dice", key) for row in evaluation["cases"].values()])
        dice = np.sort(dice[~np.isnan(dice)])
        colour = INK if key == "foreground" else COLOURS[y % len(COLOURS)]
        names.append(MEAN_OF_CLASSES if key == "foreground" else evaluation["classes"][key])
        if not len(dice):
            continue
        lowest = min(lowest, dice[0])
        axis.plot(dice, y + spread(dice), "o", color=colour, markersize=3, alpha=0.65, markeredgewidth=0)
        if len(dice) < FEW:
            continue
        first, median, third = np.percentile(dice, [25, 50, 75])
        axis.barh(y, third - first, left=first, height=0.5, color=colour, alpha=0.18, linewidth=0)
        axis.plot([median] * 2, [y - 0.25, y + 0.25], color=colour, linewidth=2)
        axis.plot(dice.mean(), y, "D", color=colour, markersize=5, markeredgecolor="white")
    axis.set(xlabel="Dice", yticks=range(len(keys)), ylim=(len(keys) - 0.4, -0.6))
    axis.set_yticklabels([_broken(name) for name in names])
    axis.set_xlim(max(-0.02, lowest - 0.06), 1.01)
    axis.grid(axis="y", visible=False)
    return figure


@rc_context(STYLE)
def bland_altman(predicted: Sequence[float], reference: Sequence[float], name: str, unit: str) -> Figure:
    """Predicted minus reference volume against the mean of both, a dot a case; the line is the mean
    difference, the dashed ones the limits within which 95 % of differences are expected (1.96 standard
    deviations; Bland and Altman 1986), given for three cases or more."""
    a, b = np.asarray(predicted, float), np.asarray(reference, float)
    middle, difference = (a + b) / 2, a - b
    figure = Figure(figsize=SIZE, layout="constrained")
    axis = figure.subplots()
    axis.axhline(0, color=QUIET, linewidth=0.8)
    axis.plot(middle, difference, "o", color=COLOURS[0], markersize=4, alpha=0.75, markeredgewidth=0)
    axis.set(title=name, xlabel=f"mean of both, {unit}", ylabel=f"prediction − reference, {unit}")
    lines = [(difference.mean(), "-")] if len(a) else []
    if len(a) >= FEW:
        lines += [(difference.mean() + sign * 1.96 * difference.std(ddof=1), "--") for sign in (1, -1)]
    decimals = _decimals([y for y, _ in lines])
    for y, pattern in lines:
        axis.axhline(y, color=COLOURS[5], linestyle=pattern, linewidth=1.2)
        axis.annotate(
            _signed(y, decimals), (1, y), (-2, 2), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", va="bottom", color=COLOURS[5], fontsize=7.5,
            bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.6},
        )  # fmt: skip
    axis.margins(y=0.15)
    widen(axis, SAME * float(middle.max(initial=0)))
    if len(a) and middle.min() >= 0:
        axis.set_xlim(left=max(0, middle.min() - 0.1 * max(np.ptp(middle), middle.max() * 0.1)))
    return figure


@rc_context(STYLE)
def reliability_diagram(found: Reliability) -> Figure:
    """The share of right voxels by confidence, beside what it would be if the model were calibrated (dashed);
    beneath it how many voxels have which confidence."""
    figure = Figure(figsize=(SIZE[0], 3.3), layout="constrained")
    axis, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    middles = (np.arange(BINS) + 0.5) / BINS
    there = found.count > 0
    axis.plot([0, 1], [0, 1], color=QUIET, linestyle="--", linewidth=1.0)
    axis.plot(found.mean_confidence[there], found.accuracy[there], "o-", color=COLOURS[0], markersize=4)
    left = float(np.flatnonzero(there)[0] / BINS) if there.any() else 0.0
    axis.set(
        ylabel="share right",
        xlim=(left - 0.01, 1.01),
        ylim=(min(left, np.nanmin(found.accuracy, initial=1)) - 0.04, 1.04),
    )
    below.bar(middles, found.count / max(1, found.voxels), width=0.9 / BINS, color=COLOURS[4])
    below.set(xlabel="confidence", ylabel="voxels")
    below.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    below.yaxis.set_major_locator(MaxNLocator(2))
    return figure


@rc_context(STYLE)
def uncertainty_figure(
    entropies: Sequence[float], errors: Sequence[float], flagged: Sequence[bool]
) -> Figure:
    """Each case's mean entropy (nats) against 1 - Dice; cases that were flagged for review stand out."""
    x, y, marked = np.asarray(entropies, float), np.asarray(errors, float), np.asarray(flagged, bool)
    figure = Figure(figsize=(SIZE[0], 3.3), layout="constrained")
    axis = figure.subplots()
    for chosen, colour, marker, label in (
        (~marked, COLOURS[0], "o", "not flagged"),
        (marked, FLAGGED, "^", "flagged for review"),
    ):
        axis.plot(
            x[chosen],
            y[chosen],
            marker,
            color=colour,
            markersize=5,
            alpha=0.8,
            markeredgewidth=0,
            label=label,
        )
    axis.set(xlabel="mean entropy, nats", ylabel="1 − Dice")
    axis.set_ylim(bottom=0)
    if marked.any():
        axis.legend()
    return figure


# ---- on the page of a run


class Subject(NamedTuple):
    """Held-out cases, and what the elements of their grid are called: voxels or pixels."""

    held: HeldOut
    voxels: str


OVER_CASES = Place("distribution", "Dice and volumes over cases")
BELIEF = Place("belief", "Can its confidence be believed?")


def _dice(subject: Subject) -> Iterator[Drawing]:
    content = subject.held.content
    if content is not None and len(content["cases"]) > 1:
        caption = "A dot a case"
        if len(content["cases"]) >= FEW:
            caption += (
                "; the box goes from the first to the third quartile, with the median; a diamond is the mean"
            )
        caption += "."
        yield Drawing(dice_distribution(content), "Dice of every case, by class", caption)


def _volumes(subject: Subject) -> Iterator[Drawing]:
    held, voxels = subject
    content = held.content or {}
    for value, name in content.get("classes", {}).items():
        pairs, unit, lost = volume_pairs(held, content, value)
        if len(pairs) < FEW:
            continue
        unit = unit if unit == "ml" else voxels
        figure = bland_altman([p for p, _ in pairs], [r for _, r in pairs], name, unit)
        caption = "Volume against the reference. Dashed: limits of 95\u00a0% of differences (1.96 SD)."
        if lost:
            caption += f" {cases_said(lost)} left out: the size of the reference is not recorded."
        yield Drawing(figure, f"Bland-Altman plot of {name}", caption, key=value)


def _reliability(subject: Subject) -> Iterator[Drawing]:
    held = subject.held
    found = sum(held.reliability.values(), Reliability.empty())
    error, over = found.expected_calibration_error, found.overconfidence
    if held.content is None or error is None or over is None:
        return
    word = "surer than it is right" if over > 0 else "less sure than it could be"
    caption = (
        f"Voxels of {cases_said(len(held.reliability))} in the predicted foreground and 2 voxels around "
        f"it. Expected calibration error {number(error)}; on average the model is {word}, by "
        f"{percent(abs(over), 1)}."
    )
    yield Drawing(reliability_diagram(found), "Share of right voxels by confidence", caption)


def _uncertainty(subject: Subject) -> Iterator[Drawing]:
    held = subject.held
    entropies = {case: row.get("mean_entropy") for case, row in held.rows.items()}
    names, uncertain, wrong = uncertainty_and_error(held.content or {"cases": {}}, entropies)
    if len(names) < 3:
        return
    rho = rank_correlation(uncertain, wrong)
    said = "" if rho is None else f" Rank correlation {number(rho, 2)}: {_meaning(rho)}."
    flagged = [held.rows[name].get("flag") == "review" for name in names]
    figure = uncertainty_figure(uncertain.tolist(), wrong.tolist(), flagged)
    caption = f"Each case's mean entropy against its error.{said}"
    yield Drawing(figure, "Uncertainty against error of every case", caption)


FIGURES = (
    FigureRow(dice_distribution, OVER_CASES, _dice),
    FigureRow(bland_altman, OVER_CASES, _volumes),
    FigureRow(reliability_diagram, BELIEF, _reliability),
    FigureRow(uncertainty_figure, BELIEF, _uncertainty),
)


# ---- parts


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


def _meaning(rho: float) -> str:
    if rho >= 0.5:
        return "where it is unsure it tends to be wrong"
    return "its uncertainty says little of its error" if rho > -0.5 else "it is surest where it is wrong"


def _broken(name: str) -> str:
    """A long name on two lines, at an underscore or space near its middle."""
    if len(name) <= 16:
        return name
    breaks = [i for i, letter in enumerate(name) if letter in "_ -"]
    if not breaks:
        return name
    at = min(breaks, key=lambda i: abs(i - len(name) / 2))
    return name[: at + 1].rstrip() + "\n" + name[at + 1 :]


def _decimals(values: Sequence[float]) -> int:
    """So many that the largest of numbers shown together has three digits."""
    largest = max(map(abs, values), default=0.0)
    return 2 if not largest else min(4, max(0, 2 - math.floor(math.log10(largest))))


def _signed(value: float, decimals: int) -> str:
    return f"{value:+,.{decimals}f}".replace("-", "−")


def cases_said(count: int) -> str:
    """``1 case``, ``12 cases``."""
    return counted(count, "case")


def counted(count: int | None, word: str) -> str:
    """A number of things: ``1 mask``, ``12 masks``."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
