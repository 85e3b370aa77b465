"""Numbers of scans become places among the scans, so that measures of different units can be averaged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

DECIMALS = 6
"""Measures that agree so far are alike: what is left is rounding."""


def places(values: Sequence[float]) -> np.ndarray:
    """``(n,)`` in 0 .. 1: the share of values that are at most as large; ties share their mean rank."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(np.round(values, DECIMALS))) / max(1, len(values))


def combined(*measures: Sequence[float]) -> np.ndarray:
    """The mean of the places under each measure."""
    return np.mean([places(values) for values in measures], axis=0)


def top_percent(values: Sequence[float]) -> list[int]:
    """For each value the smallest whole percentage p so that it and all like it are among the largest p %:
    100 of a measure that is the same everywhere."""
    alike = np.round(np.asarray(values, dtype=np.float64), DECIMALS)
    table = np.sort(alike)
    as_large = len(table) - np.searchsorted(table, alike, side="left")
    return [int(-(-100 * n // len(table))) for n in as_large]


def ranks_from_top(values: Sequence[float]) -> list[int]:
    """1 for the largest; values that are alike share the first of their ranks."""
    alike = np.round(np.asarray(values, dtype=np.float64), DECIMALS)
    table = np.sort(alike)
    return [int(len(table) - n + 1) for n in np.searchsorted(table, alike, side="right")]
