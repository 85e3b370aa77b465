"""A scan through networks on the working grid, and back to classes on the scan's own grid."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from torch import nn

from semivox.cohort import Volume
from semivox.prepare import Grid, Plan, checked_grid, map_cases, normalise, resample, source_of
from semivox.tiles import predict_planned


def working_probabilities(
    networks: Sequence[nn.Module],
    volume: Volume,
    plan: Plan,
    memory_bytes: int | None = None,
    whole: bool = False,
) -> tuple[Grid, np.ndarray]:
    """Turn, normalise, resample, predict: the scan's grid and (K, working) float32 probabilities. Arguments
    as for :func:`semivox.tiles.predict_planned`.

    The networks may live on any one device; the scan must fit the plan (dimensions, channels).
    """
    grid, image = working_image(volume, plan)
    return grid, predict_planned(networks, image, plan, memory_bytes, whole).numpy()


def working_image(volume: Volume, plan: Plan) -> tuple[Grid, np.ndarray]:
    """The scan's grid, and what the networks see of it: (C, working) float32, turned and normalised."""
    grid = checked_grid(volume, plan, volume.source.path)
    # Turned and contiguous before anything is summed: a flipped copy then gives the same bits.
    turned = np.ascontiguousarray(grid.orientation.apply(volume.array))
    return grid, resample(normalise(turned, plan.channels), grid.working_shape)


def native_classes(grid: Grid, probs: np.ndarray, threads: int | None = None) -> np.ndarray:
    """(K, working) probabilities -> class indices 0 .. K-1 in the file's own axes and shape.

    Probabilities are interpolated, then the largest wins (ties: the lower index; of two classes, the second
    needs more than half). This goes block by block and class by class, in ``threads`` threads (None: a thread
    a CPU, at most 4), so that no map of the whole native grid is ever held.
    """
    indices = np.zeros(grid.native_shape, np.uint8 if len(probs) <= 256 else np.uint16)
    decide = _more_than_half if len(probs) == 2 else _largest

    def fill(part: tuple[slice, ...]) -> None:
        decide(probs, grid.native_shape, part, indices[part])

    map_cases(fill, list(_blocks(grid.native_shape)), threads)
    return from_turned(grid, indices)


BLOCK = 64
"""Edge of the blocks in voxels: one of float32 lies in a core's second-level cache."""
ROUNDING = 1e-5
"""Farther apart than interpolation in float32 can bring two probabilities."""


def _blocks(shape: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    axes = [[slice(i, min(i + BLOCK, n)) for i in range(0, n, BLOCK)] for n in shape]
    return itertools.product(*axes)


def _more_than_half(
    probs: np.ndarray, shape: tuple[int, ...], part: tuple[slice, ...], out: np.ndarray
) -> None:
    """Write the classes of ``part`` of the native grid into ``out``, which is 0."""
    here = probs[1][source_of(probs.shape[1:], shape, part)]
    if here.min() > 0.5 + ROUNDING:
        out[...] = 1
    elif here.max() > 0.5 - ROUNDING:
        out[...] = resample(probs[1:], shape, part)[0] > 0.5


def _largest(probs: np.ndarray, shape: tuple[int, ...], part: tuple[slice, ...], out: np.ndarray) -> None:
    """As :func:`_more_than_half`, of more classes.

    An interpolated value lies between the smallest and the largest it is made from. So a class whose largest
    is below another's smallest wins nowhere in the part; mostly one class is left, and nothing to compute.
    """
    here = probs[(slice(None), *source_of(probs.shape[1:], shape, part))].reshape(len(probs), -1)
    left = np.flatnonzero(here.max(1) >= here.min(1).max() - ROUNDING)
    out[...] = left[0]
    if len(left) == 1:
        return
    best = resample(probs[left[0], None], shape, part)[0]
    for k in left[1:]:
        p = resample(probs[k, None], shape, part)[0]
        np.copyto(out, k.astype(out.dtype), where=p > best)
        np.maximum(best, p, out=best)


def from_turned(grid: Grid, array: np.ndarray) -> np.ndarray:
    """An array on the native grid in working axis order -> the file's own axes."""
    return np.ascontiguousarray(grid.orientation.invert(array[None])[0])
