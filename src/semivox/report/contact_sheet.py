"""A contact sheet: chosen scans with their predicted outline, where they are uncertain, and why them."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from semivox.cohort import Volume
from semivox.files import replacing
from semivox.prepare import Grid
from semivox.report.palette import COLOURS
from semivox.report.patient_planes import taken_in, to_ras
from semivox.report.style import INK, QUIET

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 60
"""Scans on one sheet."""
ACROSS = 3
"""Scans a row."""
WIDTH, TALLEST, GAP, LINE = 2.0, 3.0, 0.1, 0.15
"""Inches: a picture's width and largest height, the space between things, a line of text."""
LETTERS = 80
"""Letters a line of text."""
DPI = 130
PIXELS = 512
"""Of a snapshot, along its longer edge."""
UNCERTAIN = "inferno"


@dataclass(frozen=True)
class Snapshot:
    """The slice of a scan where its prediction is least certain, upright, rows first.

    ``picture`` (rows, columns) or (rows, columns, 3) uint8; ``probabilities`` (K, rows', columns') and
    ``entropies`` (rows', columns'), nats, float16, cover the same field in working voxels; ``size`` is its
    height and width in ``unit`` ("mm", or "" where the spacing is not known); ``where`` names plane and
    slice; ``edges`` are the patient's sides at its left, right, top and bottom ("" where unknown).
    """

    picture: np.ndarray
    probabilities: np.ndarray
    entropies: np.ndarray
    size: np.ndarray
    unit: str = ""
    where: str = ""
    edges: tuple[str, ...] = ("", "", "", "")

    def save(self, path: Path) -> None:
        """As one file of arrays (.npz)."""
        np.savez(path, **asdict(self))

    @classmethod
    def load(cls, path: Path) -> Snapshot:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
        words = {name: str(found[name]) for name in ("unit", "where")}
        return cls(**{**found, **words, "edges": tuple(map(str, found["edges"]))})


@dataclass(frozen=True)
class Card:
    """One scan of the sheet: its title, and what is said below it."""

    snapshot: Snapshot
    title: str
    text: str

    @property
    def lines(self) -> list[str]:
        return textwrap.wrap(self.text.replace(" %", "\N{NO-BREAK SPACE}%"), LETTERS)

    @property
    def picture_height(self) -> float:
        """Inches."""
        height, width = self.snapshot.size
        return min(TALLEST, WIDTH * float(height / width))


def take_snapshot(volume: Volume, grid: Grid, probabilities: np.ndarray, entropies: np.ndarray) -> Snapshot:
    """``probabilities`` (K, working) and ``entropies`` (working) lie on the scan's working ``grid``."""
    maps = grid.orientation.invert(np.concatenate([entropies[None], probabilities]))
    image, spacing = volume.array, volume.voxel_edges
    known = volume.spacing_status == "known"
    where, edges = "", ("", "", "", "")
    if volume.dims == 3:
        turned, ras = to_ras(volume, [image, maps])
        plane = taken_in(turned[0].shape[1:], ras)
        image, maps = (plane.slices(array) for array in turned)
        spacing = (ras[plane.columns], ras[plane.rows])
        shown = int(np.argmax(maps[0].sum((0, 1), dtype=np.float64)))
        index, count = int((shown + 0.5) * image.shape[-1] / maps.shape[-1]), image.shape[-1]
        where = f"{plane.name if known else 'along ' + 'xyz'[plane.axis]}, slice {index + 1} of {count}"
        edges = plane.edges if known else edges
        image = image[..., index]
        maps = maps[..., shown]
    width, height = image.shape[1] * spacing[0], image.shape[2] * spacing[1]
    image, maps = _thinned(image), _thinned(maps).transpose(0, 2, 1).astype(np.float16)
    size = np.array([height, width])
    picture = _picture(image if volume.is_colour else image[:1])
    return Snapshot(picture, maps[1:], maps[0], size, "mm" if known else "", where, edges)


def contact_sheet(cards: Sequence[Card], out: Path, *, title: str, classes: Mapping[int, str]) -> Path:
    """Write a PNG with ``cards`` in their order (the first ``MOST``). ``classes``: label value -> name."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = cards[:MOST]
    rows = [shown[i : i + ACROSS] for i in range(0, len(shown), ACROSS)]
    head = 4 * LINE
    width = ACROSS * (2 * WIDTH + GAP) + (ACROSS + 1) * 2 * GAP
    height = head + sum(map(_height, rows))
    with matplotlib.rc_context({"text.parse_math": False}):  # names hold dollar signs
        figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
        FigureCanvasAgg(figure)  # which knows how wide a text is
        more = f"; the first {MOST} are shown" if len(cards) > MOST else ""
        _write(figure, 2 * GAP, 1.6 * LINE, title + more, size=11, weight="bold")
        _legend(figure, classes)
        top = head
        for row in rows:
            for i, card in enumerate(row):
                _draw(figure, 2 * GAP + i * (2 * WIDTH + 3 * GAP), top, _text_height(row), card)
            top += _height(row)
        with replacing(out) as temporary:
            figure.savefig(temporary, format="png")
    return out


def _text_height(row: Sequence[Card]) -> float:
    """Inches above the pictures of a row."""
    return LINE * (2 + max(len(card.lines) for card in row))


def _height(row: Sequence[Card]) -> float:
    return _text_height(row) + max(card.picture_height for card in row) + 2 * GAP


def _draw(figure: Figure, left: float, top: float, text_height: float, card: Card) -> None:
    """A card whose upper left corner is ``left``, ``top`` inches from the figure's."""
    _write(figure, left, top + 1.2 * LINE, card.title, size=9, weight="bold")
    for i, line in enumerate(card.lines):
        _write(figure, left, top + (2.2 + i) * LINE, line, size=7, colour=QUIET)
    _draw_pictures(figure, left, top + text_height, card)


def pictures_of(card: Card) -> tuple[bytes, bytes]:
    """PNGs of one card's two pictures: the outlines, and where the prediction is uncertain."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    written = []
    for paint in PAINTERS:
        with matplotlib.rc_context({"text.parse_math": False}):
            figure = Figure(figsize=(WIDTH, card.picture_height), dpi=1.5 * DPI, facecolor="none")
            FigureCanvasAgg(figure)
            _draw_picture(figure, 0.0, 0.0, card, paint)
            file = io.BytesIO()
            figure.savefig(file, format="png")
        written.append(file.getvalue())
    return written[0], written[1]


def _draw_pictures(figure: Figure, left: float, top: float, card: Card) -> None:
    for i, paint in enumerate(PAINTERS):
        _draw_picture(figure, left + i * (WIDTH + GAP), top, card, paint)


def _draw_picture(figure: Figure, left: float, top: float, card: Card, paint: Painter) -> None:
    width, height = figure.get_size_inches()
    bottom = top + card.picture_height
    box = (left / width, 1 - bottom / height, WIDTH / width, card.picture_height / height)
    axis = figure.add_axes(box, anchor="NW")
    paint(axis, card.snapshot)
    _letter(axis, card.snapshot)
    axis.set_axis_off()


def _thinned(maps: np.ndarray) -> np.ndarray:
    """(C, columns, rows) with at most ``PIXELS`` of them along each: a sheet has not more to show."""
    step = math.ceil(max(maps.shape[1:]) / PIXELS)
    return maps[:, ::step, ::step]


def _picture(image: np.ndarray) -> np.ndarray:
    """(1 or 3, columns, rows) -> uint8 (rows, columns[, 3]) between its 1st and 99th percentile."""
    low, high = np.percentile(image, [1, 99])
    scaled = np.clip((image.astype(np.float32) - low) * (255 / max(float(high - low), 1e-6)), 0, 255)
    rows_first = np.rint(scaled).astype(np.uint8).transpose(2, 1, 0)
    return rows_first if len(image) == 3 else rows_first[..., 0]


def _paint_outlines(axis: Axes, snapshot: Snapshot) -> None:
    height, width = snapshot.size
    axis.imshow(snapshot.picture, cmap="gray", extent=(0, width, height, 0), interpolation="bilinear")
    probs = snapshot.probabilities.astype(np.float32)
    rows, columns = probs.shape[1:]
    x, y = (np.arange(columns) + 0.5) * width / columns, (np.arange(rows) + 0.5) * height / rows
    if not (probs.argmax(0) > 0).any():
        _in_picture(axis, 0.5, 0.5, "nothing found in this slice", "center", "center")
    for k in range(1, len(probs)):
        lead = probs[k] - np.delete(probs, k, axis=0).max(0)  # over the best other class: 0 on the outline
        if lead.max() > 0 > lead.min() and min(lead.shape) > 1:
            axis.contour(x, y, lead, [0], colors=[COLOURS[(k - 1) % len(COLOURS)]], linewidths=[1.2])


def _letter(axis: Axes, snapshot: Snapshot) -> None:
    """The patient's sides, plane and slice, and a bar of known length."""
    places = (
        (0.015, 0.5, "left", "center"),
        (0.985, 0.5, "right", "center"),
        (0.5, 0.91, "center", "top"),  # below the words
        (0.5, 0.015, "center", "bottom"),
    )
    for letter, (x, y, across, up) in zip(snapshot.edges, places, strict=True):
        _in_picture(axis, x, y, letter, across, up)
    _in_picture(axis, 0.02, 0.98, snapshot.where, "left", "top")
    if snapshot.unit:
        height, width = (float(side) for side in snapshot.size)
        length = bar_length(width)
        x, y = 0.97 * width - length, 0.95 * height
        for colour, thick in (("black", 3.4), ("white", 1.8)):
            axis.plot([x, x + length], [y, y], color=colour, linewidth=thick, solid_capstyle="butt")
        _in_picture(axis, 0.97, 0.07, f"{length:g} {snapshot.unit}", "right", "bottom")


def bar_length(width: float) -> float:
    """1, 2 or 5 times a power of ten: the longest that is at most a third of ``width``."""
    power = 10.0 ** math.floor(math.log10(width / 3))
    return max(step * power for step in (1, 2, 5) if step * power <= width / 3)


def _in_picture(axis: Axes, x: float, y: float, text: str, across: str, up: str) -> None:
    """White letters with a dark rim at a place of the picture, from its lower left corner."""
    from matplotlib.patheffects import withStroke

    axis.text(
        x, y, text, transform=axis.transAxes, ha=across, va=up, color="white", fontsize=6.5,
        path_effects=[withStroke(linewidth=1.6, foreground="black")],
    )  # fmt: skip


def _paint_uncertainty(axis: Axes, snapshot: Snapshot) -> None:
    """The picture at half its light, and over it the entropy, as opaque as it is large."""
    height, width = snapshot.size
    extent = (0, width, height, 0)
    dark = snapshot.picture // 2
    axis.imshow(dark, cmap="gray", vmin=0, vmax=255, extent=extent, interpolation="bilinear")
    part = snapshot.entropies.astype(np.float32) / math.log(len(snapshot.probabilities))
    opaque = np.clip(2 * part, 0, 1)
    axis.imshow(part, cmap=UNCERTAIN, vmin=0, vmax=1, alpha=opaque, extent=extent, interpolation="bilinear")


Painter = Callable[["Axes", Snapshot], None]
PAINTERS: tuple[Painter, Painter] = (_paint_outlines, _paint_uncertainty)


def _legend(figure: Figure, classes: Mapping[int, str]) -> None:
    """What the colours mean: the classes' names in them, then uncertainty."""
    x = 2 * GAP
    for word, colour in _legend_words(classes):
        x += _write(figure, x, 3.1 * LINE, word, size=8, colour=colour) + 0.05


def _legend_words(classes: Mapping[int, str]) -> Iterator[tuple[str, object]]:
    from matplotlib import colormaps

    yield "Left: predicted outline of", QUIET
    for k, value in enumerate(sorted(classes)):
        yield classes[value], COLOURS[k % len(COLOURS)]
    yield "   Right: entropy, from a sure prediction", QUIET
    for part in (0.3, 0.5, 0.7, 0.9):
        yield "■", colormaps[UNCERTAIN](part)
    yield "to all classes alike", QUIET


def _write(
    figure: Figure,
    x: float,
    y: float,
    text: str,
    *,
    size: float,
    colour: object = INK,
    weight: str = "normal",
) -> float:
    """Text whose foot begins ``x``, ``y`` inches from the figure's upper left corner; its width in inches."""
    width, height = figure.get_size_inches()
    written = figure.text(x / width, 1 - y / height, text, size=size, color=colour, weight=weight)
    return float(written.get_window_extent().width / figure.dpi)
