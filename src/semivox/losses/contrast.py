"""InfoNCE, numerically safe, in the four forms that the methods use, and a fast path for paired vectors.

With s the similarity of an anchor to a key divided by the temperature, P its positives, N its negatives and
A = P and N together (oord et al., arXiv 1807.03748; Khosla et al., arXiv 2004.11362 for ``out`` and ``in``):

    out    mean over p of [ lse(A) - s_p ]
    in     lse(A) - lse(P) + log |P|
    pair   mean over p of [ lse({p} and N) - s_p ]
    ratio  -(lse(P) - lse(N)) / |P|         (unbounded below; kept for comparison)
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from semivox.losses.mean import Total, weighted_mean
from semivox.losses.precision import full_precision

Form = Literal["out", "in", "pair", "ratio"]
SHORTEST = 1e-6


@full_precision
def info_nce(
    anchors: Tensor,
    keys: Tensor,
    positives: Tensor,
    *,
    temperature: float,
    form: Form = "out",
    exclude: Tensor | None = None,
    normalise: bool = True,
    anchor_weights: Tensor | None = None,
    chunk: int | None = None,
    total: Total | None = None,
) -> Tensor:
    """Mean InfoNCE over the anchors that have a positive; 0 with zero gradient where none has.

    anchors (N, D), keys (M, D); positives (N, M) bool. ``exclude`` (N, M) bool: pairs that are neither
    positive nor negative, such as an anchor with itself (it wins over ``positives``). All other pairs are
    negatives; an anchor that has none gives the limit of its formula, 0 for ``pair``, and by convention 0
    for ``ratio``. ``normalise`` makes the similarity a cosine. ``anchor_weights`` (N,) >= 0. ``chunk``: that
    many anchors at a time, recomputed in the backward pass, so that floats take chunk x M instead of N x M.
    ``total`` sums over processes (the anchors then are this process's, the keys everyone's).
    """
    if form not in ("out", "in", "pair", "ratio"):
        raise ValueError(f"form {form!r} is none of out, in, pair, ratio")
    pairs = (anchors.shape[0], keys.shape[0])
    if tuple(positives.shape) != pairs or (exclude is not None and tuple(exclude.shape) != pairs):
        raise ValueError(f"positives and exclude must be {pairs}, got positives {tuple(positives.shape)}")
    if anchors.numel() == 0 or keys.numel() == 0:
        return weighted_mean((anchors.sum() + keys.sum()) * 0, anchors.new_zeros(()), total)
    if normalise:
        anchors, keys = unit(anchors), unit(keys)
    used = torch.ones_like(positives) if exclude is None else ~exclude
    positives = positives & used
    weights = positives.any(1).to(anchors.dtype)
    if anchor_weights is not None:
        weights = weights * anchor_weights
    if chunk is None or chunk >= len(anchors):
        losses = _anchor_losses(anchors, keys, positives, used, temperature, form)
    else:
        losses = torch.cat(
            [
                checkpoint(
                    _anchor_losses,
                    *(part, keys, inside, taken, temperature, form),
                    use_reentrant=False,
                    preserve_rng_state=False,
                )
                for part, inside, taken in zip(
                    anchors.split(chunk), positives.split(chunk), used.split(chunk), strict=True
                )
            ]
        )
    return weighted_mean((losses * weights).sum(), weights.sum(), total)


@full_precision
def paired_info_nce(
    anchors: Tensor,
    keys: Tensor,
    *,
    temperature: float,
    exclude: Tensor | None = None,
    normalise: bool = True,
) -> Tensor:
    """InfoNCE where the positive of anchor i is key i and its negatives are the other keys of its group.

    anchors, keys (G, N, D): G independent groups of N pairs. ``exclude`` (N, N) or (G, N, N) bool: negatives
    left out (its diagonal is ignored). The mean over all anchors; equal to :func:`info_nce` group by group.
    """
    if anchors.shape != keys.shape or anchors.dim() != 3:
        raise ValueError(
            f"anchors {tuple(anchors.shape)} and keys {tuple(keys.shape)} must both be (G, N, D)"
        )
    if anchors.numel() == 0:
        return (anchors.sum() + keys.sum()) * 0
    if normalise:
        anchors, keys = unit(anchors), unit(keys)
    similarity = torch.bmm(anchors, keys.transpose(1, 2)) / temperature  # (G, N, N)
    groups, n, _ = similarity.shape
    index = torch.arange(n, device=anchors.device)
    if exclude is not None:
        apart = index[:, None] != index
        similarity = similarity.masked_fill(exclude & apart, -math.inf)
    return F.cross_entropy(similarity.flatten(0, 1), index.repeat(groups))


def unit(x: Tensor) -> Tensor:
    """``x`` (..., D) at length 1; shorter than 1e-6 it becomes 0, without gradient (it would explode)."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / length.masked_fill(length < SHORTEST, math.inf)


def _anchor_losses(
    anchors: Tensor, keys: Tensor, positives: Tensor, used: Tensor, temperature: float, form: Form
) -> Tensor:
    """The loss of each anchor (N,); a finite number without meaning where it has no positive."""
    s = anchors @ keys.T / temperature  # (N, M)
    count = positives.sum(1).clamp_min(1)
    if form == "out":
        return _lse(s, used) - torch.where(positives, s, 0).sum(1) / count
    if form == "in":
        return _lse(s, used) - _lse(s, positives) + count.to(s.dtype).log()
    negatives = used & ~positives
    lse_negatives = _lse(s, negatives)
    if form == "pair":
        each = F.softplus(lse_negatives[:, None] - s)  # lse({p} and N) - s_p
        return torch.where(positives, each, 0).sum(1) / count
    return torch.where(negatives.any(1), (lse_negatives - _lse(s, positives)) / count, 0)


def _lse(s: Tensor, mask: Tensor) -> Tensor:
    """Log-sum-exp over the masked entries of each row; of none, a huge negative number without gradient."""
    none = ~mask.any(1)
    # -inf, not a huge number: its exp is much faster. But a row of only -inf would give NaN gradients.
    masked = s.masked_fill(~(mask | none[:, None]), -math.inf)
    return torch.logsumexp(masked, dim=1).masked_fill(none, torch.finfo(s.dtype).min / 2)
