"""What a critic may see of a segmentation, and the loss of its verdicts (Goodfellow et al., arXiv 1406.2661).

With z the critic's logit and r = 1 for real, 0 for fake, the binary cross-entropy in its stable form is

    L = mean over valid positions of softplus(z) - r z

The critic learns with the true r; a network that wants to pass for real learns with r = 1 on what it made.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from semivox.losses.numerics import full_precision, weighted_mean


@full_precision
def judged(fractions: Tensor, valid: Tensor, annotated: Tensor) -> Tensor:
    """What of ``fractions`` (B, K, X, Y[, Z]), a label's or a softmax, a critic may see; the same shape.

    Classes that are not ``annotated`` (B, K-1) count as background, in labels and predictions alike, or their
    absence would give a label away; where ``valid`` (B, 1, ...) is 0 nothing is seen.
    """
    batch, classes, *space = fractions.shape
    expected = ((batch, 1, *space), (batch, classes - 1))
    if classes < 2 or (tuple(valid.shape), tuple(annotated.shape)) != expected:
        raise ValueError(
            f"valid, annotated are {tuple(valid.shape)}, {tuple(annotated.shape)}, not {expected}"
        )
    background, foreground = fractions.split([1, classes - 1], dim=1)
    hidden = (annotated <= 0).reshape(batch, classes - 1, *(1,) * len(space))
    background = background + foreground.masked_fill(~hidden, 0).sum(1, keepdim=True)
    return torch.cat([background, foreground.masked_fill(hidden, 0)], 1) * valid


@full_precision
def critic_loss(logits: Tensor, real: Tensor, valid: Tensor) -> Tensor:
    """Binary cross-entropy of a critic's verdicts; log 2 is chance. 0 with zero gradient if nothing is valid.

    logits (B, 1, X', Y'[, Z']) on any grid not finer than that of ``valid`` (B, 1, X, Y[, Z]), whose mean
    over a region weighs the region's verdict; real (B,) 1 or 0, or between.
    """
    batch, space = len(logits), logits.shape[2:]
    if logits.shape[1] != 1 or tuple(real.shape) != (batch,) or tuple(valid.shape[:2]) != (batch, 1):
        found = tuple(tuple(t.shape) for t in (logits, real, valid))
        raise ValueError(f"logits, real, valid are {found}, expected (B, 1, ...), (B,), (B, 1, ...)")
    weight = functional.interpolate(valid, tuple(space), mode="area")  # the mean over a region
    real = real.to(logits).reshape(batch, *(1,) * (logits.dim() - 1))
    loss = functional.softplus(logits) - real * logits
    return weighted_mean((loss * weight).sum(), weight.sum())
