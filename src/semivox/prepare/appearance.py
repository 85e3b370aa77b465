"""What a scan looks like, in a few numbers that need no label and no network.

They tell whether a scan is of the kind that others are: of another scanner, another contrast, cut, blurred or
noisy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from semivox.cohort import Volume, orientation_of
from semivox.prepare.normalise import normalise
from semivox.prepare.plan import ChannelPlan

QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
THINNED = 5e5
"""Voxels that intensities are taken from; of a larger scan every second, third ... along each axis."""
BLOCK = 96
"""Edge of the block in the middle of the scan in which neighbours are compared."""
FLAT = 1e-3
"""A scan that varies less counts as varying so much."""

Appearance = Mapping[str, Sequence[float]]
"""Name -> numbers; differences of logarithms for sizes, of standard deviations for intensities."""


def appearance(volume: Volume, channels: Sequence[ChannelPlan]) -> Appearance:
    """The numbers of a scan.

    Parameters
    ----------
    volume
        The scan, as read.
    channels
        How each channel is normalised; what stays after it is what the network sees, so a scaling of the
        intensities that it takes away does not count.

    Returns
    -------
    ``spacing`` and ``extent``: natural logarithms of the voxel's edges and of the field of view along the
    axes right, anterior, superior, in mm, or in the file's own unit where nobody knows it. ``intensity``: of
    each channel the :data:`QUANTILES`, normalised. ``sharpness``: of each channel and axis the logarithm of
    the mean difference of neighbouring voxels over the channel's spread; noise raises it, blur lowers it.
    """
    turned = orientation_of(volume.affine, volume.dims, tuple(range(volume.dims)))
    edges = turned.reorder(volume.voxel_edges)
    extent = [edge * size for edge, size in zip(edges, turned.reorder(volume.shape), strict=True)]
    step = max(1, round((math.prod(volume.shape) / THINNED) ** (1 / volume.dims)))
    thinned = volume.array[(slice(None), *(slice(None, None, step),) * volume.dims)]
    quantiles = np.quantile(normalise(thinned, channels).reshape(len(channels), -1), QUANTILES, axis=1).T
    block = turned.apply(volume.array)[(slice(None), *(_middle(n) for n in turned.reorder(volume.shape)))]
    return {
        "spacing": [round(math.log(edge), 4) for edge in edges],
        "extent": [round(math.log(length), 4) for length in extent],
        "intensity": [round(float(q), 4) for q in quantiles.ravel()],
        "sharpness": [round(v, 4) for channel in block for v in _sharpness(channel.astype(np.float64))],
    }


def _middle(length: int) -> slice:
    begin = max(0, (length - BLOCK) // 2)
    return slice(begin, begin + BLOCK)


def _sharpness(block: np.ndarray) -> list[float]:
    spread = max(float(block.std()), FLAT * max(1.0, float(np.abs(block).max())))
    return [
        math.log(max(float(np.abs(np.diff(block, axis=axis)).mean()) / spread, FLAT)) if length > 1 else 0.0
        for axis, length in enumerate(block.shape)
    ]
