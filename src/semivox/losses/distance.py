"""Signed distance maps (NumPy) and the loss of a network head that predicts them.

Convention: outside, the distance from a voxel's centre to the nearest foreground voxel's centre; inside,
minus the distance to the nearest background voxel's. So no voxel is 0: across a face the map jumps from
+spacing to -spacing, and the surface lies halfway.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import edt
import numpy as np
from torch import Tensor

from semivox.losses.clipped_distance import clipped_signed_distance, is_worth_clipping
from semivox.losses.numerics import full_precision, weighted_mean

SdmForm = Literal["euclidean", "crop_minmax"]


def signed_distance(mask: np.ndarray, spacing: Sequence[float], limit: float, threads: int = 1) -> np.ndarray:
    """clip(d, -T, T) / T with T = ``limit``, both in the units of ``spacing``; float32, negative inside.

    ``mask`` (X, Y[, Z]) bool. An empty mask is +1 everywhere, a full one -1. On a crop enlarged by
    :func:`margin_voxels` the inner part equals the whole volume's map exactly. ``threads`` of the transform,
    which is needed where the limit is far.
    """
    if limit <= 0:
        raise ValueError(f"limit must be positive, got {limit}")
    inside = np.asarray(mask, dtype=bool)
    if is_worth_clipping(spacing, limit):
        return clipped_signed_distance(inside, spacing, limit)
    distance = _distance_to_the_other(inside, spacing, threads)
    np.minimum(distance, np.float32(limit), out=distance)
    distance /= np.float32(limit)
    return np.negative(distance, out=distance, where=inside)


def signed_distance_crop_minmax(
    mask: np.ndarray, spacing: Sequence[float] | None = None, threads: int = 1
) -> np.ndarray:
    """The literature's form: d_out / max d_out - d_in / max d_in of a crop, 0 on the inner boundary; float32.

    The inner boundary are the foreground voxels with a background voxel across a face. Distances are in
    voxels unless ``spacing`` is given. An empty crop is +1, a full one -1 (published code gives 0, or
    divides by 0).
    """
    inside = np.asarray(mask, dtype=bool)
    if not inside.any() or inside.all():
        return np.full(inside.shape, -1 if inside.any() else 1, dtype=np.float32)
    phi = _distance_to_the_other(inside, spacing or (1.0,) * inside.ndim, threads)
    np.negative(phi, out=phi, where=inside)
    phi /= np.where(inside, -phi.min(), phi.max())
    phi[_inner_boundary(inside)] = 0
    return phi


def signed_distance_maps(
    target: np.ndarray,
    spacing: Sequence[float],
    limit: float,
    form: SdmForm = "euclidean",
    threads: int = 1,
) -> np.ndarray:
    """One map a foreground class: (K-1, X, Y[, Z]) bool, or fractions in 0..1 -> (K-1, ...) float32.

    A voxel is inside a class where its fraction is over 0.5. ``limit`` is not used by ``crop_minmax``.
    """
    if form not in ("euclidean", "crop_minmax"):
        raise ValueError(f"form {form!r} is none of euclidean, crop_minmax")
    maps = np.empty(target.shape, dtype=np.float32)
    for plane, out in zip(target, maps, strict=True):
        inside = plane if plane.dtype == bool else plane > 0.5
        out[...] = (
            signed_distance(inside, spacing, limit, threads)
            if form == "euclidean"
            else signed_distance_crop_minmax(inside, spacing, threads)
        )
    return maps


def margin_voxels(spacing: Sequence[float], limit: float) -> tuple[int, ...]:
    """By how many voxels a side a crop must grow so that its inner distances up to ``limit`` are exact."""
    return tuple(math.ceil(limit / s) for s in spacing)


def _distance_to_the_other(inside: np.ndarray, spacing: Sequence[float], threads: int) -> np.ndarray:
    """Distance of each voxel to the nearest one of the other kind; infinite where there is none. float32."""
    # edt measures to the nearest voxel of another label, so labels 1 and 2 give both sides in one pass.
    labels = np.ascontiguousarray(inside).view(np.uint8) + np.uint8(1)
    sizes = tuple(float(s) for s in spacing)
    distance: np.ndarray = edt.edt(labels, anisotropy=sizes, black_border=False, parallel=threads)
    return distance


def _inner_boundary(inside: np.ndarray) -> np.ndarray:
    """Where a voxel inside has one outside across a face; the array's own border is none."""
    at_a_face = np.zeros_like(inside)
    for axis in range(inside.ndim):
        along, found = np.moveaxis(inside, axis, 0), np.moveaxis(at_a_face, axis, 0)
        differs = along[1:] != along[:-1]
        found[1:] |= differs
        found[:-1] |= differs
    return at_a_face & inside


@full_precision
def sdm_loss(sdm: Tensor, target: Tensor, valid: Tensor, annotated: Tensor) -> Tensor:
    """Mean squared error of distance maps over valid voxels and annotated classes; 0 where there are none.

    sdm, target (B, K-1, X, Y[, Z]) in [-1, 1]; valid (B, 1, ...) 0/1; annotated (B, K-1) 0/1.
    """
    batch, planes, *space = sdm.shape
    expected = ((batch, planes, *space), (batch, 1, *space), (batch, planes))
    found = (tuple(target.shape), tuple(valid.shape), tuple(annotated.shape))
    if found != expected:
        raise ValueError(f"sdm {tuple(sdm.shape)}: target, valid, annotated {found}, expected {expected}")
    axes = tuple(range(2, sdm.dim()))
    error = ((sdm - target).square() * valid).sum(axes)  # (B, K-1)
    known = (annotated > 0).to(sdm.dtype)
    return weighted_mean((error * known).sum(), (valid.sum(axes) * known).sum())
