"""A scan through networks on the working grid, and back to classes on the scan's own grid.

Where runs are averaged, each has a working grid of its own. What they say meets on the scan's grid alone,
block by block: interpolation is linear, so the mean of what was interpolated is the mean of the runs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch import nn

from semivox.cohort import Regions, Volume
from semivox.cohort.regions import NONE
from semivox.prepare import Grid, Plan, checked_grid, map_cases, normalise, resample, source_of
from semivox.tiles import predict_views


class Found(NamedTuple):
    """What a run found of a scan, on its working grid."""

    grid: Grid
    probabilities: np.ndarray
    """(K, working) float32."""
    views: tuple[np.ndarray, ...] = ()
    """Of the scan and of each mirror image that was looked at: where its structures are (S, working) bool."""


def working_probabilities(
    networks: Sequence[nn.Module],
    volume: Volume,
    plan: Plan,
    memory_bytes: int | None = None,
    whole: bool = False,
    mirror_axes: Sequence[int] = (),
    compare_axes: Sequence[int] = (),
) -> Found:
    """Turn, normalise, resample, predict: the scan's grid and probabilities, the mean over the scan and its
    mirror images along ``mirror_axes``; images along ``compare_axes`` are only looked at beside them. Other
    arguments as for :func:`semivox.tiles.predict_views`.

    The networks may live on any one device; the scan must fit the plan (dimensions, channels).
    """
    grid, image = working_image(volume, plan)
    others = [axis for axis in compare_axes if axis not in mirror_axes]
    total, seen = None, []
    for i, view in enumerate(
        predict_views(networks, image, plan, [*mirror_axes, *others], memory_bytes, whole)
    ):
        probs = view.numpy()
        if mirror_axes or others:
            seen.append(present(probs, plan.scheme))
        if total is None:
            total = probs
        elif i <= len(mirror_axes):
            total += probs
    assert total is not None
    return Found(grid, total / np.float32(1 + len(mirror_axes)) if mirror_axes else total, tuple(seen))


def working_image(volume: Volume, plan: Plan) -> tuple[Grid, np.ndarray]:
    """The scan's grid, and what the networks see of it: (C, working) float32, turned and normalised."""
    grid = checked_grid(volume, plan, volume.source.path)
    # Turned and contiguous before anything is summed: a flipped copy then gives the same bits.
    turned = np.ascontiguousarray(grid.orientation.apply(volume.array))
    return grid, resample(normalise(turned, plan.channels, volume.source.path), grid.working_shape)


def mean_of(found: Iterable[Found], count: int) -> tuple[Grid, list[np.ndarray]]:
    """What ``count`` runs have found of one scan, as parts that add up to the mean.

    Returns
    -------
    The first run's grid, and for each grid that differs a part: (K, its working voxels) in the axes of the
    first. All cover the scan, so that brought to one shape they can be added. The arrays of ``found`` change.
    """
    parts: dict[Grid, np.ndarray] = {}
    for grid, probs, _ in found:
        if grid in parts:
            parts[grid] += probs
        else:
            parts[grid] = probs
    first = next(iter(parts))
    for probs in parts.values() if count > 1 else ():
        probs /= count
    return first, [in_axes_of(first, grid, probs) for grid, probs in parts.items()]


def in_axes_of(first: Grid, grid: Grid, probs: np.ndarray) -> np.ndarray:
    """(K, voxels of ``grid``) in the axes of ``first``."""
    if grid.orientation == first.orientation:
        return probs
    return np.ascontiguousarray(first.orientation.apply(grid.orientation.invert(probs)))


def on_one_grid(grid: Grid, parts: Sequence[np.ndarray]) -> np.ndarray:
    """The sum of ``parts``, as of :func:`mean_of`, on the working grid: (K, working)."""
    return _sum(parts, grid.working_shape)


def on_native_grid(grid: Grid, parts: Sequence[np.ndarray]) -> np.ndarray:
    """The sum of ``parts`` on the scan's own grid, in the file's axes: (K, file shape) float32."""
    return np.ascontiguousarray(grid.orientation.invert(_sum(parts, grid.native_shape)))


def native_classes(
    grid: Grid, parts: Sequence[np.ndarray], threads: int | None = None, regions: Regions = NONE
) -> np.ndarray:
    """Probabilities -> class indices 0 .. K-1 in the file's own axes and shape.

    ``parts``: (K, any working voxels), as of :func:`mean_of`; the probabilities are their sum. They are
    interpolated, then the largest wins (ties: the lower index; of two classes, the second needs more than
    half). Where there are ``regions``, of class indices, a voxel lies in those whose classes have more than
    half together, and becomes the class that says so (:meth:`Regions.value_of`). This goes block by block
    and class by class, in ``threads`` threads (None: a thread a CPU, at most 4), so that no map of the whole
    native grid is ever held.
    """
    kinds = len(parts[0])
    indices = np.zeros(grid.native_shape, np.uint8 if kinds <= 256 else np.uint16)
    sums = [marginals(probs, regions) for probs in parts] if regions else []
    decide = _more_than_half if kinds == 2 else _largest

    def fill(part: tuple[slice, ...]) -> None:
        if regions:
            each = ([of_run[i, None] for of_run in sums] for i in range(len(regions.each)))
            present = [_more_than_half_of(one, grid.native_shape, part) for one in each]
            indices[part] = regions.label_map(present)
        else:
            decide(parts, grid.native_shape, part, indices[part])

    map_cases(fill, list(_blocks(grid.native_shape)), threads)
    return from_turned(grid, indices)


def marginals(probs: np.ndarray, regions: Regions) -> np.ndarray:
    """(K, ...) probabilities of classes -> (R, ...) of regions of class indices: sums over their classes."""
    return np.stack([probs[list(region.values)].sum(0) for region in regions.each])


def present(probs: np.ndarray, regions: Regions) -> np.ndarray:
    """(K, ...) -> (S, ...) bool: where structures are. A class is where it is likeliest; a region, where it
    has more than half."""
    if regions:
        return np.asarray(marginals(probs, regions) > 0.5)
    chosen = probs.argmax(0)
    return np.stack([chosen == k for k in range(1, len(probs))])


def foreground(probs: np.ndarray, regions: Regions) -> np.ndarray:
    """Where a class is likelier than the background, or a region likelier than not: (...) of (K, ...)."""
    if regions:
        return np.asarray(marginals(probs, regions).max(0) > 0.5)
    return np.asarray(probs[1:].max(0) > probs[0])


BLOCK = 64
"""Edge of the blocks in voxels: one of float32 lies in a core's second-level cache."""
ROUNDING = 1e-5
"""Farther apart than interpolation in float32 can bring two probabilities."""


def _blocks(shape: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    axes = [[slice(i, min(i + BLOCK, n)) for i in range(0, n, BLOCK)] for n in shape]
    return itertools.product(*axes)


def _sum(
    parts: Sequence[np.ndarray], shape: tuple[int, ...], part: tuple[slice, ...] | None = None
) -> np.ndarray:
    """(C, shape) float32, or ``part`` of it: ``parts`` (C, any) brought to ``shape`` and added."""
    total = resample(parts[0], shape, part)
    for other in parts[1:]:
        total += resample(other, shape, part)
    return total


def _bounds(
    parts: Sequence[np.ndarray], shape: tuple[int, ...], part: tuple[slice, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Of each class, numbers that its interpolated sum cannot be below and above of in ``part``: an
    interpolated value lies between the smallest and the largest it is made from."""
    kinds = len(parts[0])
    low, high = np.zeros(kinds, np.float32), np.zeros(kinds, np.float32)
    for probs in parts:
        here = probs[(slice(None), *source_of(probs.shape[1:], shape, part))].reshape(kinds, -1)
        low += here.min(1)
        high += here.max(1)
    return low, high


def _more_than_half(
    parts: Sequence[np.ndarray], shape: tuple[int, ...], part: tuple[slice, ...], out: np.ndarray
) -> None:
    """Write the classes of ``part`` of the native grid into ``out``, which is 0."""
    out[...] = _more_than_half_of([probs[1:] for probs in parts], shape, part)


def _more_than_half_of(
    parts: Sequence[np.ndarray], shape: tuple[int, ...], part: tuple[slice, ...]
) -> np.ndarray:
    """Where in ``part`` of the native grid the sum of ``parts`` (1, any) is more than half."""
    low, high = _bounds(parts, shape, part)
    if low[0] <= 0.5 + ROUNDING and high[0] > 0.5 - ROUNDING:
        return np.asarray(_sum(parts, shape, part)[0] > 0.5)
    return np.full([s.stop - s.start for s in part], low[0] > 0.5)


def _largest(
    parts: Sequence[np.ndarray], shape: tuple[int, ...], part: tuple[slice, ...], out: np.ndarray
) -> None:
    """As :func:`_more_than_half`, of more classes.

    A class whose largest is below another's smallest wins nowhere in the part; mostly one class is left, and
    nothing to compute.
    """
    low, high = _bounds(parts, shape, part)
    left = np.flatnonzero(high >= low.max() - ROUNDING)
    out[...] = left[0]
    if len(left) == 1:
        return
    best = _sum([probs[left[0], None] for probs in parts], shape, part)[0]
    for k in left[1:]:
        p = _sum([probs[k, None] for probs in parts], shape, part)[0]
        np.copyto(out, k.astype(out.dtype), where=p > best)
        np.maximum(best, p, out=best)


def from_turned(grid: Grid, array: np.ndarray) -> np.ndarray:
    """An array on the native grid in working axis order -> the file's own axes."""
    return np.ascontiguousarray(grid.orientation.invert(array[None])[0])
