"""A scan in its place of a ranking."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RankedScan:
    """One unlabelled scan.

    ``rank`` 1 has the highest ``score`` (0 .. 1); ``chosen`` is its place in the choice, or None. ``entropy``
    in nats; ``distance`` to the ``nearest`` labelled scan in standard deviations of a feature. What cannot be
    measured is None, all but ``distance`` where there is no run (:mod:`semivox.ranking.first_scans`).
    """

    case: str
    rank: int
    patient: str
    chosen: int | None
    score: float
    entropy: float | None
    disagreement: float | None
    distance: float | None
    nearest: str | None
    reason: str
