"""Voxel InfoNCE, written the obvious way: every voxel against every voxel, all in matrices."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def same_voxel_contrast(
    z_s: Tensor, z_t: Tensor, present: Tensor, case: Tensor, temperature: float
) -> Tensor:
    """z_s, z_t (B, n, D), present (B, n), case (B,): a voxel's positive is itself in the other network, its
    negatives are all other voxels but those of other crops of its case."""
    crops, n, _ = z_s.shape
    q, k = F.normalize(z_s.flatten(0, 1), dim=1), F.normalize(z_t.flatten(0, 1), dim=1)
    crop = torch.arange(crops).repeat_interleave(n)
    case = case.repeat_interleave(n)
    there = present.flatten()
    masked = (case[:, None] == case[None]) & (crop[:, None] != crop[None]) | ~there[None]

    logits = q @ k.T / temperature
    exp_logits = torch.exp(logits - logits.max(dim=1, keepdim=True).values.detach())
    exp_logits = exp_logits.masked_fill(masked, 0)
    positive = torch.diagonal(logits) - logits.max(dim=1).values.detach()
    losses = torch.log(exp_logits.sum(dim=1)) - positive
    return losses[there].mean()


def info_nce(
    anchors: Tensor, keys: Tensor, anchor_ids: Tensor, key_ids: Tensor, temperature: float
) -> Tensor:
    """anchors (N, D), keys (M, D); keys with an anchor's id are its positives, the others its negatives."""
    q, k = F.normalize(anchors, dim=1), F.normalize(keys, dim=1)
    mask = (anchor_ids[:, None] == key_ids[None]).float()
    logits = q @ k.T / temperature
    logits = logits - logits.max(dim=1, keepdim=True).values.detach()
    log_prob = logits - torch.log(torch.exp(logits).sum(dim=1, keepdim=True))
    losses = -(mask * log_prob).sum(dim=1) / mask.sum(dim=1).clamp(min=1)
    return losses[mask.sum(dim=1) > 0].mean()
