"""Intensity normalisation of a scan, channel by channel, as the plan says.

It runs on the file's own voxels, before any resampling, so that padding is still exactly one value.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from semivox.errors import DataError
from semivox.prepare.plan import ChannelPlan

PADDING_SHARE = 0.25
"""If more than this share of the voxels equals the minimum exactly, it is padding or an air mask."""
LARGEST = 1e140
"""Squares of such numbers can be summed in float64, whatever the scan's size."""
PIECE = 2**22
"""Voxels that are turned to float64 at a time."""


def normalise(array: np.ndarray, channels: Sequence[ChannelPlan], path: Path | None = None) -> np.ndarray:
    """Normalise ``(C, ...)`` to float32, one :class:`ChannelPlan` a channel.

    ``zscore`` subtracts the mean of the volume and divides by its standard deviation (padding set apart);
    ``ct`` clips to [low, high], then uses the cohort's mean and std. A constant image becomes zeros. Raises
    DataError, which names ``path``, where the numbers are too large for a deviation.
    """
    if len(channels) != array.shape[0]:
        raise ValueError(f"array has {array.shape[0]} channels, the plan has {len(channels)}")
    result = np.empty(array.shape, np.float32)
    for values, channel, out in zip(array, channels, result, strict=True):
        if channel.scheme == "ct":
            _ct(values, channel, out)
        elif channel.scheme == "zscore":
            _zscore(values, out, path)
        else:
            raise ValueError(f"unknown normalisation scheme {channel.scheme!r}")
    return result


def _zscore(values: np.ndarray, out: np.ndarray, path: Path | None) -> None:
    body = values[values != values.min()]
    if body.size > (1 - PADDING_SHARE) * values.size or body.size == 0:
        body = values
    mean, std = _mean_std(body)
    if std == 0:  # one value besides the padding: the padding carries the contrast
        mean, std = _mean_std(values)
    if not np.isfinite(std):
        raise DataError(
            "the intensities are too large",
            path=path,
            found=f"numbers from {values.min():.3g} to {values.max():.3g}",
            expected=f"numbers whose squares are finite, within {-LARGEST:.0e} and {LARGEST:.0e}",
            remedy="look at the file: are these intensities? Else divide them by a number, or leave it out",
        )
    if std <= 1e-12 * max(1.0, abs(mean)):
        out[...] = 0
        return
    for plane, scaled in zip(values, out, strict=True):
        scaled[...] = (plane - mean) / std


def _mean_std(values: np.ndarray) -> tuple[np.float64, np.float64]:
    """In float64, a piece at a time: a copy of a large scan in it would be the largest array of all."""
    flat = values.reshape(-1)
    with np.errstate(over="ignore", invalid="ignore"):  # the deviation is then not finite
        mean = flat.mean(dtype=np.float64)
        pieces = (flat[i : i + PIECE] for i in range(0, flat.size, PIECE))
        squares = sum(float(np.square(piece - mean).sum()) for piece in pieces)
        return mean, np.sqrt(np.float64(squares / flat.size))


def _ct(values: np.ndarray, channel: ChannelPlan, out: np.ndarray) -> None:
    if channel.low is None or channel.high is None or channel.mean is None or channel.std is None:
        raise ValueError(f"channel {channel.name!r}: scheme ct needs low, high, mean and std")
    with np.errstate(over="ignore"):  # what float32 does not hold is clipped with the others
        out[...] = values
    np.clip(out, channel.low, channel.high, out=out)
    out -= channel.mean
    out /= channel.std or 1.0
