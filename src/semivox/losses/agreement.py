"""How a network's prediction is drawn to another's of the same crop, both of them soft.

With p the network's softmax, q the other's (a constant) and m their mean, a valid voxel's loss is

    ce     - sum_c q_c log p_c                          (its least value is the entropy of q)
    mse    mean over c of (p_c - q_c)^2
    js     1/2 sum_c p_c log(p_c / m_c) + 1/2 sum_c q_c log(q_c / m_c)       in 0 .. log 2
    dice   1 - the soft Dice of p and q, a foreground class over the batch (not voxel by voxel)
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from semivox.losses.consistency import softmax_mse
from semivox.losses.mean import weighted_mean
from semivox.losses.precision import full_precision
from semivox.losses.segmentation import cross_entropy, dice_loss

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
