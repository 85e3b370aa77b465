"""What a TIFF tells of its spacing, and what of it is believed.

In this order: our own note, OME's ``PhysicalSize``, ImageJ's calibration, the resolution tags. The tags know
columns and rows only, so a stack needs one of the others; a stack without its third edge knows nothing.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from typing import Any

import tifffile

from semivox.cohort.units import mm_per_unit
from semivox.cohort.volume import SpacingStatus, Volume

Told = tuple[tuple[float, ...], SpacingStatus]
"""Edges along X, Y[, Z], and what they are."""

SCREENS_DPI = (72.0, 96.0)
"""Pixels per inch that programs write where nobody measured any; so is 1 of any unit. They are not believed.
No scanner's pixel is that size by chance: 0.353 and 0.265 mm."""
MM_PER_TAG_UNIT = {2: 25.4, 3: 10.0}  # inch, centimetre; 1 is "none": then the tags give a ratio
EDGES, STATUS = "voxel_edges", "spacing_status"  # keys of our own note


def told_spacing(tiff: tifffile.TiffFile, dims: int) -> Told:
    """Edges and status of the first series, of which ``dims`` (2 or 3) axes are space."""
    for source in (_own, _ome, _imagej, _tags):
        told = source(tiff, dims)
        if told is not None and len(told[0]) == dims and all(math.isfinite(e) and e > 0 for e in told[0]):
            return told
    return (1.0,) * dims, "unknown"


def spacing_note(like: Volume) -> tuple[dict[str, Any], dict[str, Any]]:
    """What :func:`tifffile.imwrite` is given so that a file tells the spacing of ``like``: entries of its
    ``metadata``, and its resolution tags (for other readers)."""
    if like.spacing_status == "unknown":
        return {}, {}
    edges = like.voxel_edges
    note = {EDGES: list(edges), STATUS: like.spacing_status}
    if like.spacing_status != "known":
        return note, {}
    return note, {"resolution": (10 / edges[0], 10 / edges[1]), "resolutionunit": "CENTIMETER"}


def _own(tiff: tifffile.TiffFile, dims: int) -> Told | None:
    note: Mapping[str, Any] = (tiff.shaped_metadata or ({},))[0]
    edges, status = note.get(EDGES), note.get(STATUS)
    if not isinstance(edges, list) or not all(isinstance(e, int | float) for e in edges):
        return None
    return None if status not in ("known", "nominal") else (tuple(float(e) for e in edges), status)


def _ome(tiff: tifffile.TiffFile, dims: int) -> Told | None:
    if not tiff.is_ome or tiff.ome_metadata is None:
        return None
    try:
        root = ElementTree.fromstring(tiff.ome_metadata)
    except ElementTree.ParseError:
        return None
    pixels = next((e for e in root.iter() if e.tag.rpartition("}")[2] == "Pixels"), None)
    if pixels is None:
        return None
    letters = "XYZ"[:dims]
    sizes = [_number(pixels.get(f"PhysicalSize{letter}")) for letter in letters]
    units = [mm_per_unit(pixels.get(f"PhysicalSize{letter}Unit", "µm")) for letter in letters]
    return _with_units(sizes, units)


def _imagej(tiff: tifffile.TiffFile, dims: int) -> Told | None:
    meta: Mapping[str, Any] | None = tiff.imagej_metadata
    if not tiff.is_imagej or meta is None:
        return None
    unit = str(meta.get("unit", ""))
    per_unit = _per_unit(tiff)
    if per_unit is None or (not unit and _tag_unit(tiff) != 1):
        return None  # no calibration of ImageJ's own: the tags alone may tell
    sizes: list[float | None] = [1 / per_unit[0], 1 / per_unit[1]]
    if dims == 3:
        sizes.append(_number(meta.get("spacing")))
    names = [unit, str(meta.get("yunit", unit)), str(meta.get("zunit", unit))][:dims]
    units = [mm_per_unit(name) for name in names]
    if units[0] in MM_PER_TAG_UNIT.values() and _is_placeholder(per_unit, units[0] or 0):
        return None
    return _with_units(sizes, units)


def _tags(tiff: tifffile.TiffFile, dims: int) -> Told | None:
    per_unit, unit = _per_unit(tiff), _tag_unit(tiff)
    if dims != 2 or per_unit is None:
        return None
    mm = MM_PER_TAG_UNIT.get(unit)
    if mm is not None and _is_placeholder(per_unit, mm):
        return None
    return _with_units([1 / per_unit[0], 1 / per_unit[1]], [mm, mm])


def _with_units(sizes: Sequence[float | None], units: Sequence[float | None]) -> Told | None:
    """Known with units; without, nominal where the edges differ; else nothing."""
    edges = [size for size in sizes if size is not None]
    if len(edges) < len(sizes) or min(edges) <= 0:
        return None
    if all(unit is not None for unit in units):
        return tuple(e * (unit or 1) for e, unit in zip(edges, units, strict=True)), "known"
    if max(edges) <= min(edges) * (1 + 1e-6):
        return None
    return tuple(e / min(edges) for e in edges), "nominal"


def _is_placeholder(per_unit: Sequence[float], mm: float) -> bool:
    x, y = per_unit
    dpi = x * 25.4 / mm
    # within 2 %: 72 and 96 per inch are rounded to 28 and 38 per centimetre
    return x == y and (x == 1 or any(abs(dpi - screen) < 0.02 * screen for screen in SCREENS_DPI))


def _per_unit(tiff: tifffile.TiffFile) -> tuple[float, float] | None:
    """Pixels per unit along columns and rows, where both tags are there and make sense."""
    found = []
    for name in ("XResolution", "YResolution"):
        tag = tiff.pages[0].tags.get(name)
        if tag is None or len(tag.value) != 2 or 0 in tag.value:
            return None
        found.append(float(tag.value[0] / tag.value[1]))
    return found[0], found[1]


def _tag_unit(tiff: tifffile.TiffFile) -> int:
    tag = tiff.pages[0].tags.get("ResolutionUnit")
    return 2 if tag is None else int(tag.value)  # the standard's default is inch


def _number(value: object) -> float | None:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
