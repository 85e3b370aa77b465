"""Where tiles lie along an axis and how they are blended: all count alike, as in the papers' window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def axis_tiles(length: int, tile: int, overlap: float = 0.5) -> list[tuple[int, np.ndarray]]:
    """The tiles along one axis: ``(start, weights)``, weights (tile,) float32.

    Starts are evenly spaced from 0 to ``length - tile``, no further apart than ``tile * (1 - overlap)``.
    At every voxel the tiles that cover it share a weight of one. A product of the weights over the axes is a
    partition of unity of the volume.
    """
    if tile > length:
        raise ValueError(f"a tile of {tile} voxels on an axis of {length}")
    stride = max(1, int(tile * (1.0 - overlap)))
    count = 1 + -(-(length - tile) // stride)
    starts = [round(i * (length - tile) / (count - 1)) for i in range(count)] if count > 1 else [0]
    covered = np.zeros(length, np.float32)
    for start in starts:
        covered[start : start + tile] += 1
    return [(start, 1 / covered[start : start + tile]) for start in starts]


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
