"""What a dense contrast compares: a few positions of each class, drawn with a key, or regions of the crop.

The n positions of a class in a sample, in scan order, form a ring. It is cut into ``count`` stretches that
are as equal as whole numbers allow, beginning at a random place, and one position is drawn from each. So no
position is drawn twice, each one is equally likely, and the draws spread over the whole structure. A class
with n <= count gives all its positions.

Regions are the cells of a grid over a crop. Structures lie alike in all scans of a body part, so a place
tells something of what is there. Neighbouring cells look alike too, and may hold the same organ: they are
neither positives nor negatives of each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from semivox.devices import send
from semivox.losses.segmentation import full_fractions
from semivox.randomness import BatchKey


@torch.no_grad()
def sample_positions(
    labels: Tensor, allowed: Tensor, classes: Sequence[int], count: int, key: BatchKey
) -> tuple[Tensor, Tensor]:
    """``count`` different positions of each of ``classes`` in each sample -> (index, present).

    labels (B, P) int64, the class of each flattened position; allowed (B, P) bool, which may be drawn.
    index (B, len(classes), count) int64 points into P; present (B, len(classes), count) bool is False where
    a class has no more positions (``index`` is in range there, and means nothing). Row i depends on sample i
    and on its key alone.
    """
    if labels.dim() != 2 or labels.shape != allowed.shape or labels.numel() == 0:
        raise ValueError(
            f"labels and allowed must both be (B, P), got {tuple(labels.shape)} and {tuple(allowed.shape)}"
        )
    batch, positions = labels.shape
    drawn = send(key.uniform((batch, len(classes), count + 1)), labels.device)
    stretch = torch.arange(count + 1, device=labels.device)
    index, present = [], []
    for i, c in enumerate(classes):
        so_far = (allowed & (labels == c)).cumsum(1)  # (B, P) members of the class up to here
        n = so_far[:, -1:]  # (B, 1)
        bounds = stretch * n // n.clamp(1, count)  # (B, count + 1)
        begin, length = bounds[:, :-1], bounds.diff(dim=1)
        rank = begin + _below(drawn[:, i, :-1], length) + _below(drawn[:, i, -1:], n)
        rank = rank % n.clamp_min(1)
        index.append(torch.searchsorted(so_far, rank + 1).clamp_max(positions - 1))
        present.append(stretch[:-1] < n)
    return torch.stack(index, 1), torch.stack(present, 1)


def vectors_at(features: Tensor, index: Tensor) -> Tensor:
    """Features (B, C, X, Y[, Z]) at the flattened positions ``index`` (B, ...): vectors (B, ..., C)."""
    flat = features.flatten(2)  # (B, C, P)
    places = index.flatten(1)[:, None].expand(-1, flat.shape[1], -1)
    return flat.gather(2, places).movedim(1, 2).unflatten(1, index.shape[1:])


def known_classes(target: Tensor, valid: Tensor, annotated: Tensor) -> Tensor:
    """Fractions (B, K, X, Y[, Z]) of each class, background first, 0 where the class is not known.

    target (B, K-1, ...), valid (B, 1, ...), annotated (B, K-1). Not known are: everything outside ``valid``,
    unannotated classes, and the background of a partly annotated case, which may hide others.
    """
    fractions = full_fractions(target, annotated) * valid
    partly = (annotated <= 0).any(1).reshape(-1, *(1,) * (target.dim() - 1))
    return torch.cat([fractions[:, :1].masked_fill(partly, 0), fractions[:, 1:]], dim=1)


def _below(u: Tensor, n: Tensor) -> Tensor:
    """Numbers in [0, 1) -> whole numbers in 0 .. n-1 (float32 may round u n up to n)."""
    return torch.minimum((u * n).long(), n - 1)


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


def confident_positions(
    planes: Tensor, size: Sequence[int], threshold: float, classes: Sequence[int], count: int, key: BatchKey
) -> tuple[Tensor, Tensor, Tensor]:
    """``count`` positions of each of ``classes`` in each sample -> index, label, present, as in
    :func:`sample_positions`, all (B, len(classes), count).

    planes (B, K, X, Y[, Z]): how surely a voxel is of each class, 0 where it must not be drawn. They are
    averaged over the cells of a grid of ``size``; a position is of its surest class, if above ``threshold``.
    """
    confidence, pseudo_label = pooled(planes, size).flatten(2).max(1)  # (B, P)
    index, present = sample_positions(pseudo_label, confidence > threshold, classes, count, key)
    label = torch.tensor(classes, device=index.device)[:, None].expand_as(index)
    return index, label, present


def valid_region_pairs(
    valid: Tensor, box: Tensor, grid: Sequence[int], window: int, cross_image: bool = False
) -> tuple[Tensor, Tensor]:
    """:func:`region_pairs` of crops at ``box`` (B, dims, 2) voxels, without cells that are mostly outside of
    ``valid`` (B, 1, X, Y[, Z])."""
    cell = box.new_tensor([n / g for n, g in zip(valid.shape[2:], grid, strict=True)])  # voxels an axis
    inside = pooled(valid, grid).flatten() > 0.5  # (N,)
    positives, exclude = region_pairs(box[..., 0] / cell, grid, window, cross_image)
    return positives & inside[:, None], exclude | ~inside
