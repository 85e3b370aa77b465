"""Figures of a comparison, for its page and for notebooks: each function returns a matplotlib ``Figure``.

Methods are rows or panels, so that names of any length can be read; a name is broken into lines, never cut.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from semivox.duration import show_duration
from semivox.evaluation import DICE
from semivox.report.comparison_record import ComparisonRecord, Cost, Estimate, MethodResult, cost_of
from semivox.report.figure_rows import Drawing, FigureRow, Place
from semivox.report.style import COLOURS, INK, QUIET, STYLE

WIDTH, FOREST = 7.6, 6.8  # inches
ROW, LINE = 0.27, 0.15  # inches: a row of one line, and each line more
WRAP = 28  # letters
SMALL = 7.5  # points
FAINT, BAR = "#a0a7ae", "#9ecae1"
DOTTED = 80
"""Up to so many cases, every Dice is a dot on its line."""
VERDICTS = {
    "gains": (COLOURS[0], "^", "gains"),
    "open": (QUIET, "o", "open: the interval holds 0"),
    "trails": (COLOURS[5], "v", "trails"),
    "reference": (INK, "D", "reference"),
}
"""Verdict -> colour, marker and words: each of the three tells it alone."""
COSTS = {
    "seconds": ("training time", show_duration),
    "steps": ("steps", lambda n: f"{n:.0f}"),
    "step_seconds": ("seconds a step", lambda n: f"{n:#.3g}"),
    "peak_memory_gib": ("memory, GiB", lambda n: f"{n:.2f}"),
}


@rc_context(STYLE)
def forest_figure(record: ComparisonRecord) -> Figure:
    """Paired differences of foreground Dice to the reference with their intervals, best first.

    A panel a labelled set. A row without a difference (no seed in common) says so.
    """
    panels = [(labeled, _by_gain(record, labeled)) for labeled in record.labeled if record.rows(labeled)]
    figure, axes = _panels([[r.name for r in rows] for _, rows in panels], width=FOREST)
    for axis, (labeled, rows) in zip(axes, panels, strict=True):
        _rows(axis, [r.name for r in rows], _set_title(record, labeled))
        axis.axvline(0, color=INK, linewidth=1.0)
        for y, row in enumerate(rows):
            _difference(axis, y, row)
    if axes:
        across = f"worse ←   Dice minus {record.reference_name}, with 95 % interval   → better"
        axes[-1].set_xlabel("\n".join(textwrap.wrap(across, 90)))
        kinds = {r.verdict for _, rows in panels for r in rows}
        _legend(figure, [VERDICTS[kind] for kind in VERDICTS if kind in kinds])
    return figure


@rc_context(STYLE)
def label_figure(record: ComparisonRecord) -> Figure:
    """Foreground Dice with its interval over the number of labelled cases: a panel a method, the reference
    in grey behind it. Sets with equally many cases stand side by side, the line runs through their mean."""
    variants = [v for v in record.variants if v != record.reference] or list(record.variants)
    titles = [wrapped(record.names[v]) for v in variants]
    across = min(3, max(1, len(variants)))
    down = max(1, -(-len(variants) // across))
    lines = 1 + max((t.count("\n") for t in titles), default=0)
    figure = Figure(figsize=(WIDTH, down * (1.6 + LINE * lines) + 0.6), layout="constrained")
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
    _legend(figure, entries if record.reference in record.variants else entries[1:])
    return figure


@rc_context(STYLE)
def cost_figure(record: ComparisonRecord) -> Figure:
    """Training time, steps, seconds a step and (where runs recorded it) peak memory of each method: the mean
    over its finished cells as a bar; a dot a cell where there are several. Methods best Dice first."""
    variants, names = list(record.variants), [record.names[v] for v in record.variants]
    costs = {v: record.cost(v) for v in variants}
    shown = [key for key in COSTS if any(getattr(c, key) is not None for c in costs.values())]
    figure = Figure(figsize=(WIDTH, _height(names) + 0.8), layout="constrained")
    grid = figure.subplots(1, max(1, len(shown)), squeeze=False, sharey=True)[0]
    thick = 0.55 * ROW * len(names) / max(_height(names), ROW)
    for axis, key in zip(grid, shown, strict=False):
        title, words = COSTS[key]
        _rows(axis, names, title)
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
            _beside(axis, words(mean), (end, y), (4, 0))
        axis.set_xlim(0, 1.5 * top or 1.0)
        axis.xaxis.set_major_locator(MaxNLocator(3))
    return figure


@rc_context(STYLE)
def case_figure(record: ComparisonRecord, labeled: str | None = None) -> Figure:
    """Foreground Dice of each case under each method: a line a case, coloured by its Dice under the
    reference; black bars are means. A panel a labelled set (or the one asked for), methods best first."""
    panels = []
    for name in record.labeled if labeled is None else [labeled]:
        dice = {r.variant: record.case_dice(name, r.variant) for r in record.rows(name)}
        rows = [r for r in record.rows(name) if dice[r.variant]]
        if rows:
            panels.append((name, rows, dice))
    figure, axes = _panels([[r.name for r in rows] for _, rows, _ in panels], least=1.8)
    for axis, (name, rows, dice) in zip(axes, panels, strict=True):
        _rows(axis, [r.name for r in rows], _set_title(record, name))
        cases = list(dict.fromkeys(case for r in rows for case in dice[r.variant]))
        table = np.array([[dice[r.variant].get(case, np.nan) for r in rows] for case in cases])
        shade = np.array([dice.get(record.reference, {}).get(case, np.nan) for case in cases])
        _case_lines(figure, axis, table, shade, record.reference_name)
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


def wrapped(name: str) -> str:
    """Lines of at most WRAP letters, broken where a name has a joint; nothing is left out."""
    lines: list[str] = []
    line = ""
    for part in re.findall(r"[^,:/_+{ ]*[,:/_+{ ]?", name):
        if line and len(line) + len(part) > WRAP:
            lines, line = [*lines, line], ""
        line += part
        while len(line) > WRAP:
            lines, line = [*lines, line[:WRAP]], line[WRAP:]
    return "\n".join([*lines, line] if line or not lines else lines)


# ---- on the page of a comparison


def _forest(record: ComparisonRecord) -> Iterator[Drawing]:
    name = record.reference_name
    caption = (
        f"Each method's Dice minus that of {name}, case by case and seed by seed; the line is the 95 % "
        "interval. Best first."
    )
    yield Drawing(forest_figure(record), f"Paired differences of Dice to {name}, with intervals", caption)


def _labels(record: ComparisonRecord) -> Iterator[Drawing]:
    if len(record.labeled) > 1:
        description = "Dice over the number of labelled cases, a panel a method"
        caption = (
            "Mean Dice with its 95 % interval over the number of labelled cases. Sets with equally many "
            "cases stand side by side; the line runs through their mean."
        )
        yield Drawing(label_figure(record), description, caption)


def _cost(record: ComparisonRecord) -> Iterator[Drawing]:
    caption = (
        "Bars are means over a method's finished cells; where there are several, each is a dot. Time counts "
        "from the start of the command; the comparison prepares shared scans before."
    )
    yield Drawing(cost_figure(record), "Training time, steps and memory of each method", caption)


def _cases(record: ComparisonRecord) -> Iterator[Drawing]:
    caption = (
        f"A line is a case, from method to method; its colour is its Dice under {record.reference_name}. "
        "Black bars are means. Lines that cross are cases that another method finds easier or harder."
    )
    yield Drawing(case_figure(record), "Dice of each case under each method", caption)


DIFFERENCES = Place("differences", "Differences")
FIGURES = (
    FigureRow(forest_figure, DIFFERENCES, _forest),
    FigureRow(label_figure, Place("labels", "Dice over labels"), _labels),
    FigureRow(cost_figure, Place("cost", "Time and memory"), _cost),
    FigureRow(case_figure, Place("cases", "Every case"), _cases),
)


# ---- parts


def _panels(
    rows: Sequence[Sequence[str]], least: float = 0.0, width: float = WIDTH
) -> tuple[Figure, list[Axes]]:
    """Panels above each other, each as high as its rows of names need."""
    heights = [max(least, _height(names)) + 0.55 for names in rows]
    figure = Figure(figsize=(width, sum(heights) + 0.45 if heights else 1.0), layout="constrained")
    if not heights:
        return figure, []
    grid = figure.subplots(len(heights), 1, squeeze=False, sharex=True, height_ratios=heights)
    return figure, list(grid[:, 0])


def _height(names: Sequence[str]) -> float:
    """Inches of a panel with a row for each name; all rows are as high as the highest needs."""
    lines = max((wrapped(name).count("\n") for name in names), default=0)
    return len(names) * (ROW + LINE * lines)


def _rows(axis: Axes, names: Sequence[str], title: str) -> None:
    """A row for each name, the first at the top."""
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.set_yticks(range(len(names)), [wrapped(name) for name in names])
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=SMALL, labelbottom=True)
    axis.spines["left"].set_visible(False)
    axis.grid(axis="y", visible=False)
    axis.set_title(title)


def _difference(axis: Axes, y: int, row: MethodResult) -> None:
    """Marker, interval and, at the right, the same in figures."""
    gain = Estimate(0.0) if row.verdict == "reference" else row.gain("dice")
    words = "reference" if row.verdict == "reference" else signed(gain)
    if gain.mean is None:
        words = "no seed in common"
    else:
        colour, marker, _ = VERDICTS[row.verdict]
        if gain.low is not None and gain.high is not None:
            axis.plot([gain.low, gain.high], [y, y], color=colour, linewidth=2.0)
        face = "white" if row.verdict == "open" else colour
        axis.plot(gain.mean, y, marker, color=colour, markerfacecolor=face, markersize=6, zorder=3)
    axis.annotate(words, (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=SMALL)


def _beside(axis: Axes, words: str, place: tuple[float, float], points: tuple[float, float]) -> None:
    axis.annotate(words, place, points, textcoords="offset points", va="center", fontsize=SMALL)


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


def _case_lines(figure: Figure, axis: Axes, table: np.ndarray, shade: np.ndarray, reference: str) -> None:
    """``table`` (cases, methods) as lines from row to row, the thinner the more; ``shade`` (cases,)."""
    known = shade[~np.isnan(shade)]
    palette = ScalarMappable(Normalize(known.min(), known.max()) if len(known) else None, "viridis")
    colours = palette.to_rgba(np.nan_to_num(shade))
    colours[np.isnan(shade)] = (0.65, 0.65, 0.65, 1.0)
    order = np.argsort(-np.nan_to_num(shade, nan=np.inf))  # what is hard for the reference lies on top
    ys = np.arange(table.shape[1])
    paths = [np.column_stack([table[i], ys]) for i in order]
    width = float(np.clip(30 / len(table), 0.4, 1.5))
    axis.add_collection(LineCollection(paths, colors=colours[order], linewidths=width, alpha=0.8))
    axis.update_datalim([(np.nanmin(table), 0), (np.nanmax(table), 0)])
    if len(table) <= DOTTED:
        for i in order:
            axis.plot(table[i], ys, "o", color=colours[i], markersize=2.4, markeredgewidth=0)
    axis.autoscale_view(scaley=False)
    if len(known) > 1:
        bar = figure.colorbar(palette, ax=axis, fraction=0.03, pad=0.01, aspect=30)
        bar.ax.set_ylabel(f"Dice under {wrapped(reference)}", fontsize=SMALL)
        bar.ax.tick_params(labelsize=SMALL)
        bar.ax.grid(visible=False)
        bar.outline.set_visible(False)


def _set_title(record: ComparisonRecord, labeled: str) -> str:
    count = record.labeled_cases[labeled]
    if count is None or f"{count:g}" == labeled:
        return f"{labeled} labelled cases" if count is not None else f"labelled: {labeled}"
    return f"{labeled}: {count:g} labelled cases"


def _legend(figure: Figure, entries: Sequence[tuple[str, str, str]]) -> None:
    """Colour, marker and words of each entry, above the panels."""
    keys = [
        Line2D(
            [], [], color=colour, marker=marker, markersize=5, label=wrapped(words),
            markerfacecolor="white" if words.startswith("open") else colour,
        )
        for colour, marker, words in entries
    ]  # fmt: skip
    figure.legend(handles=keys, loc="outside upper right", ncols=len(keys))
