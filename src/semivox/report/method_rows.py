"""Panels with a row for each method: how names of any length are laid out, on a screen and on a telephone.

A name is broken into lines, never cut. On a screen it stands beside its row; on a telephone there is no room
for that, and it stands above.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from semivox.report.style import QUIET

LINE = 0.15
"""Inches that each further line of a name adds to its row."""
SMALL = 7.5
"""Points."""


@dataclass(frozen=True)
class Paper:
    """What a figure is drawn on: ``width`` and the height of a ``row`` in inches, ``letters`` of a name in a
    line, and whether a name stands ``above`` its row."""

    width: float
    row: float
    letters: int
    above: bool = False

    def height(self, names: Sequence[str]) -> float:
        """Inches of a panel with a row for each name; all rows are as high as the highest needs."""
        lines = max((wrapped(name, self.letters).count("\n") for name in names), default=0)
        return len(names) * (self.row + LINE * lines)


SCREEN, PHONE = Paper(7.6, 0.27, 28), Paper(3.7, 0.5, 34, above=True)


def panels(paper: Paper, rows: Sequence[Sequence[str]], least: float = 0.0) -> tuple[Figure, list[Axes]]:
    """Panels above each other, each as high as its rows of names need."""
    heights = [max(least, paper.height(names)) + 0.55 for names in rows]
    figure = Figure(figsize=(paper.width, sum(heights) + 0.45 if heights else 1.0), layout="constrained")
    if not heights:
        return figure, []
    grid = figure.subplots(len(heights), 1, squeeze=False, sharex=True, height_ratios=heights)
    return figure, list(grid[:, 0])


def name_rows(axis: Axes, names: Sequence[str], title: str, paper: Paper) -> None:
    """A row for each name, the first at the top."""
    axis.set_ylim(len(names) - 0.4, -0.75 if paper.above else -0.6)
    broken = [wrapped(name, paper.letters) for name in names]
    axis.set_yticks(range(len(names)), [""] * len(names) if paper.above else broken)
    for y, name in enumerate(broken if paper.above else ()):
        axis.annotate(
            name, (0, y), (0, 6), xycoords=("axes fraction", "data"), textcoords="offset points",
            va="bottom", fontsize=SMALL + 1,
        )  # fmt: skip
    axis.tick_params(axis="y", length=0)
    axis.tick_params(axis="x", labelsize=SMALL, labelbottom=True)
    axis.spines["left"].set_visible(False)
    axis.grid(axis="y", visible=False)
    axis.set_title(title)


def beside(axis: Axes, words: str, place: tuple[float, float], points: tuple[float, float]) -> None:
    """Small words, so many points from a place."""
    axis.annotate(words, place, points, textcoords="offset points", va="center", fontsize=SMALL)


def legend(
    figure: Figure, entries: Sequence[tuple[str, str, str]], paper: Paper, hollow: str = QUIET
) -> None:
    """Colour, marker and words of each entry, above the panels; markers of the ``hollow`` colour are open."""
    keys = [
        Line2D(
            [], [], color=colour, marker=marker, markersize=5, label=wrapped(words),
            markerfacecolor="white" if colour == hollow else colour,
        )
        for colour, marker, words in entries
    ]  # fmt: skip
    figure.legend(handles=keys, loc="outside upper right", ncols=2 if paper.above else max(1, len(keys)))


def wrapped(name: str, letters: int = 28) -> str:
    """Lines of at most ``letters``, broken where a name has a joint; nothing is left out."""
    lines: list[str] = []
    line = ""
    for part in re.findall(r"[^,:/_+{ ]*[,:/_+{ ]?", name):
        if line and len(line) + len(part) > letters:
            lines, line = [*lines, line], ""
        line += part
        while len(line) > letters:
            lines, line = [*lines, line[:letters]], line[letters:]
    return "\n".join([*lines, line] if line or not lines else lines)
