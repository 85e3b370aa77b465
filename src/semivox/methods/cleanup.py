"""Cleaning masks and pseudo-labels: of what labels show in one piece only the largest component stays."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor

from semivox.components import components, largest_component
from semivox.prepare import Plan


def in_one_piece(label: np.ndarray, plan: Plan, scale: float = 1.0) -> np.ndarray:
    """``label`` (X, Y[, Z]) class indices without the pieces that no label has beside one: of all foreground
    the piece that is most like a label stays (:func:`_likeliest`), then of each class the largest piece.

    What labels show in several pieces keeps them all. ``scale``: voxels of ``label`` a working voxel. Returns
    a new array, or ``label`` where nothing goes.
    """
    kept = label
    if plan.together and (label > 0).any():
        kept = np.where(_likeliest(label, [c.voxels * scale for c in plan.classes]), label, 0).astype(
            label.dtype
        )
    for k in plan.in_one_piece:
        region = kept == k
        smaller = region & ~largest_component(region)
        if smaller.any():
            kept = np.where(smaller, 0, kept).astype(label.dtype)
    return label if kept is label or np.array_equal(kept, label) else kept


def _likeliest(label: np.ndarray, usual: Sequence[float]) -> np.ndarray:
    """The connected piece of ``label``'s foreground that holds most of what a label holds: of each class its
    voxels as a share of those that are ``usual``, at most all. So a heart with its chambers is told from a
    larger blob that looks like one of them. Of equal ones the larger piece."""
    pieces, count = components(label > 0)
    held = np.zeros(count + 1)
    for k, voxels in enumerate(usual, 1):
        found = np.bincount(pieces[label == k], minlength=count + 1)
        held += np.minimum(found / max(voxels, 1.0), 1.0)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    held[0] = -1
    best = max(range(1, count + 1), key=lambda piece: (round(float(held[piece]), 6), int(sizes[piece])))
    chosen: np.ndarray = pieces == best
    return chosen


def largest_components(pseudo_label: Tensor, classes: Collection[int]) -> Tensor:
    """``pseudo_label`` (B, X, Y[, Z]) class indices with every smaller component of ``classes`` made
    background. Runs on the CPU, sample by sample."""
    cleaned = pseudo_label.cpu().numpy().copy()
    for sample in cleaned:
        for k in classes:
            region = sample == k
            sample[region & ~largest_component(region)] = 0
    return torch.from_numpy(cleaned).to(pseudo_label.device)
