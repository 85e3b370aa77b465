"""A diverse choice: scans that score high, and are unlike those that are labelled or chosen already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from semivox.ranking.features import distances


def choose(
    names: Sequence[str],
    scores: Sequence[float] | Sequence[Sequence[float]],
    points: np.ndarray,
    patients: Sequence[str],
    labeled_points: np.ndarray,
    labeled_patients: Collection[str],
    top: int,
) -> list[int]:
    """The indices of ``top`` scans in the order they are chosen.

    Each time the scan with the largest score x novelty is taken. Novelty is the distance to the nearest
    labelled or chosen scan, as a part of the median of these distances at the start, and at most 1: an odd
    scan does not win by its oddness alone, and a twin of a chosen one has novelty 0. Where nothing is
    labelled the first is the one with the highest score. (The greedy k-center choice of Sener and Savarese,
    arXiv 1708.00489, weighted by the score.)

    One scan a patient is taken until all patients had their turn, then a second of each, and so on; patients
    with a labelled scan come after all others.

    Parameters
    ----------
    names, scores, points, patients
        Of each scan; ``scores`` in 0 .. 1, or several lists of them, by which it is chosen in turn;
        ``points`` (n, F), with no feature all scans are new. The name decides between equals: the order of
        the scans does not matter.
    labeled_points, labeled_patients
        (m, F), and the patients of the labelled scans.
    top
        How many, at most n.
    """
    lists = np.atleast_2d(np.asarray(scores, np.float64))
    nearest = np.full(len(names), np.inf)
    for point in labeled_points:
        nearest = np.minimum(nearest, distances(points, point))
    usual: float | None = None
    chosen: list[int] = []
    turns: Counter[str] = Counter()
    left = set(range(len(names)))
    while left and len(chosen) < top:
        turn = {i: (patients[i] in labeled_patients, turns[patients[i]]) for i in left}
        first = min(turn.values())
        eligible = [i for i in left if turn[i] == first]
        if usual is None and np.isfinite(nearest).all():
            usual = float(np.median(nearest[sorted(left)]))
        novelty = _novelty(nearest, usual) if points.shape[1] else np.ones(len(names))
        order = [
            (-score * new, -score)
            for score, new in zip(lists[len(chosen) % len(lists)], novelty, strict=True)
        ]
        best = min(eligible, key=lambda i: (*order[i], names[i]))
        chosen.append(best)
        left.discard(best)
        turns[patients[best]] += 1
        nearest = np.minimum(nearest, distances(points, points[best]))
    return chosen


def _novelty(nearest: np.ndarray, usual: float | None) -> np.ndarray:
    """``usual`` None: nothing to compare with, all are new."""
    if usual is None:
        return np.ones(len(nearest))
    return np.minimum(nearest / usual, 1.0) if usual > 0 else (nearest > 0).astype(float)
