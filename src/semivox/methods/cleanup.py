"""Cleaning masks and pseudo-labels: of what labels show in one piece only the largest component stays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from semivox.cohort import inside
from semivox.components import box_of, components, first_piece, largest_component
from semivox.prepare import Plan


def in_one_piece(label: np.ndarray, plan: Plan, scale: float = 1.0) -> np.ndarray:
    """``label`` (X, Y[, Z]) class indices without the pieces that no label has beside one: of all foreground
    the piece that is most like a label stays (:func:`_likeliest`), then of each class, or of each region
    where there are any, the largest piece.

    What labels show in several pieces keeps them all. ``scale``: voxels of ``label`` a working voxel. Returns
    a new array, or ``label`` where nothing goes.
    """
    kept = label.copy()
    if plan.together and kept.any():
        inside = kept[box_of(kept > 0, True)]
        inside[~_likeliest(inside, [c.voxels * scale for c in plan.classes])] = 0
    _keep_largest(kept, plan)
    return label if np.array_equal(kept, label) else kept


def largest_components(pseudo_label: Tensor, plan: Plan) -> Tensor:
    """``pseudo_label`` (B, X, Y[, Z]) class indices without the smaller components of what labels show in one
    piece. Runs on the CPU, sample by sample."""
    cleaned = pseudo_label.cpu().numpy().copy()
    for sample in cleaned:
        _keep_largest(sample, plan)
    return torch.from_numpy(cleaned).to(pseudo_label.device)


def _keep_largest(label: np.ndarray, plan: Plan) -> None:
    """Make every smaller component of each class in one piece background, in ``label`` itself; where there
    are regions take it out of the region and of all that lies in it."""
    if plan.regions:
        _keep_largest_of_regions(label, plan)
        return
    for k in plan.in_one_piece:
        around = label[box_of(label, k)]
        region = around == k
        around[region & ~largest_component(region)] = 0


def _keep_largest_of_regions(label: np.ndarray, plan: Plan) -> None:
    """The largest regions first: what leaves them leaves their parts."""
    for number in sorted(plan.in_one_piece, key=lambda n: -len(plan.regions[n - 1].parts)):
        found = inside(label, number, plan.scheme.parts)
        gone = found & ~largest_component(found)
        if gone.any():
            left = np.arange(len(plan.classes) + 1, dtype=label.dtype)
            for k, new in plan.scheme.without(number).items():
                left[k] = new
            label[gone] = left[label[gone]]


def _likeliest(label: np.ndarray, usual: Sequence[float]) -> np.ndarray:
    """The connected piece of ``label``'s foreground that holds most of what a label holds: of each class its
    voxels as a share of those that are ``usual``, at most all. So a heart with its chambers is told from a
    larger blob that looks like one of them. Of equal ones the larger piece, then the first."""
    pieces, count = components(label > 0)
    there = pieces > 0
    kinds = len(usual) + 1
    both = pieces[there].astype(np.int64) * kinds + label[there]
    found = np.bincount(both, minlength=(count + 1) * kinds).reshape(count + 1, kinds)  # voxels: piece, class
    held = np.minimum(found[:, 1:] / np.maximum(usual, 1.0), 1.0).sum(1)
    likeness = list(zip(held.round(6), found.sum(1), strict=True))
    most = max(likeness[1:])
    best = [p for p in range(1, count + 1) if likeness[p] == most]
    chosen: np.ndarray = pieces == first_piece(pieces, np.array(best))
    return chosen
