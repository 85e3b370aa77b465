"""Numbers of scans become places among the scans, so that measures of different units can be averaged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def places(values: Sequence[float]) -> np.ndarray:
    """``(n,)`` in 0 .. 1: the share of values that are at most as large; ties share their mean rank."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(values)) / max(1, len(values))


def combined(*measures: Sequence[float]) -> np.ndarray:
    """The mean of the places under each measure."""
    return np.mean([places(values) for values in measures], axis=0)


def top_percent(values: Sequence[float]) -> list[int]:
    """For each value the smallest whole percentage p so that it is among the largest p % (ties alike)."""
    table = np.sort(np.asarray(values, dtype=np.float64))
    larger = len(table) - np.searchsorted(table, values, side="right")
    return [int(-(-100 * (n + 1) // len(table))) for n in larger]
