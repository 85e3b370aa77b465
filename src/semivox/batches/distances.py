"""Signed distance targets of a crop, computed on its changed label and exact up to the crop's edge."""

from __future__ import annotations

import numpy as np
import torch

from semivox.batches.geometry import CropGeometry, cut
from semivox.losses import SdmForm, margin_voxels, signed_distance, signed_distance_maps
from semivox.prepare import FULL


def distance_targets(label: np.ndarray, geometry: CropGeometry, limit: float, form: SdmForm) -> np.ndarray:
    """(K-1, patch) float32 in [-1, 1] for ``label`` (K-1, X, Y[, Z]) uint8 of the scan.

    ``euclidean``: the label is cut with a margin of ``limit`` (in units of the spacing), so that the crop's
    edge cuts no distance off. ``crop_minmax`` is scaled by the crop's own extremes: no margin.
    """
    margin = None if form == "crop_minmax" else margin_voxels(geometry.spacing, limit)
    inside = cut([label], geometry, margin, mark_inside=False)[0].numpy() > FULL / 2
    if margin is None:
        return signed_distance_maps(inside, geometry.spacing, limit, form, torch.get_num_threads())
    inner = tuple(slice(m, m + p) for m, p in zip(margin, geometry.patch, strict=True))
    return np.stack([_maps_near(plane, geometry.spacing, limit, margin)[inner] for plane in inside])


def _maps_near(
    inside: np.ndarray, spacing: tuple[float, ...], limit: float, margin: tuple[int, ...]
) -> np.ndarray:
    """The map of one class, ``inside`` (X, Y[, Z]) bool; computed only in the box around it grown by the
    limit, beyond which it is 1: several times faster for small structures, and the same numbers."""
    maps = np.ones(inside.shape, dtype=np.float32)
    window = []
    for axis, (extra, size) in enumerate(zip(margin, inside.shape, strict=True)):
        others = tuple(a for a in range(inside.ndim) if a != axis)
        (present,) = np.nonzero(inside.any(axis=others))
        if not len(present):
            return maps
        window.append(slice(max(0, int(present[0]) - extra), min(size, int(present[-1]) + extra + 1)))
    box = tuple(window)
    maps[box] = signed_distance(inside[box], spacing, limit, torch.get_num_threads())
    return maps
