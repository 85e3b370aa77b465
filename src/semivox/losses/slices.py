"""SimCVD's boundary-aware contrast: slices of image plus signed distance map, student against teacher.

You, Zhou, Zhao, Staib, Duncan, "SimCVD", IEEE TMI 2022, arXiv 2108.06227. With Q = X + Q_sdm cut into slices
and h a slice's projected vector, t the teacher and s the student, i, k volumes of the batch and j, l slices:

    l(h^t_ij, h^s_ij) = -log( exp(h^t_ij . h^s_ij / tau) / sum_kl exp(h^t_ij . h^s_kl / tau) )
"""

from __future__ import annotations

import torch
from torch import Tensor

from semivox.losses.contrast import paired_info_nce
from semivox.losses.numerics import full_precision


@full_precision
def boundary_aware_map(x: Tensor, sdm: Tensor) -> Tensor:
    """Mean over the channels of ``x`` (B, C, X, Y[, Z]) plus ``sdm`` (B, K-1, ...): one plane a class."""
    return x.mean(1, keepdim=True) + sdm


def to_slices(q: Tensor, at: Tensor | None = None) -> Tensor:
    """Slices along the last axis: (B, F, X, Y, Z) -> (B*Z, F, X, Y), volume after volume.

    ``at`` (B, n) int64 keeps only those slices of each volume: (B*n, F, X, Y). A 2D batch (B, F, X, Y) is
    its own slices.
    """
    if q.dim() == 4:
        return q
    slices = q.movedim(-1, 1)  # (B, Z, F, X, Y)
    if at is not None:
        slices = slices[torch.arange(len(q), device=q.device)[:, None], at]
    return slices.flatten(0, 1)


def boundary_aware_slices(x: Tensor, sdm: Tensor) -> Tensor:
    """The slices of :func:`boundary_aware_map`: (B*Z, K-1, X, Y), volume after volume."""
    return to_slices(boundary_aware_map(x, sdm))


def slice_contrast(
    h_teacher: Tensor,
    h_student: Tensor,
    *,
    temperature: float = 0.5,
    exclude_window: int = 0,
    volume: Tensor | None = None,
    position: Tensor | None = None,
) -> Tensor:
    """The mean of l over all slices: the teacher's are anchors, the student's are keys.

    h_teacher, h_student (N, D), row r of both the same slice; compared by cosine. The caller detaches the
    teacher: the gradient reaches the student through the keys. The negatives of a slice are all other slices
    of all volumes. Neighbouring slices look alike, so ``exclude_window`` > 0 leaves slices of the same
    ``volume`` (N,) whose index ``position`` (N,) is at most that far away out of the negatives.
    """
    near = None
    if exclude_window > 0:
        if volume is None or position is None:
            raise ValueError("exclude_window needs the volume and the position of each slice")
        near = (volume[:, None] == volume) & ((position[:, None] - position).abs() <= exclude_window)
    return paired_info_nce(h_teacher[None], h_student[None], temperature=temperature, exclude=near)


def slice_places(volumes: int, slices: int, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """``volume`` and ``position`` (B*Z,) of the rows of ``to_slices`` for B volumes of Z slices."""
    volume = torch.arange(volumes, device=device).repeat_interleave(slices)
    return volume, torch.arange(slices, device=device).repeat(volumes)


def crop_slice_contrast(h_t: Tensor, h_s: Tensor, crops: int, temperature: float, window: int) -> Tensor:
    """:func:`slice_contrast` of the slices of ``crops`` crops, crop after crop, equally many of each."""
    volume, position = slice_places(crops, len(h_s) // crops, h_s.device)
    return slice_contrast(
        h_t, h_s, temperature=temperature, exclude_window=window, volume=volume, position=position
    )
