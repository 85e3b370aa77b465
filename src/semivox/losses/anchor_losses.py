"""The InfoNCE loss of each anchor in its four forms, a block of pairs at a time.

Nothing of size N x M is ever there: the forward pass goes over the keys with a running log-sum-exp and keeps
a few numbers an anchor; the backward pass computes each block's similarities once more (as flash attention
does, Dao et al., arXiv 2205.14135). Nothing waits for the device.

With s an anchor's similarities divided by the temperature, P its positives, N its negatives and A both, the
loss and its derivative by s_j (its first part for the j of that softmax, its second for j in P) are

    out     lse(A) - mean over P of s              softmax_A(j) - 1 / |P|
    in      lse(A) - lse(P) + log |P|              softmax_A(j) - softmax_P(j)
    ratio   (lse(N) - lse(P)) / |P|                (softmax_N(j) - softmax_P(j)) / |P|
    pair    mean over P of softplus(lse(N) - s)    (c softmax_N(j) - sigmoid(lse(N) - s_j)) / |P|,
            c the sum over P of sigmoid(lse(N) - s)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from semivox.losses.numerics import full_precision

Form = Literal["out", "in", "pair", "ratio"]

Pairs = Callable[[slice, slice], tuple[Tensor, Tensor | None]]
"""(anchors, keys) of a block -> (positives, exclude), each (n, m) bool; exclude None: no pair is left out.
The backward pass asks again and must be told the same, so nothing it is made of may change in between."""

SHORTEST = 1e-6
BLOCK = {"cpu": (256, 2048), "cuda": (4096, 4096)}
"""Anchors and keys at a time: a CPU's cache holds such a block, a GPU needs large ones."""


@full_precision
def anchor_losses(
    anchors: Tensor,
    keys: Tensor,
    pairs: Pairs,
    *,
    temperature: float,
    form: Form = "out",
    normalise: bool = True,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The loss of each anchor and the number of its positives, both (N,) with N > 0.

    anchors (N, D), keys (M, D), M > 0; the rest as in :func:`~semivox.losses.contrast.info_nce`. The loss is
    a finite number without meaning where there is no positive; it is 0 for ``pair`` and ``ratio`` where there
    is no negative.
    """
    if form not in ("out", "in", "pair", "ratio"):
        raise ValueError(f"form {form!r} is none of out, in, pair, ratio")
    if normalise:
        anchors, keys = unit(anchors), unit(keys)
    block = (chunk, chunk) if chunk else BLOCK.get(anchors.device.type, BLOCK["cuda"])
    losses, count = _AnchorLosses.apply(anchors / temperature, keys, pairs, form, block)
    return losses, count


def unit(x: Tensor) -> Tensor:
    """``x`` (..., D) at length 1; shorter than 1e-6 it becomes 0, without gradient (it would explode)."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / length.masked_fill(length < SHORTEST, math.inf)


class _AnchorLosses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, anchors: Tensor, keys: Tensor, pairs: Pairs, form: Form, block: tuple[int, int]
    ) -> tuple[Tensor, Tensor]:
        parts = [_losses(anchors, rows, keys, pairs, form, block[1]) for rows in _parts(anchors, block[0])]
        losses, count, *kept = (torch.cat(part) for part in zip(*parts, strict=True))
        ctx.save_for_backward(anchors, keys, *kept)
        ctx.pairs, ctx.form, ctx.block = pairs, form, block
        ctx.mark_non_differentiable(count)
        return losses, count

    @staticmethod
    @full_precision
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        anchors, keys, above, below, factor = ctx.saved_tensors
        factor = (factor * grad)[:, None]
        weighted = anchors * factor
        grad_a, grad_k = torch.zeros_like(anchors), torch.zeros_like(keys.T)
        for rows in _parts(anchors, ctx.block[0]):
            for columns, s, positives, out in _blocks(anchors, rows, keys, ctx.pairs, ctx.form, ctx.block[1]):
                d = _derivative(s, positives, out, above[rows, None], below[rows, None], ctx.form)
                if ctx.needs_input_grad[0]:
                    grad_a[rows].addmm_(d, keys[columns])
                if ctx.needs_input_grad[1]:
                    grad_k[:, columns].addmm_(weighted[rows].T, d)
        return grad_a * factor, grad_k.T, None, None, None


def _losses(
    anchors: Tensor, rows: slice, keys: Tensor, pairs: Pairs, form: Form, width: int
) -> tuple[Tensor, ...]:
    """Of a block of anchors: loss, number of positives, and above, below and factor of the derivative."""
    total = anchors.new_zeros(rows.stop - rows.start)
    count = torch.zeros_like(total)
    above = below = torch.full_like(total, -math.inf)
    for _, s, positives, out in _blocks(anchors, rows, keys, pairs, form, width):
        count += positives.sum(1)
        if form == "out":
            total += torch.where(positives, s, 0).sum(1)
        elif form != "pair":
            below = torch.logaddexp(below, torch.where(positives, s, -math.inf).logsumexp(1))
        above = torch.logaddexp(above, _without(s, out).logsumexp(1))
    some = above > -math.inf
    above, below, each = _finite(above), _finite(below), count.clamp_min(1)
    if form == "out":
        return above - total / each, count, above, 1 / each, torch.ones_like(each)
    if form == "in":
        return above - below + each.log(), count, above, below, torch.ones_like(each)
    factor = some / each
    if form == "ratio":
        return (above - below) * factor, count, above, below, factor
    share = torch.zeros_like(total)
    for _, s, positives, _out in _blocks(anchors, rows, keys, pairs, form, width):
        x = above[:, None] - s
        total += torch.where(positives, F.softplus(x), 0).sum(1)
        share += torch.where(positives, torch.sigmoid(x), 0).sum(1)
    return total * factor, count, above, share, factor


def _derivative(
    s: Tensor, positives: Tensor, out: Tensor | None, above: Tensor, below: Tensor, form: Form
) -> Tensor:
    """The derivative by ``s`` (n, m), but for its factor."""
    first, second = (_without(s, out) - above).exp_(), below
    if form == "pair":
        first, second = first.mul_(below), torch.sigmoid(above - s)
    elif form != "out":
        second = torch.exp(s - below)
    return first.sub_(torch.where(positives, second, 0))


def _blocks(
    anchors: Tensor, rows: slice, keys: Tensor, pairs: Pairs, form: Form, width: int
) -> Iterator[tuple[slice, Tensor, Tensor, Tensor | None]]:
    """Key by key block: columns, similarities, positives, and what is not in the softmax (None: nothing)."""
    for columns in _parts(keys, width):
        positives, exclude = pairs(rows, columns)
        out = exclude
        if form in ("pair", "ratio"):
            out = positives if exclude is None else positives | exclude
        if exclude is not None:
            positives = positives > exclude  # a positive, and not excluded
        yield columns, anchors[rows] @ keys[columns].T, positives, out


def _without(s: Tensor, out: Tensor | None) -> Tensor:
    """``s`` with -inf where it is ``out``."""
    return s if out is None else torch.where(out, -math.inf, s)  # faster than masked_fill


def _finite(x: Tensor) -> Tensor:
    """0 instead of the -inf of an empty set: what it is subtracted from is -inf already."""
    return x.masked_fill(x == -math.inf, 0)


def _parts(x: Tensor, size: int) -> Iterator[slice]:
    return (slice(i, min(i + size, len(x))) for i in range(0, len(x), size))


__all__ = ["Form", "Pairs", "anchor_losses", "unit"]
