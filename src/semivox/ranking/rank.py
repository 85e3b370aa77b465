"""Measured scans -> their order, a diverse choice among them, and why, in words."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import numpy as np

from semivox.errors import SettingsError
from semivox.ranking.choose import choose
from semivox.ranking.features import distances, standardised
from semivox.ranking.lots import random_scores, stratified_scores
from semivox.ranking.measure import Measured, uncertainty
from semivox.ranking.ranked_scan import RankedScan
from semivox.ranking.scores import combined, places, ranks_from_top, top_percent

Score = Literal["random", "stratified", "combined", "entropy", "disagreement", "distance"]
LOTS: Mapping[Score, str] = {"random": "by lot", "stratified": "by lot and entropy"}
"""Those in which lots are drawn (:mod:`semivox.ranking.lots`), and how a reason begins: chance makes the
choice diverse."""
STANDS_OUT = 25
"""A measure is a reason where a scan is among the largest so many percent."""


def rank_scans(
    scans: Mapping[str, Measured],
    labeled: Mapping[str, Measured],
    patients: Mapping[str, str],
    labeled_patients: Collection[str],
    classes: Mapping[int, str],
    *,
    kinds: int = 0,
    score: Score,
    top: int,
    seed: int = 0,
) -> list[RankedScan]:
    """The unlabelled ``scans`` by score, the highest first (ties by name), ``top`` of them chosen.

    ``scans`` and ``labeled`` map a case to what was measured of it, ``patients`` the unlabelled ones to their
    patient; ``classes`` are label values, or numbers of regions, and names; ``kinds``: outputs of the
    networks, 0: one a class and one for the background; ``seed`` of the lots. Raises SettingsError for a
    ``score`` that cannot be measured.
    """
    names = sorted(scans)
    points = standardised({name: m.features for name, m in {**labeled, **scans}.items()})
    table = np.stack([points[name] for name in names])
    known = np.array([points[name] for name in sorted(labeled)]).reshape(len(labeled), table.shape[1])
    nearest, distance = _nearest(table, known, sorted(labeled))
    apart = [scans[name].disagreement for name in names]
    measures: dict[str, Sequence[float]] = {
        "entropy": [uncertainty(scans[name], kinds or len(classes) + 1) for name in names]
    }
    if all(value is not None for value in apart):
        measures["disagreement"] = [value for value in apart if value is not None]
    if labeled:
        measures["distance"] = distance.tolist()
    by = _lots(score, names, scans, len(labeled), seed) if score in LOTS else [_scores(score, measures)]
    scores = np.max(by, axis=0).tolist()
    chosen = choose(
        names,
        by,
        table[:, :0] if score in LOTS else table,
        [patients[name] for name in names],
        known[:, :0] if score in LOTS else known,
        labeled_patients,
        min(top, len(names)),
    )
    percents = {what: top_percent(values) for what, values in measures.items()}
    ranks = {what: ranks_from_top(values) for what, values in measures.items()}
    order = sorted(range(len(names)), key=lambda i: (-scores[i], names[i]))
    rows = []
    for rank, i in enumerate(order, 1):
        name = names[i]
        rows.append(
            RankedScan(
                case=name,
                rank=rank,
                patient=patients[name],
                chosen=chosen.index(i) + 1 if i in chosen else None,
                score=scores[i],
                entropy=scans[name].entropy,
                disagreement=apart[i],
                distance=float(distance[i]) if labeled else None,
                nearest=nearest[i] if labeled else None,
                reason=_reason(
                    {what: percent[i] for what, percent in percents.items()},
                    {what: f"{of[i]} of {len(names)}" for what, of in ranks.items()},
                    [classes[value] for value in scans[name].missing],
                    nearest[i] if labeled else None,
                    patients[name] in labeled_patients,
                    LOTS.get(score, "") if i in chosen else "",
                ),
            )
        )
    return rows


def what_choosing_is_worth(score: Score) -> str:
    """What rounds of drawing have shown of ``score`` (docs/results.md, "What to draw")."""
    if score == "random":
        return "chosen by lot among scans in which something is found: no score was shown to choose better"
    return f"no score was shown to choose better than lots (--score random), nor was {score}"


def check_score(score: Score, *, networks: int, labeled: int) -> None:
    """Raise SettingsError where scans cannot be ordered by ``score`` alone: with that many networks, and that
    many labelled scans to be far from."""
    if score == "disagreement" and networks < 2:
        found, remedy = "the model has one network only", "rank by another score"
    elif score == "distance" and not labeled:
        found, remedy = "no labelled scan of the run was found", "name the labelled cases with --labeled"
    else:
        return
    raise SettingsError(f"scans cannot be ranked by {score}", found=found, remedy=remedy)


def _lots(
    score: Score, names: Sequence[str], scans: Mapping[str, Measured], labeled: int, seed: int
) -> list[list[float]]:
    """Of ``stratified`` a list a structure, by which it is chosen in turn."""
    by_structure = np.array([scans[name].by_structure for name in names])
    if score == "random":
        return [random_scores(names, [bool(found.any()) for found in by_structure], seed)]
    return stratified_scores(names, by_structure, labeled, seed)


def _scores(score: Score, measures: Mapping[str, Sequence[float]]) -> list[float]:
    if score == "combined":
        return combined(*measures.values()).tolist()
    check_score(score, networks=2 if "disagreement" in measures else 1, labeled="distance" in measures)
    return places(measures[score]).tolist()


def _nearest(points: np.ndarray, known: np.ndarray, names: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Of each point the nearest known one's name (of several the first), and its distance."""
    best, nearest = np.full(len(points), np.inf), [""] * len(points)
    for name, point in zip(names, known, strict=True):
        found = distances(points, point)
        for i in np.flatnonzero(found < best):
            nearest[i] = name
        best = np.minimum(best, found)
    return nearest, best


def _reason(
    percents: Mapping[str, int],
    ranks: Mapping[str, str],
    missing: Sequence[str],
    nearest: str | None,
    patient_is_labeled: bool,
    by_lot: str,
) -> str:
    """In words: "uncertain (entropy in the top 5 %), unlike any labelled scan (top 2 %; nearest: la_003)".
    Behind how the lot fell on it, if it did, that is what else is known of the scan."""
    texts = {
        "entropy": "uncertain (entropy in the top {} %)",
        "disagreement": "the networks agree least (top {} %)",
        "distance": f"unlike any labelled scan (top {{}} %; nearest: {nearest})",
    }
    said = []
    if missing:
        said.append(f"nothing found of {' and '.join(missing)}, which every labelled scan has")
    for what, percent in percents.items():
        if percent <= STANDS_OUT and not (missing and what == "entropy"):
            said.append(texts[what].format(percent))
    if not said:
        apart = ", ".join(f"{what} {rank}" for what, rank in ranks.items())
        said.append(f"no single measure stands out (ranks: {apart})")
    if patient_is_labeled:
        said.append("another scan of this patient is labelled")
    reason = ", ".join(said)
    return f"{by_lot}; {reason}" if by_lot else reason
