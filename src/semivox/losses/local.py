"""Contrast of labelled voxels in pools: every n-th voxel, or block by block (Hu et al., arXiv 2109.07407).

A pool holds N small grids (both views of every image). Its anchors are voxels of a foreground class, their
positives the other voxels of that class, their negatives all the rest, background included:

    L = mean over pools of mean over anchors of InfoNCE(anchor, all other voxels of the pool)

Class indices are never interpolated or averaged: a voxel has one from its fractions, or is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from semivox.losses.anchor_losses import Form, Pairs, anchor_losses
from semivox.losses.numerics import full_precision, weighted_mean
from semivox.losses.segmentation import full_fractions
from semivox.randomness import BatchKey

LEFT_OUT = -1


class VoxelPools(NamedTuple):
    """G pools of N grids each: what is compared with what."""

    features: Tensor  # (G, N, C, x, y[, z])
    labels: Tensor  # (G, N, x, y[, z]) class index, LEFT_OUT where it is not known
    rank: Tensor  # (G, N, x, y[, z]) in [0, 1): of too many anchors, the highest stay

    def projected(self, projection: Callable[[Tensor], Tensor]) -> VoxelPools:
        """With the features (.., C, ..) projected, voxel by voxel, to (.., D, ..)."""
        groups = len(self.labels)
        vectors = projection(self.features.flatten(0, 1)).unflatten(0, (groups, -1))
        return VoxelPools(vectors, self.labels, self.rank)


@full_precision
def class_labels(target: Tensor, valid: Tensor, annotated: Tensor) -> Tensor:
    """(B, X, Y[, Z]) int64: each voxel's class, 0 the background; LEFT_OUT (-1) where it is not known.

    target (B, K-1, X, Y[, Z]) fractions, valid (B, 1, ...), annotated (B, K-1). Not known: voxels that are
    not valid or in which no class reaches one half, and, in a sample with a class that was not annotated,
    the background, where that class may hide.
    """
    most, label = full_fractions(target, annotated).max(dim=1)
    partly = (annotated <= 0).any(1).reshape(-1, *(1,) * (label.dim() - 1))
    unknown = (most < 0.5) | (valid[:, 0] <= 0) | (partly & (label == 0))
    return label.masked_fill(unknown, LEFT_OUT)


def place_labels(valid: Tensor) -> Tensor:
    """(B, X, Y[, Z]) int64: each valid voxel a class of its own (1, 2, ...), the others LEFT_OUT.

    With two views of one geometry, a voxel's only positive is then itself in the other view.
    """
    place = torch.arange(1, valid.numel() + 1, device=valid.device).reshape(valid[:, 0].shape)
    return place.masked_fill(valid[:, 0] <= 0, LEFT_OUT)


def voxel_labels(target: Tensor, valid: Tensor, annotated: Tensor, supervised: bool = True) -> Tensor:
    """:func:`class_labels`; where not ``supervised``, :func:`place_labels`."""
    return class_labels(target, valid, annotated) if supervised else place_labels(valid)


def strided_pool(features: Tensor, labels: Tensor, rank: Tensor, stride: int) -> VoxelPools:
    """One pool (G = 1) of every ``stride``-th voxel along each axis.

    features (N, C, X, Y[, Z]); labels, rank (N, X, Y[, Z]).
    """
    every = (slice(None, None, stride),) * (labels.dim() - 1)
    return VoxelPools(features[:, :, *every][None], labels[:, *every][None], rank[:, *every][None])


def block_pools(features: Tensor, labels: Tensor, rank: Tensor, side: int, at_most: int = 0) -> VoxelPools:
    """A pool for each block of ``side`` voxels an axis: the N blocks at one place. Arguments as above.

    ``at_most`` > 0: that many blocks, those with a foreground voxel first, else by the rank of their corner.
    Beyond the edge of the grid labels are LEFT_OUT; a block larger than the grid is the grid.
    """
    side = min(side, max(labels.shape[1:]))
    pools = VoxelPools(
        _blocks(features, side, 0),
        _blocks(labels[:, None], side, LEFT_OUT).squeeze(2),
        _blocks(rank[:, None], side, 0).squeeze(2),
    )
    if not 0 < at_most < len(pools.labels):
        return pools
    order = pools.rank.flatten(1)[:, 0] + (pools.labels > 0).flatten(1).any(1)
    chosen = order.topk(at_most).indices
    return VoxelPools(*(x[chosen] for x in pools))


def view_pools(
    features: Tensor, labels: Tensor, key: BatchKey, stride: int | None, side: int, at_most: int
) -> VoxelPools:
    """Pools of two views of B crops: features (2B, C, X, Y[, Z]), one view after the other, and the crops'
    labels (B, X, Y[, Z]). Of every ``stride``-th voxel, or (None) of blocks of ``side``, ``at_most`` of them.

    Ranks, so which anchors stay, are drawn voxel by voxel, apart in the two views.
    """
    rank = key.uniform((len(labels), 2, *labels.shape[1:])).to(labels.device).transpose(0, 1).flatten(0, 1)
    labels = torch.cat([labels, labels])
    if stride is not None:
        return strided_pool(features, labels, rank, stride)
    return block_pools(features, labels, rank, side, at_most)


@full_precision
def voxel_contrast(
    vectors: Tensor,
    labels: Tensor,
    rank: Tensor,
    *,
    temperature: float,
    form: Form = "out",
    anchors: int = 0,
    background_anchors: bool = False,
    background_negatives: bool = True,
) -> Tensor:
    """The loss above, a scalar; 0 with zero gradient if no anchor has a positive.

    vectors (G, N, D, x, y[, z]), of any length; labels, rank (G, N, x, y[, z]) as in :class:`VoxelPools`.
    ``anchors`` > 0: at most that many in all, evenly over the pools (at least one each), the highest ranks;
    every voxel stays a key. ``background_anchors``: the background is a class like others.
    ``background_negatives`` False: the background is no negative of the foreground. ``form``: see
    :func:`~semivox.losses.contrast.info_nce`. A pool without an anchor does not count.
    """
    vectors = vectors.movedim(2, -1).flatten(1, -2)  # (G, M, D)
    labels, rank = labels.flatten(1), rank.flatten(1)  # (G, M)
    groups, size = labels.shape
    each = min(size, max(1, anchors // groups)) if anchors else size
    means, counted = [], []
    for pool, y, order in zip(vectors, labels, rank, strict=True):
        may_be_anchor = y >= 0 if background_anchors else y > 0
        first, index = torch.where(may_be_anchor, order, -1).topk(each)
        pairs = _pairs(y, index, first >= 0, background_negatives)
        losses, positives = anchor_losses(pool[index], pool, pairs, temperature=temperature, form=form)
        has_one = (positives > 0).to(losses.dtype)
        means.append(weighted_mean((losses * has_one).sum(), has_one.sum()))
        counted.append(has_one.amax())
    weights = torch.stack(counted)
    return weighted_mean((torch.stack(means) * weights).sum(), weights.sum())


def _pairs(y: Tensor, index: Tensor, taken: Tensor, background_negatives: bool) -> Pairs:
    """Who is what to whom in a pool with labels ``y`` (M,); its anchors are ``index`` (N,), if ``taken``."""
    place, y_a, left_out = torch.arange(len(y), device=y.device), y[index], y == LEFT_OUT

    def pairs(a: slice, k: slice) -> tuple[Tensor, Tensor]:
        exclude = (index[a, None] == place[k]) | left_out[k]
        if not background_negatives:
            exclude |= (y_a[a, None] != 0) & (y[k] == 0)
        return (y_a[a, None] == y[k]) & taken[a, None], exclude

    return pairs


def _blocks(x: Tensor, side: int, fill: float) -> Tensor:
    """(N, C, X, Y[, Z]) -> (G, N, C, side, side[, side])."""
    dims = x.dim() - 2
    beyond = [-n % side for n in x.shape[2:]]
    if any(beyond):
        x = functional.pad(x, [p for n in reversed(beyond) for p in (0, n)], value=fill)
    n, c, *space = x.shape
    cut = x.reshape(n, c, *(m for length in space for m in (length // side, side)))
    where, within = range(2, 2 + 2 * dims, 2), range(3, 3 + 2 * dims, 2)
    return cut.permute(*where, 0, 1, *within).flatten(0, dims - 1)


__all__ = [
    "LEFT_OUT",
    "VoxelPools",
    "block_pools",
    "class_labels",
    "place_labels",
    "strided_pool",
    "view_pools",
    "voxel_contrast",
    "voxel_labels",
]
