"""Labels on the working grid: class fractions as uint8 planes, the way back, and what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from semivox.cohort import Case, Geometry, Regions, Volume, grid_error, read_label, within
from semivox.cohort.partly_drawn import DrawnSlices, drawn_slices
from semivox.cohort.regions import NONE
from semivox.errors import DataError
from semivox.prepare.grid import Grid
from semivox.prepare.resample import resample

FULL = 255
"""The uint8 that stands for "this voxel is fully that class"."""


def class_fractions(label: np.ndarray, values: Sequence[int], grid: Grid) -> np.ndarray:
    """Class fractions of a label on the working grid.

    Parameters
    ----------
    label
        ``(1, *file shape)`` integer, in the file's own axes.
    values
        Label value of each foreground class. A value the label does not contain gives a plane of zeros.

    Returns
    -------
    ``(len(values), *working_shape)`` uint8. Planes are rounded cumulatively, so that they never sum to more
    than 255 in a voxel and each differs from its fraction by less than 1/255.
    """
    planes = np.zeros((len(values), *grid.working_shape), np.uint8)
    total = np.zeros(grid.working_shape, np.float32)
    before = np.zeros(grid.working_shape, np.uint8)
    for plane, value in zip(planes, values, strict=True):
        inside = label == value
        if not inside.any():
            continue
        total += grid.to_working(inside)[0]
        after = np.rint(np.clip(total, 0, 1) * FULL).astype(np.uint8)
        plane[...] = after - before
        before = after
    return planes


def read_label_on(
    case: Case, scan: Geometry | Volume, values: Sequence[int], ignore: int | None, regions: Regions = NONE
) -> np.ndarray:
    """The case's label, ``(1, *file shape)`` integer; ``regions`` may be drawn as segments of their names.

    Raises DataError where there is none, where it does not lie on the grid of ``scan``, the case's image, or
    where it holds other values than ``values`` and ``ignore``.
    """
    if case.label is None:
        raise DataError("a labelled case has no label file", path=case.images[0])
    label = read_label(case.label, scan, regions=regions)
    error = grid_error("the label does not lie on its image's grid", case.label, label, case.images[0], scan)
    if error is not None:
        raise error
    check_values(label.array, values, ignore, case.label)
    return label.array


def valid_voxels(
    label: np.ndarray, ignore: int | None, grid: Grid, slices: DrawnSlices | None = None
) -> np.ndarray | None:
    """``(1, *working_shape)`` uint8: 255 where no part of the voxel is marked ``ignore``, else 0.

    None where the label has no such voxel. Where some ``slices`` were drawn, ``label`` has them in the
    others' places, too (:meth:`DrawnSlices.filled`), and only :func:`known_slices` are valid.
    """
    if ignore is None or (slices is None and not (label == ignore).any()):
        return None
    clean = grid.to_working(label != ignore) > 1 - 1e-4
    if slices is not None:
        axis = grid.orientation.permutation.index(slices.axis)
        known = known_slices(slices, grid).reshape([-1 if a == axis else 1 for a in range(label.ndim - 1)])
        clean &= known[None]
    return clean.astype(np.uint8) * np.uint8(FULL)


def known_slices(slices: DrawnSlices, grid: Grid) -> np.ndarray:
    """(n,) bool, which working slices across the axis of ``slices`` were drawn: those in which the middle of
    a drawn slice lies, and those whose own middle lies in one. So none is lost on a coarser grid."""
    axis = grid.orientation.permutation.index(slices.axis)
    drawn = slices.drawn[::-1] if grid.orientation.flips[axis] else slices.drawn
    n, working = len(drawn), grid.working_shape[axis]
    known = drawn[((np.arange(working) + 0.5) * n / working).astype(int)]
    known[((np.flatnonzero(drawn) + 0.5) * working / n).astype(int)] = True
    return known


def filled_label(label: np.ndarray, ignore: int | None) -> tuple[np.ndarray, DrawnSlices | None]:
    """``label`` ``(1, *file shape)`` as if all its slices were drawn, and which were; as it is, and None,
    where they all were. What is counted of a label, such as a class's voxels, is counted of this."""
    slices = drawn_slices(label[0], ignore)
    return (label, None) if slices is None else (slices.filled(label[0])[None], slices)


def restore(planes: np.ndarray, grid: Grid) -> np.ndarray:
    """Fractions back to the file's grid by interpolation, then the largest: ``(*file shape)`` class indices.

    Index 0 is background (what the planes leave over) and wins ties. One native plane is held at a time.
    """
    covered = np.zeros(grid.native_shape, np.float32)
    best = np.zeros(grid.native_shape, np.float32)
    index = np.zeros(grid.native_shape, np.uint8 if len(planes) < 256 else np.uint16)
    for k, plane in enumerate(planes, start=1):
        if not plane.any():
            continue
        fraction = resample(plane[None], grid.native_shape)[0] / FULL
        covered += fraction
        index[fraction > best] = k
        np.maximum(best, fraction, out=best)
    index[1 - covered >= best] = 0
    return np.ascontiguousarray(grid.orientation.invert(index[None])[0])


def dice_ceilings(label: np.ndarray, values: Sequence[int], grid: Grid) -> tuple[float | None, ...]:
    """Dice of a label against itself after the round trip, for each class; None where the class is absent."""
    returned = restore(class_fractions(label, values, grid), grid)
    return tuple(_dice(label[0] == value, returned == k) for k, value in enumerate(values, start=1))


def region_ceilings(
    label: np.ndarray, values: Sequence[int], regions: Sequence[Sequence[int]], grid: Grid
) -> tuple[float | None, ...]:
    """As :func:`dice_ceilings`, for regions made of several ``values`` each: on the way back a voxel lies in
    a region that fills more than half of it."""
    planes = class_fractions(label, values, grid)
    dices: list[float | None] = []
    for parts in regions:
        filled = planes[[value in parts for value in values]].sum(0, dtype=np.float32)
        back = resample(filled[None], grid.native_shape) > FULL / 2
        there = within(label, parts)
        dices.append(_dice(there[0], grid.orientation.invert(back)[0]))
    return tuple(dices)


def _dice(there: np.ndarray, back: np.ndarray) -> float | None:
    """None where nothing is there."""
    size = int(there.sum())
    return 2 * int((there & back).sum()) / (size + int(back.sum())) if size else None


def check_values(label: np.ndarray, values: Sequence[int], ignore: int | None, path: Path | None) -> None:
    """Raise :class:`DataError` where a label holds a value that is no class of the cohort."""
    known = {0, *values} | ({ignore} if ignore is not None else set())
    strange = sorted({int(v) for v in np.unique(label)} - known)
    if strange:
        raise DataError(
            "a label value outside the cohort's labels",
            path=path,
            found=strange,
            expected=f"values among {sorted(known)}",
            remedy="add the class to `labels` in dataset.json, or correct the label",
        )
