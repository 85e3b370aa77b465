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
    edge cuts no distance off, or with one that holds the whole scan and what is just beyond it, if that is
    less. ``crop_minmax`` is scaled by the crop's own extremes: no margin.
    """
    if form == "crop_minmax":
        inside = cut([label], geometry, mark_inside=False)[0].numpy() > FULL / 2
        return signed_distance_maps(inside, geometry.spacing, limit, form, torch.get_num_threads())
    reach = margin_voxels(geometry.spacing, limit)
    margin = tuple(min(each) for each in zip(reach, _whole_scan(label.shape[1:], geometry), strict=True))
    inside = cut([label], geometry, margin, mark_inside=False)[0].numpy() > FULL / 2
    inner = tuple(slice(m, m + p) for m, p in zip(margin, geometry.patch, strict=True))
    return np.stack([_maps_near(plane, geometry.spacing, limit, reach)[inner] for plane in inside])


def _whole_scan(shape: tuple[int, ...], geometry: CropGeometry) -> tuple[int, ...]:
    """By how many voxels a side a crop must grow to hold all of a scan of ``shape`` and a voxel around it.
    What lies farther away is outside like these, and nearer to nothing."""
    half = (np.array(geometry.patch) - 1) / 2
    centre = np.array(geometry.start) + half
    bent = np.zeros(len(shape)) if geometry.elastic is None else geometry.elastic.largest
    farthest = np.maximum(centre + 1, np.array(shape) - centre) + bent  # from the centre
    back = np.linalg.inv(geometry.affine.matrix(geometry.spacing))
    return tuple(max(0, int(n)) for n in np.ceil(np.abs(back) @ farthest - half) + 1)


def _maps_near(
    inside: np.ndarray, spacing: tuple[float, ...], limit: float, reach: tuple[int, ...]
) -> np.ndarray:
    """The map of one class, ``inside`` (X, Y[, Z]) bool; computed only in the box around it grown by the
    limit, ``reach`` voxels, beyond which it is 1: several times faster for small structures, and the same
    numbers."""
    maps = np.ones(inside.shape, dtype=np.float32)
    window = []
    for axis, (extra, size) in enumerate(zip(reach, inside.shape, strict=True)):
        others = tuple(a for a in range(inside.ndim) if a != axis)
        (present,) = np.nonzero(inside.any(axis=others))
        if not len(present):
            return maps
        window.append(slice(max(0, int(present[0]) - extra), min(size, int(present[-1]) + extra + 1)))
    box = tuple(window)
    maps[box] = signed_distance(inside[box], spacing, limit, torch.get_num_threads())
    return maps
