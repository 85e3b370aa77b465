"""Where tiles lie along an axis and how they are blended: Gaussian windows that sum to exactly one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SIGMA = 0.125  # of the tile's length, as nnU-Net and MONAI have it


def axis_tiles(length: int, tile: int, overlap: float = 0.5) -> list[tuple[int, np.ndarray]]:
    """The tiles along one axis: ``(start, weights)``, weights (tile,) float32.

    Starts are evenly spaced from 0 to ``length - tile``, no further apart than ``tile * (1 - overlap)``.
    Weights are Gaussian windows divided by their sum at each voxel, so at every voxel the weights of all
    tiles add up to one. A product of them over the axes is a partition of unity of the volume.
    """
    if tile > length:
        raise ValueError(f"a tile of {tile} voxels on an axis of {length}")
    stride = max(1, int(tile * (1.0 - overlap)))
    count = 1 + -(-(length - tile) // stride)
    starts = [round(i * (length - tile) / (count - 1)) for i in range(count)] if count > 1 else [0]
    offset = np.arange(tile) - (tile - 1) / 2
    window = np.exp(-0.5 * (offset / (SIGMA * tile)) ** 2)
    total = np.zeros(length)
    for start in starts:
        total[start : start + tile] += window
    return [(start, (window / total[start : start + tile]).astype(np.float32)) for start in starts]


def tile_shape(shape: Sequence[int], multiple: Sequence[int], voxels: float) -> tuple[int, ...]:
    """The largest near-cubic tile of at most ``voxels`` voxels inside ``shape``.

    ``shape`` and the result are multiples of ``multiple``; the result is at least one multiple.
    """
    tile = list(shape)
    while np.prod(tile) > voxels:
        shrinkable = [a for a, m in enumerate(multiple) if tile[a] > m]
        if not shrinkable:
            break
        longest = max(shrinkable, key=lambda a: tile[a])
        tile[longest] -= multiple[longest]
    return tuple(tile)
