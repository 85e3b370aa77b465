"""Cleaning masks and pseudo-labels: of what labels show in one piece only the largest component stays."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor

from semivox.components import largest_component
from semivox.prepare import Plan


def in_one_piece(label: np.ndarray, plan: Plan) -> np.ndarray:
    """``label`` (X, Y[, Z]) class indices without the pieces that no label has beside the largest one: of all
    foreground first (a heart is found once, whatever looks like its chambers elsewhere), then of each class.

    What labels show in several pieces keeps them all. Returns a new array, or ``label`` where nothing goes.
    """
    kept = label
    if plan.together and (label > 0).any():
        kept = np.where(largest_component(label > 0), label, 0).astype(label.dtype)
    for k in plan.in_one_piece:
        region = kept == k
        smaller = region & ~largest_component(region)
        if smaller.any():
            kept = np.where(smaller, 0, kept).astype(label.dtype)
    return label if kept is label or np.array_equal(kept, label) else kept


def largest_components(pseudo_label: Tensor, classes: Collection[int]) -> Tensor:
    """``pseudo_label`` (B, X, Y[, Z]) class indices with every smaller component of ``classes`` made
    background. Runs on the CPU, sample by sample."""
    cleaned = pseudo_label.cpu().numpy().copy()
    for sample in cleaned:
        for k in classes:
            region = sample == k
            sample[region & ~largest_component(region)] = 0
    return torch.from_numpy(cleaned).to(pseudo_label.device)
