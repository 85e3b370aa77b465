"""Regions: the cells of a grid over a crop, and which of them a contrast compares.

Structures lie alike in all scans of a body part, so a place tells something of what is there. Neighbouring
cells look alike too, and may hold the same organ: they are neither positives nor negatives of each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def pooled(x: Tensor, size: Sequence[int]) -> Tensor:
    """``x`` (B, C, X, Y[, Z]) averaged over the cells of a grid of ``size``: (B, C, *size)."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    if x.dim() == 4:
        return functional.adaptive_avg_pool2d(x, (size[0], size[1]))
    return functional.adaptive_avg_pool3d(x, (size[0], size[1], size[2]))


def region_pairs(
    start: Tensor, grid: Sequence[int], window: int, cross_image: bool = False
) -> tuple[Tensor, Tensor]:
    """Which cells of B crops are positives, and which pairs are left out: two (N, N) bool, N = B x cells.

    start (B, dims): where each crop begins in its scan, in cells; cells are numbered crop after crop, the
    last axis fastest. Within a crop a cell is its own positive, cells at most ``window`` away along every
    axis are left out, all others are negatives. Cells of different crops are left out, unless
    ``cross_image``: then the same rule holds for them, a positive being less than half a cell away.
    """
    axes = [torch.arange(n, device=start.device) for n in grid]
    place = (start[:, None] + torch.cartesian_prod(*axes)).flatten(0, 1)  # (N, dims)
    crop = torch.arange(len(start), device=start.device).repeat_interleave(len(place) // len(start))
    distance = (place[:, None] - place).abs().amax(-1)
    comparable = (crop[:, None] == crop) | cross_image
    positives = comparable & (distance < 0.5)
    return positives, ~comparable | (~positives & (distance < window + 0.5))
