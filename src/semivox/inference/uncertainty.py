"""How sure a prediction is: the entropy of its class probabilities, in nats."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

MARGIN = 2
"""Voxels around the predicted foreground that its mean entropy covers."""


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """(K, ...) probabilities -> (...) float32 entropy ``-sum p ln p`` in nats, 0 .. ln K."""
    total = np.zeros(probabilities.shape[1:], np.float32)
    for p in probabilities:  # class by class: one map of memory, whatever K
        total -= p * np.log(np.maximum(p, np.finfo(np.float32).tiny))
    return np.maximum(total, 0.0)


def mean_entropy(entropies: np.ndarray, foreground: np.ndarray) -> float:
    """Mean entropy (nats) over the predicted foreground and ``MARGIN`` voxels around it.

    Over the whole scan the easy background would drown it. Without foreground it is the mean of the scan.
    """
    box, near = near_foreground(foreground)
    chosen = entropies[box][near] if near.any() else entropies
    return float(chosen.mean(dtype=np.float64))


def near_foreground(foreground: np.ndarray) -> tuple[tuple[slice, ...], np.ndarray]:
    """A box around the foreground, and where in it (bool) the foreground and ``MARGIN`` voxels around it lie;
    nowhere if there is no foreground."""
    if not foreground.any():
        return tuple(slice(0, 0) for _ in foreground.shape), np.zeros((0,) * foreground.ndim, bool)
    box = tuple(slice(max(0, s.start - MARGIN), s.stop + MARGIN) for s in _bounds(foreground))
    return box, ndimage.binary_dilation(foreground[box], iterations=MARGIN)


def _bounds(foreground: np.ndarray) -> tuple[slice, ...]:
    return ndimage.find_objects(foreground.astype(np.uint8))[0]
