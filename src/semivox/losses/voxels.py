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

from semivox.losses.class_sampling import sample_positions
from semivox.losses.contrast import info_nce
from semivox.losses.precision import full_precision
from semivox.randomness import BatchKey

CHUNK = 1024
"""Anchors compared at a time, so that memory grows with their number and not with its square."""


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
    may show the same tissue. The caller detaches the teacher.
    """
    crops, n, _ = z_s.shape
    crop = torch.arange(crops, device=z_s.device).repeat_interleave(n)
    itself = torch.eye(crops * n, dtype=torch.bool, device=z_s.device)
    other_crop_of_case = (case[:, None] == case) & ~torch.eye(crops, dtype=torch.bool, device=z_s.device)
    exclude = other_crop_of_case[crop][:, crop] | ~present.flatten()  # an absent anchor loses its positive
    # one positive: all forms of the loss but `ratio` are equal
    anchors, keys = z_s.flatten(0, 1), z_t.flatten(0, 1)
    return info_nce(anchors, keys, itself, temperature=temperature, exclude=exclude, chunk=CHUNK)


def volume_contrast(
    z_s: Tensor, g_t: Tensor, present: Tensor, negatives: Tensor, exclude: Tensor, *, temperature: float
) -> Tensor:
    """Each student voxel finds the summary of its own crop among ``negatives``; a scalar.

    z_s (B, n, D), present (B, n) bool; g_t (B, D) the teacher's summaries; negatives (M, D) summaries of this
    and earlier batches, exclude (B, M) bool: those that are none for a crop, its own case's above all. The
    caller detaches the teacher.
    """
    crops, n, _ = z_s.shape
    crop = torch.arange(crops, device=z_s.device).repeat_interleave(n)
    own = torch.eye(crops, dtype=torch.bool, device=z_s.device)
    positives = torch.cat([own, torch.zeros_like(exclude)], 1)[crop] & present.flatten()[:, None]
    exclude = torch.cat([~own, exclude], 1)[crop]
    anchors, keys = z_s.flatten(0, 1), torch.cat([g_t, negatives])
    return info_nce(anchors, keys, positives, temperature=temperature, exclude=exclude, chunk=CHUNK)


__all__ = ["mean_feature", "same_voxel_contrast", "valid_positions", "volume_contrast"]
