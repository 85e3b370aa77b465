"""How uncertain a prediction is, as a loss and as a mask: entropy, and the spread over decoder scales."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from semivox.losses.numerics import full_precision, weighted_mean


@full_precision
def normalised_entropy(probabilities: Tensor) -> Tensor:
    """Entropy of each voxel over ln K, in 0..1: (B, K, X, Y[, Z]) -> (B, 1, ...). 0 log 0 is 0."""
    entropy = -torch.xlogy(probabilities, probabilities).sum(1, keepdim=True)
    return entropy / math.log(probabilities.shape[1])


@full_precision
def entropy_loss(logits: Tensor, valid: Tensor) -> Tensor:
    """Mean normalised entropy over valid voxels of softmax(logits (B, K, ...)); ``valid`` (B, 1, ...).

    Entropy minimisation (Grandvalet & Bengio, NeurIPS 2004; Vu et al., CVPR 2019).
    """
    log_p = torch.log_softmax(logits, 1)
    entropy = -(log_p.exp() * log_p).sum(1, keepdim=True) / math.log(logits.shape[1])
    return weighted_mean((entropy * valid).sum(), valid.sum())


@full_precision
def pyramid_consistency(scales: Sequence[Tensor], valid: Tensor) -> Tensor:
    """Uncertainty-rectified consistency of predictions of several scales with their mean (URPC, Luo et al.,
    MedIA 2022): with p the mean of the scales' softmax and u_s = KL(p || p_s) voxel by voxel,

        mean over s of  [ mean((p - p_s)^2 exp(-u_s)) / mean(exp(-u_s)) + mean(u_s) ]

    scales: logits (B, K, ...), all at full size; ``valid`` (B, 1, ...). Means are over valid voxels (and
    classes, for the square).
    """
    log_scales = [torch.log_softmax(logits, 1) for logits in scales]
    mean = torch.stack([log_p.exp() for log_p in log_scales]).mean(0)
    terms = []
    for log_p in log_scales:
        spread = (torch.xlogy(mean, mean) - mean * log_p).sum(1, keepdim=True)
        certainty = torch.exp(-spread) * valid
        squared = (mean - log_p.exp()).square().mean(1, keepdim=True)
        terms.append(weighted_mean((squared * certainty).sum(), certainty.sum()))
        terms.append(weighted_mean((spread * valid).sum(), valid.sum()))
    return torch.stack(terms).sum() / len(scales)
