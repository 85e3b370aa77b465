"""A scan through networks on the working grid, and back to classes on the scan's own grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from torch import nn

from semivox.cohort.volume import Volume
from semivox.prepare.grid import Grid
from semivox.prepare.normalise import normalise
from semivox.prepare.plan import Plan
from semivox.prepare.resample import resample
from semivox.tiles import predict_probabilities


def working_probabilities(
    networks: Sequence[nn.Module], volume: Volume, plan: Plan, memory_bytes: int | None = None
) -> tuple[Grid, np.ndarray]:
    """Turn, normalise, resample, predict: the scan's grid and (K, working) float32 probabilities.

    The networks may live on any one device; the scan must fit the plan (dimensions, channels).
    """
    grid = Grid.of(volume, plan)
    # Turned and contiguous before anything is summed: a flipped copy then gives the same bits.
    turned = np.ascontiguousarray(grid.orientation.apply(volume.array))
    image = resample(normalise(turned, plan.channels), grid.working_shape)
    needs = [getattr(network, "multiple", plan.network.multiple) for network in networks]
    probs = predict_probabilities(
        networks,
        image,
        multiple=tuple(math.lcm(*axis) for axis in zip(*needs, strict=True)),
        memory_bytes=memory_bytes,
        bytes_per_voxel=bytes_per_voxel(plan),
    )
    return grid, probs.numpy()


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


def bytes_per_voxel(plan: Plan) -> float:
    """Estimated memory of a forward for each input voxel: float32 maps at full resolution alive at once."""
    return 4.0 * (8 * plan.network.features[0] + len(plan.channels) + 2 * (len(plan.classes) + 1))
