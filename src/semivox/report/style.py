"""How the pages' figures look, and a figure as SVG that can stand in a page beside others."""

from __future__ import annotations

import io
import math
import re
import warnings
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c7a00")
"""Okabe and Ito's colours in an order for lines and points on white; their yellow, which white swallows, is
darkened."""
INK, QUIET, GRID = "#1f2328", "#59636e", "#e4e7eb"

STYLE = {
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched, and takes the page's font
    "svg.hashsalt": "semivox",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "text.color": INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.parse_math": False,  # names hold dollar signs and underscores
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.linewidth": 0.8,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
}
"""For ``matplotlib.rc_context``: figures are made and written under it."""

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"

SIZE = (3.7, 2.45)
"""Width and height in inches: as wide as a telephone, so that letters keep their size there."""
LARGER = 1.2
"""How much larger a figure may become where there is room."""


def svg(figure: Figure, name: str, description: str) -> Markup:
    """The figure as an SVG element whose ids all begin with ``name`` (unique in the page; letters, digits,
    dashes). ``description`` is what a screen reader says. The same figure gives the same bytes."""
    import matplotlib

    written = io.BytesIO()
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # letters that the page's font will have
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(written.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            # its style sheet would hold for the whole page
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    for element in root.iter():
        _rename(element, name)
    root.attrib.pop("width", None)
    root.attrib.pop("height", None)
    root.set("role", "img")
    root.set("aria-label", description)
    width, _ = figure.get_size_inches()
    root.set("style", f"max-width:{LARGER * width * 96:.0f}px")
    ElementTree.register_namespace("", _SVG)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def widen(axis: Axes, least: float) -> None:
    """Show at least so much of the vertical: what differs by rounding alone is a straight line."""
    low, high = axis.get_ylim()
    if high - low < least:
        middle = (low + high) / 2
        axis.set_ylim(middle - least / 2, middle + least / 2)


def spread(values: np.ndarray) -> np.ndarray:
    """Heights at which the dots of sorted ``values`` do not hide each other: those that lie close take turns
    above and below the line."""
    heights, taken = np.zeros(len(values)), 0
    near = 0.012 * max(np.ptp(values), 0.05) if len(values) else 0
    for i in range(1, len(values)):
        taken = taken + 1 if values[i] - values[i - 1] < near else 0
        heights[i] = (1 if taken % 2 else -1) * 0.07 * math.ceil(taken / 2)
    return np.clip(heights, -0.3, 0.3)


def _rename(element: ElementTree.Element, name: str) -> None:
    """Prefix the element's id and every reference to an id of this figure."""
    for key, value in list(element.attrib.items()):
        if key == "id":
            element.set(key, f"{name}-{value}")
        elif key == f"{{{_XLINK}}}href":
            del element.attrib[key]
            element.set("href", value.replace("#", f"#{name}-", 1))
        elif "url(#" in value:
            element.set(key, re.sub(r"url\(#", f"url(#{name}-", value))
