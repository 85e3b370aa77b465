"""Cleaning pseudo-labels: of a class in one piece only the largest connected component stays."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from semivox.components import largest_component


def largest_components(pseudo_label: Tensor, classes: Collection[int]) -> Tensor:
    """``pseudo_label`` (B, X, Y[, Z]) class indices with every smaller component of ``classes`` made
    background. Runs on the CPU, sample by sample."""
    cleaned = pseudo_label.cpu().numpy().copy()
    for sample in cleaned:
        for k in classes:
            region = sample == k
            sample[region & ~largest_component(region)] = 0
    return torch.from_numpy(cleaned).to(pseudo_label.device)
