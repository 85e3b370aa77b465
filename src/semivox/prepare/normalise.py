"""Intensity normalisation of a scan, channel by channel, as the plan says.

It runs on the file's own voxels, before any resampling, so that padding is still exactly one value.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from semivox.prepare.plan import ChannelPlan

PADDING_SHARE = 0.25
"""If more than this share of the voxels equals the minimum exactly, it is padding or an air mask."""


def normalise(array: np.ndarray, channels: Sequence[ChannelPlan]) -> np.ndarray:
    """Normalise ``(C, ...)`` to float32, one :class:`ChannelPlan` a channel.

    ``zscore`` subtracts the mean of the volume and divides by its standard deviation (padding set apart);
    ``ct`` clips to [low, high], then uses the cohort's mean and std. A constant image becomes zeros.
    """
    if len(channels) != array.shape[0]:
        raise ValueError(f"array has {array.shape[0]} channels, the plan has {len(channels)}")
    result = np.empty(array.shape, np.float32)
    for index, channel in enumerate(channels):
        if channel.scheme == "ct":
            result[index] = _ct(array[index], channel)
        elif channel.scheme == "zscore":
            result[index] = _zscore(array[index])
        else:
            raise ValueError(f"unknown normalisation scheme {channel.scheme!r}")
    return result


def _zscore(values: np.ndarray) -> np.ndarray:
    body = values[values != values.min()]
    if body.size > (1 - PADDING_SHARE) * values.size or body.size == 0:
        body = values
    mean, std = body.mean(dtype=np.float64), body.std(dtype=np.float64)
    if std == 0:  # one value besides the padding: the padding carries the contrast
        mean, std = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    if std <= 1e-12 * max(1.0, abs(mean)):
        return np.zeros(values.shape, np.float32)
    return ((values - mean) / std).astype(np.float32)


def _ct(values: np.ndarray, channel: ChannelPlan) -> np.ndarray:
    if channel.low is None or channel.high is None or channel.mean is None or channel.std is None:
        raise ValueError(f"channel {channel.name!r}: scheme ct needs low, high, mean and std")
    clipped = np.clip(values.astype(np.float32), channel.low, channel.high)
    return ((clipped - channel.mean) / (channel.std or 1.0)).astype(np.float32)
