"""How far pseudo-labels are to be trusted: weights of voxels and scans, and when a round is refused.

A network labels its unlabelled scans after some hundred steps, and may do it badly: a class that it does not
know yet is in none of them, and who learns from them learns that the class is not there. Labels say enough to
notice: how large each class is, and that it is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from semivox.batches import PseudoLabel
from semivox.prepare import FULL, Store

BINS = 64
"""Of the histograms of confidence."""
QUANTILE = 0.25
"""Share of a class's voxels whose confidence lies below the floor."""
LOWEST, HIGHEST = 0.5, 0.98
"""Of floors: even the surest class has voxels that count less than others."""
MISSING = 0.2
"""Share of scans that may lack a class, beyond that of the labelled scans which do."""
BEYOND = 2.0
"""How many times smaller than the smallest, or larger than the largest, labelled volume of a class the middle
one of the scans may be."""
DISAGREEING, AGREEING = 0.6, 0.9
"""Dice of a scan's views at which its weight is 0, and 1."""
SURE = 0.2
"""Mean weight that scans must have."""


def confidences(label: PseudoLabel) -> list[list[int]]:
    """Of each class, background first: how many voxels have which confidence, in BINS equal bins of 0..1."""
    bins = label.confidence[0].astype(np.int64) * BINS // (FULL + 1)
    classes = np.zeros_like(bins)
    for k, plane in enumerate(label.target, 1):
        classes[plane > FULL // 2] = k
    kinds = len(label.target) + 1
    counts = np.bincount((classes * BINS + bins).ravel(), minlength=kinds * BINS)
    return [[int(n) for n in row] for row in counts.reshape(kinds, BINS)]


def confidence_floors(histograms: Sequence[Sequence[Sequence[int]]]) -> list[float]:
    """Of each class, background first, the confidence that QUANTILE of its voxels in all scans lie below.

    A class has a floor of its own, so that one which is small and unsure is not lost beside the others.
    ``histograms``: of each scan, what :func:`confidences` gives.
    """
    if not len(histograms):
        return []
    total = np.asarray(histograms, np.int64).sum(0)  # (K, BINS)
    below = np.cumsum(total, axis=1) < QUANTILE * total.sum(1, keepdims=True)
    return [float(np.clip(n / BINS, LOWEST, HIGHEST)) for n in below.sum(1)]


def scan_weight(agreement: float) -> float:
    """Weight in 0..1 of a scan whose views agree with this Dice."""
    return min(1.0, max(0.0, (agreement - DISAGREEING) / (AGREEING - DISAGREEING)))


def labeled_volumes(store: Store, classes: int) -> list[list[tuple[float, float]]]:
    """Of each foreground class the working voxels it fills in the labelled cases that annotate it: at least,
    and at most, if all that is marked ignore were of it. Slices that were not drawn count as they are drawn
    in between."""
    volumes: list[list[tuple[float, float]]] = [[] for _ in range(classes)]
    for index in store.labeled:
        case = store.case(index)
        if case.target is None:
            continue
        open_ = 0 if case.valid is None or case.known is not None else np.count_nonzero(case.valid == 0)
        for plane, annotated, found in zip(case.target, case.annotated, volumes, strict=True):
            if annotated > 0:
                filled = int(plane.sum(dtype=np.int64)) / FULL
                found.append((filled, filled + open_))
    return volumes


def refusal(
    rows: Sequence[Mapping[str, Any]],
    labeled: Sequence[Sequence[tuple[float, float]]],
    names: Sequence[str],
) -> str | None:
    """Why nobody should learn from a round of labels; None if nothing speaks against it.

    ``rows``: of each scan its ``volumes`` (working voxels, a class) and the ``agreement`` of its views;
    ``labeled``: see :func:`labeled_volumes`; ``names``: of the foreground classes.
    """
    if not rows:
        return None
    volumes = np.asarray([row["volumes"] for row in rows], float)  # (scans, classes)
    for name, found, known in zip(names, volumes.T, labeled, strict=True):
        if not len(known):
            continue
        told = [least < 1 for least, most in known if least >= 1 or most < 1]  # the others may have it
        missing, expected = float(np.mean(found < 1)), float(np.mean(told)) if told else 1.0
        if missing > MISSING + expected:
            return f"{name} is missing from {missing:.0%} of the scans, and from {expected:.0%} of the labels"
        middle, least, most = float(np.median(found)), min(known)[0], max(most for _, most in known)
        if not least / BEYOND <= middle <= most * BEYOND:
            return (
                f"{name} fills {middle:.0f} voxels of the middle scan, and {least:.0f} to "
                f"{most:.0f} where it is labelled"
            )
    sure = float(np.mean([scan_weight(row["agreement"]) for row in rows]))
    if sure < SURE:
        dice = float(np.mean([row["agreement"] for row in rows]))
        return f"scans and their mirror images agree with a Dice of {dice:.2f} only"
    return None
