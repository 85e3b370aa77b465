"""One slice of a case as a picture without a script: what is printed, and stands until a viewer does."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from PIL import Image

QUALITY = 85
TALL = 320
"""Height of a still in its own units, in which the letters of its edges are 11 high."""


@dataclass(frozen=True)
class Still:
    """``sheet``: the slice without masks as an image's data address, ``tile`` its pixels; ``aspect`` width by
    height; ``edges`` the patient's sides at left, right, top and bottom; ``where`` plane and slice in words;
    ``units`` of the outlines' coordinates to a pixel."""

    sheet: str
    tile: tuple[int, int]
    aspect: float
    edges: tuple[str, ...]
    where: str
    units: int

    @property
    def across(self) -> tuple[int, int]:
        """Width and height in the outlines' units."""
        return self.tile[0] * self.units, self.tile[1] * self.units


def still_of(record: Mapping[str, Any]) -> Still:
    """The slice that a viewer of ``record`` begins with."""
    plane = record["planes"][0]
    width, height = plane["size"]
    slices = "" if plane["of"] == 1 else f", slice {plane['numbers'][plane['start']]} of {plane['of']}"
    return Still(
        _sheet(plane),
        tuple(plane["tile"]),
        width / height,
        tuple(plane["edges"]),
        plane["name"] + slices,
        record["units"],
    )


def outlines_of(record: Mapping[str, Any], number: int = 0) -> Markup:
    """SVG paths of mask ``number`` and of the reference on that slice, in the record's units; a dashed
    reference lies on top, a whole one below."""
    plane = record["planes"][0]
    several = len(record["classes"]) > 1
    paths: dict[str, list[Markup]] = {"truth": [], "mask": []}
    for k, mask in enumerate(record["masks"]):
        if k != number and not mask["reference"]:
            continue
        kind = "truth" if mask["reference"] else "mask"
        for rings, class_ in zip(plane["outlines"][k][plane["start"]], record["classes"], strict=False):
            line = "".join(map(_ring, rings))
            if line:
                colour = class_["reference"] if kind == "truth" else class_["colour"]
                drawn = Markup('<path class="{}" stroke="{}" fill="{}" d="{}"/>')
                paths[kind].append(drawn.format(kind, colour, colour, line))
    order = ("mask", "truth") if several else ("truth", "mask")
    return Markup("").join(path for kind in order for path in paths[kind])


def _sheet(plane: Mapping[str, Any]) -> str:
    """The start slice of a plane's image, as a data address of its own."""
    if len(plane["numbers"]) == 1:
        return str(plane["image"])
    whole = Image.open(io.BytesIO(base64.b64decode(plane["image"].partition(",")[2])))
    width, height = plane["tile"]
    down, across = divmod(plane["start"], plane["across"])
    tile = whole.crop((across * width, down * height, (across + 1) * width, (down + 1) * height))
    written = io.BytesIO()
    tile.save(written, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode()


def _ring(ring: Sequence[int]) -> str:
    """x, y of the first point, then steps: what SVG's m and l take."""
    x, y, *steps = ring
    return f"M{x} {y}" + ("l" + " ".join(map(str, steps)) if steps else "") + "z"
