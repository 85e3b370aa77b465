"""Figures of a comparison, for its page and for notebooks: each function returns a matplotlib ``Figure``.

Methods are rows or panels, so that names of any length can be read. Each is drawn for a screen, or
``narrow`` for a telephone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import replace
from statistics import fmean

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from semivox.duration import show_duration
from semivox.evaluation import DICE, VERDICT_WORDS
from semivox.report.comparison_record import ComparisonRecord, Cost, Estimate, MethodResult, cost_of
from semivox.report.figure_rows import Drawing, FigureRow, Place
from semivox.report.method_rows import (
    LINE,
    PHONE,
    SCREEN,
    SMALL,
    Paper,
    beside,
    legend,
    name_rows,
    panels,
    wrapped,
)
from semivox.report.style import COLOURS, INK, QUIET, STYLE, spread

FAINT, BAR = "#a0a7ae", "#9ecae1"
FOLLOWED = 8
"""Up to so many cases, a line follows each from method to method; more would hide one another."""
VERDICTS = {
    "gains": (COLOURS[0], "^"),
    "open": (QUIET, "o"),
    "trails": (COLOURS[5], "v"),
    "reference": (INK, "D"),
}
"""Verdict -> colour and marker: each tells it alone."""
COSTS = {
    "seconds": ("training time", show_duration),
    "steps": ("steps", lambda n: f"{n:.0f}"),
    "step_seconds": ("seconds a step", lambda n: f"{n:#.3g}"),
    "peak_memory_gib": ("memory, GiB", lambda n: f"{n:.2f}"),
}


@rc_context(STYLE)
def forest_figure(record: ComparisonRecord, narrow: bool = False) -> Figure:
    """Paired differences of foreground Dice to the reference with their intervals, best first.

    A panel a labelled set. A row without a difference (no seed in common) says so.
    """
    paper = replace(PHONE, row=0.62) if narrow else replace(SCREEN, width=6.8)
    sets = [(labeled, _by_gain(record, labeled)) for labeled in record.labeled if record.rows(labeled)]
    figure, axes = panels(paper, [[r.name for r in rows] for _, rows in sets])
    for axis, (labeled, rows) in zip(axes, sets, strict=True):
        name_rows(axis, [r.name for r in rows], _set_title(record, labeled), paper)
        axis.axvline(0, color=INK, linewidth=1.0)
        for y, row in enumerate(rows):
            _difference(axis, y, row, paper)
    if axes:
        across = f"worse ←   Dice minus {record.reference_name}, with 95 % interval   → better"
        axes[-1].set_xlabel("\n".join(textwrap.wrap(across, 48 if narrow else 90)))
        kinds = {r.verdict for _, rows in sets for r in rows}
        legend(figure, [(*VERDICTS[kind], VERDICT_WORDS[kind]) for kind in VERDICTS if kind in kinds], paper)
    return figure


@rc_context(STYLE)
def label_figure(record: ComparisonRecord, narrow: bool = False) -> Figure:
    """Foreground Dice with its interval over the number of labelled cases: a panel a method, the reference
    in grey behind it. Sets with equally many cases stand side by side, the line runs through their mean."""
    variants = [v for v in record.variants if v != record.reference] or list(record.variants)
    paper = PHONE if narrow else SCREEN
    titles = [wrapped(record.names[v], 15 if narrow else 28) for v in variants]
    across = min(2 if narrow else 3, max(1, len(variants)))
    down = max(1, -(-len(variants) // across))
    lines = 1 + max((t.count("\n") for t in titles), default=0)
    figure = Figure(figsize=(paper.width, down * (1.6 + LINE * lines) + 0.6), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    places = _label_places(record)
    for i, axis in enumerate(grid.flat):
        if i >= len(variants):
            axis.set_axis_off()
            continue
        _over_labels(axis, record, record.reference, places, FAINT, "o")
        if variants[i] != record.reference:
            _over_labels(axis, record, variants[i], places, COLOURS[0], "s")
        axis.set_title(titles[i], fontsize=SMALL + 1)
        axis.grid(axis="x", visible=False)
        axis.tick_params(labelsize=SMALL, labelbottom=i + across >= len(variants))
        _label_ticks(axis, record, places)
    figure.supxlabel("labelled cases", fontsize=SMALL + 1)
    figure.supylabel("Dice", fontsize=SMALL + 1)
    entries = [(FAINT, "o", record.reference_name), (COLOURS[0], "s", "the method of the panel")]
    legend(figure, entries if record.reference in record.variants else entries[1:], paper)
    return figure


@rc_context(STYLE)
def cost_figure(record: ComparisonRecord, narrow: bool = False) -> Figure:
    """Training time, steps, seconds a step and (where runs recorded it) peak memory of each method: the mean
    over its finished cells as a bar; a dot a cell where there are several. Methods best Dice first."""
    variants, names = list(record.variants), [record.names[v] for v in record.variants]
    costs = {v: record.cost(v) for v in variants}
    shown = [key for key in COSTS if any(getattr(c, key) is not None for c in costs.values())]
    paper = replace(PHONE, row=0.4) if narrow else SCREEN
    down, across = (max(1, len(shown)), 1) if narrow else (1, max(1, len(shown)))
    high = down * (paper.height(names) + 0.8)
    figure = Figure(figsize=(paper.width, high), layout="constrained")
    grid = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
    thick = 0.15 * len(names) / max(paper.height(names), 0.27)
    for axis, key in zip(grid, shown, strict=False):
        title, words = COSTS[key]
        name_rows(axis, names, title, paper)
        top = 0.0
        for y, variant in enumerate(variants):
            mean = getattr(costs[variant], key)
            if mean is None:
                continue
            axis.barh(y, mean, height=thick, color=QUIET if variant == record.reference else BAR)
            each = [getattr(c, key) for c in _cell_costs(record, variant)]
            each = [value for value in each if value is not None]
            if len(each) > 1:
                axis.plot(each, [y] * len(each), ".", color=INK, markersize=3)
            end = max(mean, *each)
            top = max(top, end)
            beside(axis, words(mean), (end, y), (4, 0))
        axis.set_xlim(0, 1.5 * top or 1.0)
        axis.xaxis.set_major_locator(MaxNLocator(3))
    return figure


@rc_context(STYLE)
def case_figure(record: ComparisonRecord, labeled: str | None = None, narrow: bool = False) -> Figure:
    """Foreground Dice of each case under each method: a dot a case, coloured by its Dice under the reference,
    and for few cases a line from method to method; the box goes from quartile to quartile, black bars are
    means. A panel a labelled set (or the one asked for), methods best first."""
    paper, sets = PHONE if narrow else SCREEN, []
    for name in record.labeled if labeled is None else [labeled]:
        dice = {r.variant: record.case_dice(name, r.variant) for r in record.rows(name)}
        rows = [r for r in record.rows(name) if dice[r.variant]]
        if rows:
            sets.append((name, rows, dice))
    figure, axes = panels(paper, [[r.name for r in rows] for _, rows, _ in sets], least=1.8)
    for axis, (name, rows, dice) in zip(axes, sets, strict=True):
        name_rows(axis, [r.name for r in rows], _set_title(record, name), paper)
        cases = list(dict.fromkeys(case for r in rows for case in dice[r.variant]))
        table = np.array([[dice[r.variant].get(case, np.nan) for r in rows] for case in cases])
        shade = np.array([dice.get(record.reference, {}).get(case, np.nan) for case in cases])
        _case_dots(figure, axis, table, shade, record.reference_name, paper)
        means = np.nanmean(table, axis=0)
        axis.plot(means, range(len(rows)), "|", color=INK, markersize=12, markeredgewidth=2.2, zorder=5)
        axis.grid(axis="y")
    if axes:
        axes[-1].set_xlabel("Dice of a case")
    return figure


def signed(estimate: Estimate, decimals: int = DICE.decimals) -> str:
    """``+0.030 [+0.019, +0.042]``, with true minus signs; a dash where there is no number."""
    if estimate.mean is None:
        return "–"
    text = f"{estimate.mean:+.{decimals}f}"
    if estimate.low is not None and estimate.high is not None:
        text += f" [{estimate.low:+.{decimals}f}, {estimate.high:+.{decimals}f}]"
    return text.replace("-", "−")


# ---- on the page of a comparison


def _forest(record: ComparisonRecord) -> Iterator[Drawing]:
    name = record.reference_name
    caption = (
        f"Each method's Dice minus that of {name}, case by case and seed by seed; the line is the 95 % "
        "interval. Best first."
    )
    description = f"Paired differences of Dice to {name}, with intervals"
    yield Drawing(forest_figure(record), description, caption, narrow=forest_figure(record, narrow=True))


def _labels(record: ComparisonRecord) -> Iterator[Drawing]:
    if len(record.labeled) > 1:
        description = "Dice over the number of labelled cases, a panel a method"
        caption = (
            "Mean Dice with its 95 % interval over the number of labelled cases. Sets with equally many "
            "cases stand side by side; the line runs through their mean."
        )
        yield Drawing(label_figure(record), description, caption, narrow=label_figure(record, narrow=True))


def _cost(record: ComparisonRecord) -> Iterator[Drawing]:
    caption = (
        "Bars are means over a method's finished cells; where there are several, each is a dot. Time counts "
        "from the start of the command; the comparison prepares shared scans before."
    )
    description = "Training time, steps and memory of each method"
    yield Drawing(cost_figure(record), description, caption, narrow=cost_figure(record, narrow=True))


def _cases(record: ComparisonRecord) -> Iterator[Drawing]:
    caption = (
        f"A dot is a case; its colour is its Dice under {record.reference_name}, so that colours out of "
        "order are cases that another method finds easier or harder. Black bars are means. Up to "
        f"{FOLLOWED} cases are followed by lines; of more, boxes go from the first to the third quartile."
    )
    description = "Dice of each case under each method"
    yield Drawing(case_figure(record), description, caption, narrow=case_figure(record, narrow=True))


DIFFERENCES = Place("differences", "Differences")
FIGURES = (
    FigureRow(forest_figure, DIFFERENCES, _forest),
    FigureRow(label_figure, Place("labels", "Dice over labels"), _labels),
    FigureRow(cost_figure, Place("cost", "Time and memory"), _cost),
    FigureRow(case_figure, Place("cases", "Every case"), _cases),
)


# ---- parts


def _difference(axis: Axes, y: int, row: MethodResult, paper: Paper) -> None:
    """Marker, interval and, at the right or below, the same in figures."""
    gain = Estimate(0.0) if row.verdict == "reference" else row.gain("dice")
    words = "reference" if row.verdict == "reference" else signed(gain)
    if gain.mean is None:
        words = "no seed in common"
    else:
        colour, marker = VERDICTS[row.verdict]
        if gain.low is not None and gain.high is not None:
            axis.plot([gain.low, gain.high], [y, y], color=colour, linewidth=2.0)
        face = "white" if row.verdict == "open" else colour
        axis.plot(gain.mean, y, marker, color=colour, markerfacecolor=face, markersize=6, zorder=3)
    axis.annotate(
        words, (1.0 if paper.above else 1.01, y), (0, -5 if paper.above else 0),
        xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=SMALL + paper.above,
        ha="right" if paper.above else "left", va="top" if paper.above else "center",
    )  # fmt: skip


def _by_gain(record: ComparisonRecord, labeled: str) -> list[MethodResult]:
    """Best difference first; what has none comes last."""

    def place(row: MethodResult) -> float:
        mean = 0.0 if row.verdict == "reference" else row.gain("dice").mean
        return float("inf") if mean is None else -mean

    return sorted(record.rows(labeled), key=place)


def _cell_costs(record: ComparisonRecord, variant: str) -> list[Cost]:
    return [cost_of([cell]) for cell in record.cells if cell.variant == variant]


def _label_places(record: ComparisonRecord) -> dict[str, tuple[int, float]]:
    """Labelled set -> (column of its number of cases, its place within the column)."""
    columns: dict[float | None, list[str]] = {}
    for name in record.labeled:
        columns.setdefault(record.labeled_cases[name], []).append(name)
    return {
        name: (index, index + 0.14 * (i - (len(same) - 1) / 2))
        for index, same in enumerate(columns.values())
        for i, name in enumerate(same)
    }


def _over_labels(
    axis: Axes,
    record: ComparisonRecord,
    variant: str,
    places: Mapping[str, tuple[int, float]],
    colour: str,
    marker: str,
) -> None:
    """One method's points with intervals, and the line through the mean of each column."""
    columns: dict[int, list[float]] = {}
    for row in record.results:
        dice = row.of("dice")
        if row.variant != variant or dice.mean is None:
            continue
        column, x = places[row.labeled]
        columns.setdefault(column, []).append(dice.mean)
        if dice.low is not None and dice.high is not None:
            axis.plot([x, x], [dice.low, dice.high], color=colour, linewidth=1.2)
        axis.plot(x, dice.mean, marker, color=colour, markersize=3.5)
    axis.plot(sorted(columns), [fmean(columns[c]) for c in sorted(columns)], color=colour, linewidth=1.2)


def _label_ticks(axis: Axes, record: ComparisonRecord, places: Mapping[str, tuple[int, float]]) -> None:
    columns: dict[int, list[str]] = {}
    for name, (column, _) in places.items():
        columns.setdefault(column, []).append(name)
    texts = []
    for names in columns.values():
        count = record.labeled_cases[names[0]]
        number = "?" if count is None else f"{count:g}"
        others = ", ".join(name for name in names if name != number)
        texts.append("\n".join([number, *textwrap.wrap(others, 14)]))
    axis.set_xticks(list(columns), texts)
    axis.set_xlim(-0.4, len(columns) - 0.6)


def _case_dots(
    figure: Figure, axis: Axes, table: np.ndarray, shade: np.ndarray, reference: str, paper: Paper
) -> None:
    """``table`` (cases, methods) as dots in rows, few cases as lines too; ``shade`` (cases,)."""
    known = shade[~np.isnan(shade)]
    palette = ScalarMappable(Normalize(known.min(), known.max()) if len(known) else None, "viridis")
    colours = palette.to_rgba(np.nan_to_num(shade))
    colours[np.isnan(shade)] = (0.65, 0.65, 0.65, 1.0)
    followed, ys = len(table) <= FOLLOWED, np.arange(table.shape[1])
    if followed:
        paths = [np.column_stack([row, ys]) for row in table]
        axis.add_collection(LineCollection(paths, colors=colours, linewidths=1.2, alpha=0.6))
    axis.update_datalim([(np.nanmin(table), 0), (np.nanmax(table), 0)])
    for y, dice in enumerate(table.T):
        order = np.argsort(dice)[: np.count_nonzero(~np.isnan(dice))]  # NaN comes last
        if not followed:
            low, high = np.percentile(dice[order], [25, 75])
            axis.barh(y, high - low, left=low, height=0.5, color=QUIET, alpha=0.15, linewidth=0)
        heights = y + (0 if followed else spread(dice[order]))
        axis.scatter(dice[order], heights + np.zeros(len(order)), s=12, c=colours[order], linewidths=0)
    axis.autoscale_view(scaley=False)
    if len(known) > 1:
        below = (
            {"location": "bottom", "pad": 0.02, "aspect": 40} if paper.above else {"pad": 0.01, "aspect": 30}
        )
        bar = figure.colorbar(palette, ax=axis, fraction=0.03, **below)
        bar.set_label(f"Dice under {wrapped(reference)}", fontsize=SMALL)
        bar.ax.tick_params(labelsize=SMALL)
        bar.ax.grid(visible=False)
        bar.outline.set_visible(False)


def _set_title(record: ComparisonRecord, labeled: str) -> str:
    count = record.labeled_cases[labeled]
    if count is None or f"{count:g}" == labeled:
        return f"{labeled} labelled cases" if count is not None else f"labelled: {labeled}"
    return f"{labeled}: {count:g} labelled cases"
