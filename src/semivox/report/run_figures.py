"""Figures of a run, for its page and for notebooks: each function returns a matplotlib ``Figure``.

``journal`` is what :func:`semivox.training.journal.read_journal` gives, ``evaluation`` an evaluation file's
content.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from semivox.evaluation import case_value
from semivox.evaluation.calibration import BINS, Reliability
from semivox.numerals import show_number
from semivox.report.style import COLOURS, INK, QUIET, STYLE

SIZE = (4.4, 2.7)
"""Width and height in inches: two beside each other on a desktop, one on a telephone, in readable letters."""
SMOOTH = 40
"""The bold curve of a loss is a running mean over this part of the journal's lines."""
FLAGGED = COLOURS[5]


def term_names(journal: Iterable[Mapping[str, Any]]) -> list[str]:
    """The terms of the loss, in the order in which they appear."""
    return list(dict.fromkeys(name for record in journal for name in record.get("terms", {})))


@rc_context(STYLE)
def loss_curve(journal: Sequence[Mapping[str, Any]], term: str) -> Figure:
    """A term of the loss by step, every logged value pale and their running mean bold; beneath it its weight,
    unless that never changes."""
    steps, values = _series(journal, "terms", term)
    at, weights = _series(journal, "weights", term)
    moving = len(set(weights)) > 1
    figure = Figure(figsize=SIZE, layout="constrained")
    if moving:
        axis, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        below.plot(at, weights, color=COLOURS[1])
        below.set(ylabel="weight", xlabel="step", ylim=(0, 1.15 * max(weights)))
        below.yaxis.set_major_locator(MaxNLocator(2))
    else:
        axis = figure.subplots()
        axis.set_xlabel("step")
    weight = f", weight {weights[0]:.3g}" if weights and not moving else ""
    axis.set(title=f"{term}{weight}", ylabel="loss")
    axis.plot(steps, values, color=COLOURS[4], linewidth=0.8, alpha=0.6)
    axis.plot(steps, running_mean(values, max(1, len(values) // SMOOTH)), color=COLOURS[0])
    _mark_stages(axis, journal)
    return figure


@rc_context(STYLE)
def learning_rate_curve(journal: Sequence[Mapping[str, Any]]) -> Figure:
    """The learning rate of each player by step."""
    figure = Figure(figsize=SIZE, layout="constrained")
    axis = figure.subplots()
    players = list(dict.fromkeys(name for record in journal for name in record.get("lr", {})))
    for k, player in enumerate(players):
        axis.plot(*_series(journal, "lr", player), color=COLOURS[k % len(COLOURS)], label=player)
    axis.set(title="learning rate", xlabel="step", ylabel="learning rate")
    axis.set_ylim(bottom=0)
    if len(players) > 1:
        axis.legend()
    _mark_stages(axis, journal)
    return figure


@rc_context(STYLE)
def watch_curve(journal: Sequence[Mapping[str, Any]]) -> Figure:
    """Mean Dice of the cases watched while training, by steps done. It chose nothing."""
    figure = Figure(figsize=SIZE, layout="constrained")
    axis = figure.subplots()
    watched = [record for record in journal if record.get("kind") == "watch"]
    names = list(dict.fromkeys(name for record in watched for name in record["dice"]))
    for k, name in enumerate(names):
        steps, dice = _series(watched, "dice", name)
        mean = name == "foreground"
        colour = INK if mean else COLOURS[k % len(COLOURS)]
        label = "mean of classes" if mean else name
        axis.plot([s + 1 for s in steps], dice, "o-", color=colour, markersize=3.5, label=label)
    axis.set(title="Dice of watched cases", xlabel="step", ylabel="Dice")
    if len(names) > 1:
        axis.legend()
    return figure


@rc_context(STYLE)
def dice_distribution(evaluation: Mapping[str, Any]) -> Figure:
    """The Dice of every case: a row a class, a dot a case, the box from the first to the third quartile with
    the median, and a diamond at the mean. Several classes get a row for their mean."""
    keys = list(evaluation["classes"])
    keys = [*keys, "foreground"] if len(keys) > 1 else keys
    figure = Figure(figsize=(SIZE[0], max(1.9, 1.0 + 0.5 * len(keys))), layout="constrained")
    axis = figure.subplots()
    lowest, names = 1.0, []
    for y, key in enumerate(keys):
        dice = np.array([case_value(row, "dice", key) for row in evaluation["cases"].values()])
        dice = np.sort(dice[~np.isnan(dice)])
        colour = INK if key == "foreground" else COLOURS[y % len(COLOURS)]
        names.append("mean of classes" if key == "foreground" else evaluation["classes"][key])
        if not len(dice):
            continue
        lowest = min(lowest, dice[0])
        first, median, third = np.percentile(dice, [25, 50, 75])
        axis.barh(y, third - first, left=first, height=0.5, color=colour, alpha=0.18, linewidth=0)
        axis.plot([median] * 2, [y - 0.25, y + 0.25], color=colour, linewidth=2)
        axis.plot(dice, y + spread(dice), "o", color=colour, markersize=3, alpha=0.65, markeredgewidth=0)
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
    if len(a) > 2:
        lines += [(difference.mean() + sign * 1.96 * difference.std(ddof=1), "--") for sign in (1, -1)]
    for y, pattern in lines:
        axis.axhline(y, color=COLOURS[5], linestyle=pattern, linewidth=1.2)
        axis.annotate(
            _signed(y), (1, y), (-2, 2), xycoords=("axes fraction", "data"), textcoords="offset points",
            ha="right", va="bottom", color=COLOURS[5], fontsize=7.5,
            bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.6},
        )  # fmt: skip
    axis.margins(y=0.15)
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


def running_mean(values: Sequence[float], half: int) -> np.ndarray:
    """The mean of each value and up to ``half`` before and after it; NaN is left out."""
    array = np.asarray(values, float)
    there = ~np.isnan(array)
    sums, counts = (np.r_[0, np.cumsum(v)] for v in (np.where(there, array, 0), there))
    low = np.maximum(np.arange(len(array)) - half, 0)
    high = np.minimum(np.arange(len(array)) + half + 1, len(array))
    found = counts[high] - counts[low]
    return np.where(found > 0, (sums[high] - sums[low]) / np.maximum(found, 1), np.nan)


def spread(values: np.ndarray) -> np.ndarray:
    """Heights at which the dots of sorted ``values`` do not hide each other: those that lie close take turns
    above and below the line."""
    heights, taken = np.zeros(len(values)), 0
    near = 0.012 * max(np.ptp(values), 0.05) if len(values) else 0
    for i in range(1, len(values)):
        taken = taken + 1 if values[i] - values[i - 1] < near else 0
        heights[i] = (1 if taken % 2 else -1) * 0.07 * math.ceil(taken / 2)
    return np.clip(heights, -0.3, 0.3)


def _series(journal: Iterable[Mapping[str, Any]], group: str, name: str) -> tuple[list[int], list[float]]:
    """Steps and values; a value that was not finite is NaN."""
    rows = [(r["step"], r[group][name]) for r in journal if name in (r.get(group) or {})]
    return [s for s, _ in rows], [math.nan if v is None else float(v) for _, v in rows]


def _mark_stages(axis: Axes, journal: Sequence[Mapping[str, Any]]) -> None:
    """A line where a stage begins, if there are several."""
    begins: dict[str, int] = {}
    for record in journal:
        if record.get("kind") == "step":
            begins.setdefault(record["stage"], record["step"])
    if len(begins) < 2:
        return
    for name, step in begins.items():
        axis.axvline(step, color=QUIET, linewidth=0.8, linestyle=":")
        axis.annotate(
            name, (step, 1), (2, -2), xycoords=("data", "axes fraction"), textcoords="offset points",
            rotation=90, ha="left", va="top", color=QUIET, fontsize=7,
        )  # fmt: skip


def _broken(name: str) -> str:
    """A long name on two lines, at an underscore or space near its middle."""
    if len(name) <= 16:
        return name
    breaks = [i for i, letter in enumerate(name) if letter in "_ -"]
    if not breaks:
        return name
    at = min(breaks, key=lambda i: abs(i - len(name) / 2))
    return name[: at + 1].rstrip() + "\n" + name[at + 1 :]


def _signed(value: float) -> str:
    return show_number(value, sign="+").replace("-", "−")
