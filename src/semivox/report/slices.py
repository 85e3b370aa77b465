"""A case in scrollable slices: the record that ``assets/viewer.js`` draws.

Images become one JPEG a plane with all its slices side by side, masks become polygons, so that opacity,
outlines and any number of masks cost no further image. A record is plain JSON and holds all it needs.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from semivox.cohort import Volume, within
from semivox.report.outlines import UNITS, Rings, outlines
from semivox.report.palette import DASH, REFERENCE, colour_of, reference_colour
from semivox.report.patient_planes import PLANES, Plane, taken_in, to_ras

QUALITY = 82
"""Of the JPEGs."""
LONGEST, MOST = 256, 72
"""At most so many pixels along a slice's longer edge, and slices a plane, before the budget asks for
fewer."""
LONGEST_FLAT = 1024
"""The same for a 2D image."""
LEAST_LONGEST, LEAST_MOST = 48, 12
SMALL = 150
"""Pixels along the longer edge of a single slice that stands for a case."""
CT_WINDOWS = [
    {"name": "soft tissue", "window": 400, "level": 40},
    {"name": "lung", "window": 1500, "level": -600},
    {"name": "bone", "window": 1800, "level": 400},
    {"name": "brain", "window": 80, "level": 40},
]
"""The usual ones, in Hounsfield units."""
MARGIN = 0.35
"""What is left around the masks of a 3D scan, as a part of their extent."""
THIN = 4.0
"""How much longer than high a picture may be shown where the distance of slices is not known."""
DASHES = ((), (7, 4), (12, 3), (9, 3, 4, 3))
"""Line patterns that tell the masks of several methods apart where colours stand for classes."""

Box = tuple[slice, ...]
Values = Sequence[tuple[int, ...]]


def slice_record(
    case: str,
    image: Volume,
    masks: Mapping[str, np.ndarray],
    reference: np.ndarray | None,
    classes: Mapping[int, str],
    *,
    parts: Mapping[int, Sequence[int]] = MappingProxyType({}),
    budget: int = 800_000,
    spacing_known: bool = True,
    ct: bool = False,
) -> dict[str, Any]:
    """A case as a record for the viewer: a 2D image whole, of a 3D scan the masks and what is around them.

    Parameters
    ----------
    case
        Its name.
    image
        ``(C, X, Y[, Z])``; three channels in 2D are red, green, blue, else the first channel is shown.
    masks
        Name -> label values ``(X, Y[, Z])`` on the image's grid: one prediction, or one a method.
    reference
        The same for the reference, or None.
    classes
        Label value -> name, or number -> name of regions. Other values are not drawn.
    parts
        Number of each region -> its label values.
    budget
        Bytes that the record as JSON should take. A scan that needs more is shown in fewer slices of fewer
        pixels, down to LEAST_MOST of LEAST_LONGEST.
    spacing_known
        False where the header's geometry is nominal: planes are then named by axis, without sides, and
        pictures much longer than high are stretched.
    ct
        The shown channel is CT: the viewer offers its usual windows.

    Returns
    -------
    ``case``, ``classes``, ``masks``, ``units``, ``intensity``, ``windows``, ``planes``; what each
    holds stands in the head of ``assets/viewer.js``.
    """
    drawn = [*masks.values(), *([] if reference is None else [reference])]
    scan = _Scan.of(image, drawn, _made_of(classes, parts), spacing_known)
    head = _head(case, scan, masks, reference is not None, classes)
    head["windows"] = CT_WINDOWS if ct and scan.intensity is not None else []
    flat = image.dims == 2
    longest, most = (LONGEST_FLAT, 1) if flat else (LONGEST, MOST)
    box: Box = tuple(slice(0, n) for n in scan.shape) if flat else scan.around()
    size = 0.0
    if not flat:  # a few slices tell what all would take
        few = [scan.plane(plane, box, longest, LEAST_MOST) for plane in scan.planes]
        size = scan.expected(few, box, most)
    while True:
        if size > budget:
            # bytes go with slices times pixels squared; a little less, so that one round is mostly enough
            part = 0.95 * (budget / size) ** (1 / 2 if flat else 1 / 3)
            longest = max(LEAST_LONGEST, math.floor(longest * part))
            most = min(most, max(LEAST_MOST, math.floor(most * part)))
        record = {**head, "planes": [scan.plane(plane, box, longest, most) for plane in scan.planes]}
        size = _bytes_of(record)
        if size <= budget or (longest <= LEAST_LONGEST and most <= LEAST_MOST):
            return record


def one_slice(
    case: str,
    image: Volume,
    masks: Mapping[str, np.ndarray],
    reference: np.ndarray | None,
    classes: Mapping[int, str],
    *,
    parts: Mapping[int, Sequence[int]] = MappingProxyType({}),
    longest: int = SMALL,
    spacing_known: bool = True,
) -> dict[str, Any]:
    """The same record with one slice only, the one with most foreground, at most ``longest`` pixels wide or
    high: some kilobytes."""
    drawn = [*masks.values(), *([] if reference is None else [reference])]
    scan = _Scan.of(image, drawn, _made_of(classes, parts), spacing_known)
    plane, box = scan.planes[0], [slice(0, n) for n in scan.shape] if image.dims == 2 else [*scan.around()]
    first = box[plane.axis].start + scan.fullest(plane, tuple(box))
    box[plane.axis] = slice(first, first + 1)
    head = _head(case, scan, masks, reference is not None, classes)
    return {**head, "windows": [], "planes": [scan.plane(plane, tuple(box), longest, 1)]}


def _head(
    case: str, scan: _Scan, masks: Mapping[str, np.ndarray], referenced: bool, classes: Mapping[int, str]
) -> dict[str, Any]:
    """All of a record but its planes."""
    return {
        "case": case,
        "classes": [
            {
                "value": number,
                "name": classes[number],
                "colour": colour_of(k),
                "reference": reference_colour(k, len(classes)),
            }
            for k, number in enumerate(sorted(classes))
        ],
        "masks": _described(list(masks), referenced, len(classes)),
        "units": UNITS,
        "intensity": scan.intensity,
    }


@dataclass(frozen=True)
class _Scan:
    """An upright scan in bytes with its masks. ``pictures`` (1 or 3, X, Y, Z) uint8, ``regions`` (X, Y, Z);
    a 2D image is one slice. ``values``: of what label values each class that is drawn is made."""

    pictures: np.ndarray
    regions: Sequence[np.ndarray]
    values: Values
    spacing: tuple[float, ...]
    spacing_known: bool
    intensity: list[float] | None
    planes: Sequence[Plane]

    @classmethod
    def of(cls, image: Volume, masks: Sequence[np.ndarray], values: Values, spacing_known: bool) -> _Scan:
        arrays = [image.array, *(mask[None] for mask in masks)]
        if image.dims == 2:
            # as if seen along z: columns and rows of a plane run against its axes
            arrays = [array[:, ::-1, ::-1, None] for array in arrays]
            spacing: tuple[float, ...] = (*image.voxel_edges, 1.0)
            planes: Sequence[Plane] = (Plane("image", 2, 0, 1, ("", "", "", "")),)
        else:
            arrays, spacing = to_ras(image, arrays)
            first = taken_in(arrays[0].shape[1:], spacing)
            planes = (first, *(plane for plane in reversed(PLANES) if plane is not first))
        pictures, intensity = _bytes(arrays[0], colour=image.is_colour)
        regions = [array[0] for array in arrays[1:]]
        known = spacing_known and image.spacing_status == "known"
        return cls(pictures, regions, values, spacing, known, intensity, planes)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.pictures.shape[1:])

    def around(self) -> Box:
        """The box of all masks and MARGIN around it; the whole scan where there is nothing."""
        there = np.zeros(self.shape, bool)
        for region in self.regions:
            there |= np.isin(region, _all_of(self.values))
        if not there.any():
            return tuple(slice(0, n) for n in self.shape)
        box = []
        for axis, length in enumerate(self.shape):
            along = np.flatnonzero(there.any(tuple(a for a in range(3) if a != axis)))
            more = math.ceil(MARGIN * (along[-1] + 1 - along[0])) + 1
            box.append(slice(max(0, int(along[0]) - more), min(length, int(along[-1]) + 1 + more)))
        return tuple(box)

    def plane(self, plane: Plane, box: Box, longest: int, most: int) -> dict[str, Any]:
        """The part of the scan in ``box`` cut in slices: at most ``most``, their pictures at most ``longest``
        pixels."""
        stack = plane.slices(self.pictures[:, *box])
        columns, rows, count = stack.shape[1:]
        shrink = min(1.0, longest / max(columns, rows))
        tile = (max(1, round(columns * shrink)), max(1, round(rows * shrink)))
        kept = _kept(count, most)
        across = math.ceil(math.sqrt(len(kept) * tile[1] / tile[0]))
        size = [columns * self.spacing[plane.columns], rows * self.spacing[plane.rows]]
        if not self.spacing_known:
            size = [max(side, max(size) / THIN) for side in size]
        masks = [plane.slices(region[None, *box])[0][..., kept] for region in self.regions]
        named = self.spacing_known or plane.name == "image"
        return {
            "name": plane.name if named else f"along {'xyz'[plane.axis]}",
            "edges": list(plane.edges) if self.spacing_known else ["", "", "", ""],
            "size": [round(side, 2) if min(size) > 10 else float(f"{side:.5g}") for side in size],
            "tile": list(tile),
            "across": across,
            "numbers": [box[plane.axis].start + i + 1 for i in kept],
            "of": self.shape[plane.axis],
            "start": _fullest(masks, self.values, len(kept)),
            "image": _sprite(stack[..., kept], tile, across),
            "outlines": [self._outlines(mask, tile) for mask in masks],
        }

    def fullest(self, plane: Plane, box: Box) -> int:
        """Which slice of ``box`` is worth to be seen first."""
        masks = [plane.slices(region[None, *box])[0] for region in self.regions]
        return _fullest(masks, self.values, box[plane.axis].stop - box[plane.axis].start)

    def expected(self, planes: Sequence[Mapping[str, Any]], box: Box, most: int) -> float:
        """Bytes of ``planes`` if each had up to ``most`` slices."""
        total = 0.0
        for cut, plane in zip(planes, self.planes, strict=True):
            count = box[plane.axis].stop - box[plane.axis].start
            total += _bytes_of(cut) * len(_kept(count, most)) / len(cut["numbers"])
        return total

    def _outlines(self, mask: np.ndarray, tile: tuple[int, int]) -> list[list[Rings]]:
        """[slice][class] rings; a slice without any is empty."""
        of_classes = [outlines(within(mask, own), tile) for own in self.values]
        return [list(rings) if any(rings) else [] for rings in zip(*of_classes, strict=True)]


def _made_of(classes: Mapping[int, str], parts: Mapping[int, Sequence[int]]) -> Values:
    return [tuple(parts.get(number, (number,))) for number in sorted(classes)]


def _all_of(values: Values) -> list[int]:
    return [value for own in values for value in own]


def _fullest(masks: Sequence[np.ndarray], values: Values, count: int) -> int:
    """The slice with most foreground of the reference, which comes last, or else of the last prediction; the
    middle one of ``count`` where there is none."""
    foreground = np.isin(masks[-1], _all_of(values)).sum((0, 1)) if masks else np.zeros(1)
    return int(np.argmax(foreground)) if foreground.any() else count // 2


def _kept(count: int, most: int) -> range:
    """At most ``most`` of ``count`` slices, evenly spaced."""
    step = math.ceil(count / most)
    return range((count - 1) % step // 2, count, step)


def _bytes_of(record: Mapping[str, Any]) -> int:
    return len(json.dumps(record, separators=(",", ":")))


def _described(names: Sequence[str], has_reference: bool, classes: int) -> list[dict[str, Any]]:
    """Colours stand for classes and the reference is dashed; where there is one class, colours stand for
    masks and the reference is white."""
    rows: list[dict[str, Any]] = []
    for k, name in enumerate(names):
        colour = colour_of(k) if classes == 1 else None
        dash = () if classes == 1 else DASHES[k % len(DASHES)]
        rows.append({"name": name, "reference": False, "colour": colour, "dash": list(dash)})
    if has_reference:
        drawn = {"colour": REFERENCE, "dash": []} if classes == 1 else {"colour": None, "dash": list(DASH)}
        rows.append({"name": "reference", "reference": True, **drawn})
    return rows


def _bytes(pictures: np.ndarray, colour: bool) -> tuple[np.ndarray, list[float] | None]:
    """``(C, X, Y, Z)`` intensities -> ``(1 or 3, ...)`` uint8, and the values of black and white (None in
    colour)."""
    if colour and pictures.dtype == np.uint8:
        return pictures, None
    kept = pictures[: 3 if colour else 1].astype(np.float32)
    low, high = (float(v) for v in np.percentile(kept[:, ::2, ::2], [0.5, 99.5]))
    if high <= low:
        low, high = float(kept.min()), float(kept.max())
    scaled = (kept - low) * (255 / max(high - low, 1e-12))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8), None if colour else [low, high]


def _sprite(stack: np.ndarray, tile: tuple[int, int], across: int) -> str:
    """``(1 or 3, columns, rows, slices)`` uint8 -> one JPEG as a data address: tiles row by row, ``across``
    in a row, each padded by nothing."""
    channels, count = stack.shape[0], stack.shape[-1]
    mode = "RGB" if channels == 3 else "L"
    sheet = Image.new(mode, (tile[0] * across, tile[1] * math.ceil(count / across)))
    for i in range(count):
        pixels = np.ascontiguousarray(stack[..., i].transpose(2, 1, 0))
        picture = Image.fromarray(pixels if channels == 3 else pixels[..., 0])
        place = (tile[0] * (i % across), tile[1] * (i // across))
        sheet.paste(picture.resize(tile, Image.Resampling.BOX), place)
    written = io.BytesIO()
    sheet.save(written, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode()
