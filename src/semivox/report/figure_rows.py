"""What a figure of a page is: one row, with the function that draws it, its place and its captions.

The rows stand below their functions: of a training in `run_figures`, of held-out cases in `held_out_figures`,
of a comparison in `comparison_figures`. Pages and docs read them, see ``docs/how-to/add-a-figure.md``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from markupsafe import Markup
from matplotlib.figure import Figure

from semivox.report.style import svg

Source = TypeVar("Source")


@dataclass(frozen=True)
class Drawing:
    """A figure for a page. ``description`` is what a screen reader says; ``key`` tells the drawings of one
    row apart (letters, digits, dashes); ``narrow`` is the same for a telephone, where ``figure`` is too wide
    for one."""

    figure: Figure
    description: str
    caption: str = ""
    key: str = ""
    narrow: Figure | None = None

    def markup(self, name: str) -> Markup:
        """As SVG, ids beginning with ``name``; of two the page shows the one that fits."""
        drawn = svg(self.figure, name, self.description)
        if self.narrow is None:
            return drawn
        narrow = svg(self.narrow, f"{name}-narrow", self.description)
        both = Markup('<div class="wide-screen">{}</div><div class="narrow-screen">{}</div>')
        return both.format(drawn, narrow)


@dataclass(frozen=True)
class Place:
    """Where figures stand on a page: the section's id and its heading."""

    key: str
    heading: str


@dataclass(frozen=True)
class FigureRow(Generic[Source]):
    """One kind of figure. ``draw`` is the function for notebooks (in `semivox.report`, too); ``drawings``
    gives what the page shows of a source: nothing where there is nothing to show."""

    draw: Callable[..., Figure]
    place: Place
    drawings: Callable[[Source], Iterable[Drawing]]

    @property
    def name(self) -> str:
        return self.draw.__name__


class PlacedFigures(NamedTuple):
    """A section of a page: each figure is its SVG, its description and its caption."""

    key: str
    heading: str
    figures: list[tuple[Markup, str, str]]


def draw_rows(rows: Sequence[FigureRow[Source]], source: Source, prefix: str) -> list[PlacedFigures]:
    """The figures of ``source`` by place, in the order of the rows; places without any are left out. Ids
    begin with ``prefix``, which is unique in the page."""
    placed: dict[Place, list[tuple[Markup, str, str]]] = {}
    with warnings.catch_warnings():
        # letters that the font of the layout lacks are drawn by the reader's own
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        for row in rows:
            for drawing in row.drawings(source):
                words = [prefix, row.name.replace("_", "-"), drawing.key]
                drawn = drawing.markup("-".join(filter(None, words)))
                placed.setdefault(row.place, []).append((drawn, drawing.description, drawing.caption))
    return [PlacedFigures(place.key, place.heading, figures) for place, figures in placed.items()]
