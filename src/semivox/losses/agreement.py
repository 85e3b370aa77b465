"""How a network's prediction is drawn to another's of the same crop, both of them soft.

With p the network's softmax, q the other's (a constant) and m their mean, a valid voxel's loss is

    ce     - sum_c q_c log p_c                          (its least value is the entropy of q)
    mse    mean over c of (p_c - q_c)^2
    js     1/2 sum_c p_c log(p_c / m_c) + 1/2 sum_c q_c log(q_c / m_c)       in 0 .. log 2
    dice   1 - the soft Dice of p and q, a foreground class over the batch (not voxel by voxel)

The square is Mean Teacher's consistency (Tarvainen and Valpola, arXiv 1703.01780), as UA-MT (Yu et al., arXiv
1907.07034) has it, with the input noise that goes with it.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from semivox.devices import send
from semivox.losses.numerics import full_precision, weighted_mean
from semivox.losses.segmentation import cross_entropy, dice_loss
from semivox.randomness import BatchKey


@full_precision
def softmax_mse(logits_s: Tensor, logits_t: Tensor, valid: Tensor | None = None) -> Tensor:
    """Mean over voxels and classes of (softmax(logits_s) - softmax(logits_t))^2.

    logits_s, logits_t (B, K, X, Y[, Z]); the caller detaches the teacher. ``valid`` (B, 1, ...) 0/1 or a
    weight of each voxel, such as a certainty mask. 0 with zero gradient where nothing is valid.
    """
    if logits_s.shape != logits_t.shape:
        raise ValueError(f"student {tuple(logits_s.shape)} and teacher {tuple(logits_t.shape)} differ")
    squared = (torch.softmax(logits_s.contiguous(), 1) - torch.softmax(logits_t.contiguous(), 1)).square()
    voxels = squared.mean(1, keepdim=True)  # (B, 1, ...)
    if valid is None:
        valid = torch.ones_like(voxels)
    elif valid.shape != voxels.shape:
        raise ValueError(f"valid is {tuple(valid.shape)}, expected {tuple(voxels.shape)}")
    return weighted_mean((voxels * valid).sum(), valid.sum())


def clipped_noise(key: BatchKey, like: Tensor, sigma: float = 0.1, bound: float = 0.2) -> Tensor:
    """N(0, sigma^2) clipped to [-bound, bound] (UA-MT), of ``like``'s shape (B, ...), type and device."""
    noise = (key.normal(tuple(like.shape)) * sigma).clamp_(-bound, bound)
    return send(noise, like.device).to(like.dtype)


AgreementForm = Literal["ce", "mse", "js", "dice"]


@full_precision
def agreement_loss(
    logits: Tensor,
    logits_other: Tensor,
    valid: Tensor,
    form: AgreementForm = "ce",
) -> Tensor:
    """A scalar; 0 with zero gradient where nothing is valid.

    logits, logits_other (B, K, X, Y[, Z]); no gradient goes into the other. valid (B, 1, ...) 0/1 or a weight
    of each voxel.
    """
    if logits.shape != logits_other.shape:
        raise ValueError(f"logits {tuple(logits.shape)} and the other's {tuple(logits_other.shape)} differ")
    logits_other = logits_other.detach()
    if form == "mse":
        return softmax_mse(logits, logits_other, valid)
    if form == "js":
        return _jensen_shannon(logits, logits_other, valid)
    if form not in ("ce", "dice"):
        raise ValueError(f"form {form!r} is none of ce, mse, js, dice")
    probs_other = logits_other.softmax(1)
    everything = probs_other.new_ones(probs_other.shape[0], probs_other.shape[1] - 1)
    loss = cross_entropy if form == "ce" else dice_loss
    return loss(logits, probs_other[:, 1:], valid, everything)


def _jensen_shannon(logits: Tensor, logits_other: Tensor, valid: Tensor) -> Tensor:
    log_p, log_q = (torch.log_softmax(z.contiguous(), 1) for z in (logits, logits_other))
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    voxels = 0.5 * (log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)).sum(1, keepdim=True)
    return weighted_mean((voxels * valid).sum(), valid.sum())
