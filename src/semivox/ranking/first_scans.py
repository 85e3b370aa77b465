"""The first scans to label, where there is no run yet: typical ones that together cover all.

A scan is a point of numbers that need no label and no network: its :func:`semivox.prepare.appearance` and a
thumbnail. Those are chosen that, one after the other, make the most scans have a chosen one near: the
greedy maximum of facility location, ``sum_i max_(j chosen) s(i, j)`` (Nemhauser, Wolsey and Fisher 1978; for
choosing training data Wei, Iyer and Bilmes, ICML 2015). An odd scan covers nobody but itself, and a second of
a kind adds nothing, so the choice is typical and diverse at once, which is what few labels want (Hacohen et
al., "Active learning on a budget", ICML 2022).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from semivox.cohort import Volume, orientation_of
from semivox.prepare import ChannelPlan, appearance, normalise, resample
from semivox.ranking.features import distances, standardised
from semivox.ranking.ranked_scan import RankedScan

THUMBNAIL = {2: (12, 12), 3: (8, 8, 8)}
"""Voxels along each axis of the whole field of view."""

Numbers = Mapping[str, np.ndarray]
"""Kind of number -> (F,)."""


def numbers_of(volume: Volume, channels: Sequence[str]) -> Numbers:
    """A scan in numbers, every kind of which counts as much: voxel size, extent, intensities, sharpness, and
    a thumbnail of the normalised scan, turned upright."""
    plans = [ChannelPlan(name, "zscore") for name in channels]
    turned = orientation_of(volume.affine, volume.dims, tuple(range(volume.dims))).apply(volume.array)
    small = resample(np.ascontiguousarray(turned), THUMBNAIL[volume.dims])
    looks = {kind: np.asarray(numbers) for kind, numbers in appearance(volume, plans).items()}
    return {**looks, "thumbnail": normalise(small, plans).ravel()}


def points_of(scans: Mapping[str, Numbers]) -> dict[str, np.ndarray]:
    """Scans as points: each kind of number in its standard deviations over the scans, equal in weight."""
    kinds = sorted(next(iter(scans.values())))
    apart = [standardised({name: numbers[kind] for name, numbers in scans.items()}) for kind in kinds]
    return {
        name: np.concatenate([of_kind[name] for of_kind in apart]) / np.sqrt(len(kinds)) for name in scans
    }


def rank_first(
    scans: Mapping[str, Numbers], labeled: Mapping[str, Numbers], patients: Mapping[str, str], top: int
) -> list[RankedScan]:
    """The unlabelled ``scans``: the chosen ``top`` in their order, then the others by what they would add.

    ``labeled`` scans cover others already. One scan a patient is taken until all patients had their turn
    (``patients`` of the labelled ones, too). Equals are told apart by name.
    """
    points = points_of({**scans, **labeled})
    names, known = sorted(scans), sorted(labeled)
    table = np.stack([points[name] for name in (*names, *known)])
    apart = np.stack([distances(table, point) for point in table])
    near = _similar(apart)[:, : len(names)]  # of everyone to whom may be chosen
    covered = _similar(apart)[:, len(names) :].max(1, initial=0.0)
    turns = Counter(patients[name] for name in known)
    order: list[int] = []
    gains: dict[int, float] = {}
    while len(order) < min(top, len(names)):
        left = [i for i in range(len(names)) if i not in gains]
        first = min(turns[patients[names[i]]] for i in left)
        eligible = [i for i in left if turns[patients[names[i]]] == first]
        gain = np.maximum(near[:, eligible] - covered[:, None], 0).sum(0)
        best = eligible[int(np.argmax(np.round(gain, 9)))]
        gains[best] = float(gain.max()) / len(table)
        order.append(best)
        turns[patients[names[best]]] += 1
        covered = np.maximum(covered, near[:, best])
    rest = np.maximum(near - covered[:, None], 0).sum(0) / len(table)
    others = sorted(
        (i for i in range(len(names)) if i not in gains), key=lambda i: (-round(rest[i], 9), names[i])
    )
    stands_for = Counter(order[int(k)] for k in near[:, order].argmax(1))
    taken = [*order, *range(len(names), len(table))]
    rows = []
    for rank, i in enumerate([*order, *others], 1):
        whose = [j for j in taken if j != i]
        nearest = min(whose, key=lambda j: (apart[i, j], j), default=None)
        rows.append(
            RankedScan(
                case=names[i],
                rank=rank,
                patient=patients[names[i]],
                chosen=rank if i in gains else None,
                score=gains[i] if i in gains else float(rest[i]),
                entropy=None,
                disagreement=None,
                distance=None if nearest is None else float(apart[i, nearest]),
                nearest=None if nearest is None else (*names, *known)[nearest],
                reason=f"the nearest of the chosen to {stands_for[i]} scans"
                if i in gains
                else "like a chosen one",
            )
        )
    return rows


def _similar(apart: np.ndarray) -> np.ndarray:
    """Distances (n, n) -> 0..1, e^-1/2 at the median distance of two scans."""
    usual = np.median(apart[np.triu_indices(len(apart), 1)]) if len(apart) > 1 else 0.0
    return np.asarray(np.exp(-np.square(apart / usual) / 2)) if usual > 0 else (apart <= 0).astype(float)
