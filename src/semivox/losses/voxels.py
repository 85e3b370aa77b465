"""Voxel-wise contrast between two networks: a voxel against itself, and against its whole crop.

Of n embedded voxels of each crop, all compared by cosine (CVRL, You et al., arXiv 2105.07059):

    same voxel    -log exp(z.z'/tau) / sum over voxels of the batch exp(z.z'_j/tau)
    volume        -log exp(z.g+/tau) / (exp(z.g+/tau) + sum over other cases' summaries exp(z.g_m/tau))
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from semivox.losses.contrast import info_nce
from semivox.losses.numerics import full_precision
from semivox.losses.sampling import sample_positions
from semivox.randomness import BatchKey


@torch.no_grad()
def valid_positions(valid: Tensor, size: Sequence[int], n: int, key: BatchKey) -> tuple[Tensor, Tensor]:
    """At most ``n`` different positions of each crop, spread over it: index (B, n), present (B, n) bool.

    ``valid`` (B, 1, X, Y[, Z]); ``size`` is that of the feature map, maybe coarser: a cell counts as valid if
    half of its voxels do. ``present`` is False where a crop has fewer. See :func:`sample_positions`.
    """
    if tuple(size) != tuple(valid.shape[2:]):
        valid = functional.interpolate(valid, size=tuple(size), mode="area")
    allowed = valid.flatten(1) >= 0.5  # (B, P)
    n = min(n, allowed.shape[1])
    index, present = sample_positions(torch.zeros_like(allowed, dtype=torch.int64), allowed, (0,), n, key)
    return index[:, 0], present[:, 0]


@full_precision
def mean_feature(features: Tensor, valid: Tensor) -> Tensor:
    """The mean (B, F) of ``features`` (B, F, X, Y[, Z]) over valid voxels (B, 1, X, Y[, Z]); of none, 0."""
    flat, inside = features.flatten(2), valid.flatten(2)
    return (flat @ inside.transpose(1, 2))[..., 0] / inside.sum(2).clamp_min(1)


def same_voxel_contrast(
    z_s: Tensor, z_t: Tensor, present: Tensor, case: Tensor, *, temperature: float
) -> Tensor:
    """Each student voxel finds itself among the teacher's voxels of all crops; a scalar.

    z_s, z_t (B, n, D), present (B, n) bool, case (B,). Other crops of the same case are no negatives: they
    may show the same tissue. Memory grows with the number of voxels, not with its square. The caller detaches
    the teacher.
    """
    crops, n, _ = z_s.shape
    voxel = torch.arange(crops * n, device=z_s.device)
    crop = voxel // n
    other_crop_of_case = (case[:, None] == case) & ~torch.eye(crops, dtype=torch.bool, device=z_s.device)
    # (B, B n), alike for all anchors of a crop; an absent anchor loses its positive
    exclude = other_crop_of_case[:, crop] | ~present.flatten()

    def pairs(a: slice, k: slice) -> tuple[Tensor, Tensor]:
        return voxel[a, None] == voxel[k], exclude[crop[a], k]

    # one positive: all forms of the loss but `ratio` are equal
    return info_nce(z_s.flatten(0, 1), z_t.flatten(0, 1), pairs, temperature=temperature)


def volume_contrast(
    z_s: Tensor, g_t: Tensor, present: Tensor, negatives: Tensor, exclude: Tensor, *, temperature: float
) -> Tensor:
    """Each student voxel finds the summary of its own crop among ``negatives``; a scalar.

    z_s (B, n, D), present (B, n) bool; g_t (B, D) the teacher's summaries; negatives (M, D) summaries of this
    and earlier batches, exclude (B, M) bool: those that are none for a crop, its own case's above all. The
    caller detaches the teacher.
    """
    crops, n, _ = z_s.shape
    crop, there = torch.arange(crops * n, device=z_s.device) // n, present.flatten()
    own = torch.eye(crops, dtype=torch.bool, device=z_s.device)
    # (B, B + M), alike for all anchors of a crop
    positives = torch.cat([own, torch.zeros_like(exclude)], 1)
    exclude = torch.cat([~own, exclude], 1)

    def pairs(a: slice, k: slice) -> tuple[Tensor, Tensor]:
        return positives[crop[a], k] & there[a, None], exclude[crop[a], k]

    return info_nce(z_s.flatten(0, 1), torch.cat([g_t, negatives]), pairs, temperature=temperature)


__all__ = ["mean_feature", "same_voxel_contrast", "valid_positions", "volume_contrast"]
