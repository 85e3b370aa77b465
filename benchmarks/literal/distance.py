"""Signed distance maps, written the obvious way: a loop over samples, two distance transforms for each."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def inner_boundaries(mask: np.ndarray) -> np.ndarray:
    """Voxels of ``mask`` whose face neighbours are not all alike, as scikit-image finds them."""
    label = mask.astype(np.uint8)
    cross = ndimage.generate_binary_structure(mask.ndim, 1)
    largest = ndimage.grey_dilation(label, footprint=cross)
    smallest = ndimage.grey_erosion(label, footprint=cross)
    return (largest != smallest) & mask


def compute_sdf(label_batch: np.ndarray) -> np.ndarray:
    """(B, X, Y[, Z]) integers -> (B, ...) float64 in -1..1, negative inside, 0 on the inner boundary."""
    sdf = np.zeros(label_batch.shape)
    for b in range(len(label_batch)):
        posmask = label_batch[b].astype(bool)
        if not posmask.any():
            continue
        negmask = ~posmask
        posdis = ndimage.distance_transform_edt(posmask)
        negdis = ndimage.distance_transform_edt(negmask)
        outside = (negdis - np.min(negdis)) / (np.max(negdis) - np.min(negdis))
        inside = (posdis - np.min(posdis)) / (np.max(posdis) - np.min(posdis))
        sdf[b] = outside - inside
        sdf[b][inner_boundaries(posmask)] = 0
    return sdf
