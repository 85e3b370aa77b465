"""Confidence intervals of means over cases, from a bootstrap over patients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from semivox.randomness import Key

RESAMPLES = 10_000
KEY = Key(0) / "evaluation" / "bootstrap"
FEW_PATIENTS = 6
"""Below so many a bootstrap interval is rough, and mostly too narrow."""


def few_patients(patients: int) -> str:
    """A note on an interval over so many patients; empty where they are enough, or where there is none."""
    return f"few patients ({patients}): the interval is rough" if 1 < patients < FEW_PATIENTS else ""


def group(patients: Sequence[str]) -> tuple[np.ndarray, int]:
    """Index of each case's patient, ``(cases,)``, and the number of patients, in order of appearance."""
    index: dict[str, int] = {}
    return np.array([index.setdefault(p, len(index)) for p in patients], dtype=np.intp), len(index)


def draw_counts(n: int, resamples: int, key: Key) -> Iterator[np.ndarray]:
    """How often each of ``n`` units is drawn when n are drawn with replacement: blocks ``(b, n)`` float64.

    The blocks together have ``resamples`` rows; each block has its own key, so memory stays bounded.
    """
    block = max(1, min(resamples, 4_000_000 // max(n, 1)))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = (key / start).numpy().integers(n, size=(rows, n))
        flat = (drawn + n * np.arange(rows)[:, None]).ravel()
        yield np.bincount(flat, minlength=rows * n).reshape(rows, n).astype(np.float64)


def mean_and_interval(
    values: np.ndarray,
    patients: Sequence[str],
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    key: Key = KEY,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of each column over cases, and its bootstrap percentile interval over patients.

    A resample draws as many patients as there are, with replacement; each brings all its cases, and the
    statistic is the mean over the cases drawn (Efron and Tibshirani 1993, ch. 13, on clusters).

    Parameters
    ----------
    values
        ``(cases, columns)``; NaN where a case has no such number: it is left out.
    patients
        Patient of each case.

    Returns
    -------
    mean ``(columns,)`` and interval ``(columns, 2)``; NaN where no case has a number, and the interval also
    where fewer than two patients have one.
    """
    patient_of, n = group(patients)
    there = ~np.isnan(values)
    sums, counts = np.zeros((n, values.shape[1])), np.zeros((n, values.shape[1]))
    np.add.at(sums, patient_of, np.where(there, values, 0.0))
    np.add.at(counts, patient_of, there)
    mean = _ratio(sums.sum(0), counts.sum(0))
    drawn = [_ratio(w @ sums, w @ counts) for w in draw_counts(n, resamples, key)] if n > 1 else []
    interval = np.full((values.shape[1], 2), np.nan)
    for column in np.flatnonzero((counts > 0).sum(0) > 1):
        statistics = np.concatenate([block[:, column] for block in drawn])
        interval[column] = percentile_interval(statistics, level)
    return mean, interval


def crossed_interval(
    values: np.ndarray,
    patients: Sequence[str],
    *,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    key: Key = KEY,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of each column over seeds and cases, and its bootstrap percentile interval over both.

    A resample draws as many patients as there are and, independently, as many seeds as there are, both with
    replacement; each patient brings all its cases. With one seed only patients vary.

    Parameters
    ----------
    values
        ``(seeds, cases, columns)``; a case with NaN in any seed is left out of that column.
    patients
        Patient of each case.

    Returns
    -------
    mean ``(columns,)`` and interval ``(columns, 2)``; NaN where no case has a number, and the interval also
    where fewer than two patients have one.
    """
    seeds, _, columns = values.shape
    patient_of, n = group(patients)
    kept = ~np.isnan(values).any(0)  # (cases, columns)
    counts = np.zeros((n, columns))
    np.add.at(counts, patient_of, kept)
    mean = _ratio(np.where(kept, values, 0.0).sum((0, 1)), seeds * counts.sum(0))
    sums = np.zeros((n, seeds, columns))  # of deviations from the mean: no digits are lost
    np.add.at(sums, patient_of, np.where(kept, values - mean, 0.0).transpose(1, 0, 2))
    interval = np.full((columns, 2), np.nan)
    usable = np.flatnonzero((counts > 0).sum(0) > 1)
    if not len(usable):
        return mean, interval
    of_seeds = np.concatenate(list(draw_counts(seeds, resamples, key / "seeds")))
    statistics, row = np.empty((resamples, columns)), 0
    for w in draw_counts(n, resamples, key / "patients"):
        s = of_seeds[row : row + len(w)]
        drawn = (w @ sums.reshape(n, -1)).reshape(len(w), seeds, columns)
        statistics[row : row + len(w)] = _ratio((drawn * s[:, :, None]).sum(1), seeds * (w @ counts))
        row += len(w)
    for column in usable:
        interval[column] = mean[column] + percentile_interval(statistics[:, column], level)
    return mean, interval


def percentile_interval(statistics: np.ndarray, level: float = 0.95) -> np.ndarray:
    """The central ``level`` share of bootstrap statistics (NaN left out), ``(2,)``."""
    tail = 50.0 * (1.0 - level)
    return np.asarray(np.percentile(statistics[~np.isnan(statistics)], [tail, 100.0 - tail]))


def _ratio(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
