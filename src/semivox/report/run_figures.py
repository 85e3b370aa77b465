"""Figures of a training, for a run's page and for notebooks: each function returns a matplotlib ``Figure``.

``journal`` is what :func:`semivox.training.journal.read_journal` gives.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from semivox.contents import MEAN_OF_CLASSES
from semivox.report.figure_rows import Drawing, FigureRow, Place
from semivox.report.run_record import RunRecord
from semivox.report.style import COLOURS, INK, QUIET, SIZE, STYLE, widen

SMOOTH = 40
"""The bold curve of a loss is a running mean over this part of the journal's lines."""
SAME = 1e-2
"""A loss that varies by less than this part of itself is a straight line."""


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
        below.set(ylabel="weight", ylim=(0, 1.15 * max(weights)))
        below.yaxis.set_major_locator(MaxNLocator(2))
    else:
        axis = below = figure.subplots()
    weight = f", weight {weights[0]:.3g}" if weights and not moving else ""
    axis.set(title=f"{term}{weight}", ylabel="loss")
    axis.plot(steps, values, color=COLOURS[4], linewidth=0.8, alpha=0.6)
    axis.plot(steps, running_mean(values, max(1, len(values) // SMOOTH)), color=COLOURS[0])
    widen(axis, SAME * float(np.abs(np.nan_to_num(values)).max(initial=0)))
    _step_axis(below)
    _mark_stages(axis, below, journal)
    return figure


@rc_context(STYLE)
def learning_rate_curve(journal: Sequence[Mapping[str, Any]]) -> Figure:
    """The learning rate of each player by step."""
    figure = Figure(figsize=SIZE, layout="constrained")
    axis = figure.subplots()
    players = list(dict.fromkeys(name for record in journal for name in record.get("lr", {})))
    for k, player in enumerate(players):
        axis.plot(*_series(journal, "lr", player), color=COLOURS[k % len(COLOURS)], label=player)
    axis.set(title="learning rate", ylabel="learning rate")
    _step_axis(axis)
    axis.set_ylim(bottom=0)
    if len(players) > 1:
        axis.legend()
    _mark_stages(axis, axis, journal)
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
        label = MEAN_OF_CLASSES if mean else name
        axis.plot([s + 1 for s in steps], dice, "o-", color=colour, markersize=3.5, label=label)
    axis.set(title="Dice of watched cases", ylabel="Dice")
    _step_axis(axis)
    if len(names) > 1:
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


def _series(journal: Iterable[Mapping[str, Any]], group: str, name: str) -> tuple[list[int], list[float]]:
    """Steps and values; a value that was not finite is NaN."""
    rows = [(r["step"], r[group][name]) for r in journal if name in (r.get(group) or {})]
    return [s for s, _ in rows], [math.nan if v is None else float(v) for _, v in rows]


def _step_axis(axis: Axes) -> None:
    """Steps across, whole ones: a run of three has no step 0.25."""
    axis.set_xlabel("step")
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _mark_stages(axis: Axes, lowest: Axes, journal: Sequence[Mapping[str, Any]]) -> None:
    """A line where a stage begins, if there are several: its number stands above ``axis``, where no curve is,
    and its name below the ``lowest`` one."""
    begins: dict[str, int] = {}
    for record in journal:
        if record.get("kind") == "step":
            begins.setdefault(record.get("stage", ""), record["step"])
    if len(begins) < 2:
        return
    for number, step in enumerate(begins.values(), 1):
        axis.axvline(step, color=QUIET, linewidth=0.8, linestyle=":")
        axis.annotate(
            str(number), (step, 1), (0, 1), xycoords=("data", "axes fraction"), textcoords="offset points",
            ha="center", va="bottom", color=QUIET, fontsize=7.5,
        )  # fmt: skip
    axis.set_title(axis.get_title(loc="left"), pad=14)
    named = ", ".join(f"{number} {name}" for number, name in enumerate(begins, 1))
    lowest.set_xlabel("\n".join(["step", *textwrap.wrap(named, 58)]))


# ---- on the page of a run

CURVES = Place("curves", "Training curves")


def _watched(record: RunRecord) -> Iterator[Drawing]:
    if record.steps and record.watched:
        caption = "Cases given with --watch. Nothing was chosen by them: the last weights count."
        yield Drawing(watch_curve(record.journal), "Dice of watched cases by step", caption)


def _losses(record: RunRecord) -> Iterator[Drawing]:
    for k, term in enumerate(term_names(record.steps)):
        yield Drawing(loss_curve(record.steps, term), f"Loss term {term} by step", key=str(k))


def _learning_rate(record: RunRecord) -> Iterator[Drawing]:
    if record.steps:
        yield Drawing(learning_rate_curve(record.steps), "Learning rate by step")


FIGURES = (
    FigureRow(watch_curve, CURVES, _watched),
    FigureRow(loss_curve, CURVES, _losses),
    FigureRow(learning_rate_curve, CURVES, _learning_rate),
)
