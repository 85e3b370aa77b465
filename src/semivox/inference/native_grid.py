"""A scan through networks on the working grid, and back to classes on the scan's own grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn

from semivox.cohort import Volume
from semivox.prepare import Grid, Plan, checked_grid, normalise, resample
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


def native_classes(grid: Grid, probs: np.ndarray) -> np.ndarray:
    """(K, working) probabilities -> class indices 0 .. K-1 in the file's own axes and shape.

    Probabilities are interpolated, then the largest wins (ties: the lower index). This goes class by class,
    so that memory does not grow with K; of two classes, one map decides.
    """
    shape = grid.native_shape
    if len(probs) == 2:
        return from_turned(grid, (resample(probs[1:], shape)[0] > 0.5).view(np.uint8))
    best = resample(probs[:1], shape)[0]
    indices = np.zeros(shape, np.uint8 if len(probs) <= 256 else np.uint16)
    for k in range(1, len(probs)):
        p = resample(probs[k : k + 1], shape)[0]
        indices[p > best] = k
        np.maximum(best, p, out=best)
    return from_turned(grid, indices)


def from_turned(grid: Grid, array: np.ndarray) -> np.ndarray:
    """An array on the native grid in working axis order -> the file's own axes."""
    return np.ascontiguousarray(grid.orientation.invert(array[None])[0])
