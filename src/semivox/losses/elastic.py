"""The elastic interaction energy of a predicted and a true boundary, evaluated with the FFT.

Lan, Xiang, Zhang, "An Elastic Interaction-Based Loss Function for Medical Image Segmentation", MICCAI 2020,
arXiv 2007.02663. Boundaries act on each other over a distance, as dislocation loops do. With p the
foreground probability, y the label and F an orthonormal Fourier transform over N pixels,

    E = 1/N sum over k of |k| |F[alpha p - y](k)|^2

For alpha = 1 it is the squared H^(1/2) seminorm of p - y, smallest where p = y up to a constant: a squared
error that weighs fine detail, so boundaries, more. Regions that overlap are drawn onto each other; ones that
do not push each other away, weakly (1/r^3), so it finds no organ that the prediction misses altogether.

Differs from published code: the gradient is autograd's, not a hand-written one of another size; it takes
alpha p - y with p the *foreground*, where swapped channels would drive p to the label's complement; the
transform runs over space alone, never over the batch; the image is mirrored at its borders, for otherwise
opposite borders touch; |k| is in cycles per mm, so the energy does not depend on the crop's size, nor on the
spacing once it resolves the boundary. It is blind to constants (|k| = 0): never use it alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from semivox.losses.numerics import full_precision, weighted_mean

ElasticDims = Literal["slice", "volume"]


@full_precision
def elastic_energy(
    probs: Tensor,
    target: Tensor,
    spacing: Sequence[float],
    *,
    alpha: float = 1.0,
    dims: ElasticDims = "slice",
    valid: Tensor | None = None,
    annotated: Tensor | None = None,
) -> Tensor:
    """Mean energy, in 1/mm, of the annotated (sample, foreground class) pairs; 0 where there is none.

    probs, target (B, K-1, X, Y[, Z]) foreground probabilities and fractions; ``spacing`` in mm, one number an
    axis. ``dims``: of 3D crops, ``slice`` is the mean over the slices along the last axis, each a plane of
    its own (the paper's plane), ``volume`` one transform over all axes. ``valid`` (B, 1, ...): where it is 0
    prediction and target count as equal. ``annotated`` (B, K-1): other pairs do not count. The caller
    detaches a target that is another network's.
    """
    if probs.shape != target.shape:
        raise ValueError(f"probs {tuple(probs.shape)} and target {tuple(target.shape)} differ")
    space = probs.dim() - 2
    if len(spacing) != space:
        raise ValueError(f"spacing has {len(spacing)} numbers, the crop has {space} axes")
    if dims not in ("slice", "volume"):
        raise ValueError(f"dims {dims!r} is none of slice, volume")
    gap = alpha * probs - target
    if valid is not None:
        gap = gap * valid
    axes = (2, 3) if dims == "slice" else tuple(range(2, 2 + space))
    energy = _energy(gap, axes, spacing)
    weight = torch.ones_like(energy) if annotated is None else (annotated > 0).to(energy.dtype)
    return weighted_mean((energy * weight).sum(), weight.sum())


def _energy(gap: Tensor, axes: tuple[int, ...], spacing: Sequence[float]) -> Tensor:
    """(B, F, X, Y[, Z]) -> (B, F): sum of |k| |F gap|^2 over the transformed ``axes``, a voxel."""
    for axis in axes:
        gap = torch.cat([gap, gap.flip(axis)], axis)  # periodic without a jump
    voxels = gap[0, 0].numel()
    spectrum = torch.fft.rfftn(gap, dim=axes, norm="ortho")  # the last axis keeps its half: the rest mirrors
    power = spectrum.real.square() + spectrum.imag.square()
    squared = torch.zeros((), dtype=gap.dtype, device=gap.device)
    for axis in axes:
        make = torch.fft.rfftfreq if axis == axes[-1] else torch.fft.fftfreq
        k = make(gap.shape[axis], d=spacing[axis - 2], dtype=gap.dtype, device=gap.device)
        squared = squared + k.square().reshape(-1, *(1,) * (gap.dim() - 1 - axis))
    # every frequency of the half stands for itself and its mirror image, except the first and the last
    twice = torch.full((power.shape[axes[-1]],), 2.0, dtype=gap.dtype, device=gap.device)
    twice[0] = twice[-1] = 1.0
    weight = squared.sqrt() * twice.reshape(-1, *(1,) * (gap.dim() - 1 - axes[-1]))
    return (power * weight).flatten(2).sum(2) / voxels


__all__ = ["ElasticDims", "elastic_energy"]
