"""Consistency of two predictions of the same crop, and the input noise that goes with it.

Mean Teacher (Tarvainen and Valpola, arXiv 1703.01780), as UA-MT (Yu et al., arXiv 1907.07034) has it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from semivox.losses.mean import weighted_mean
from semivox.losses.precision import full_precision
from semivox.networks.device import send
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
