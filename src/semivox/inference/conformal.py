"""Conformal prediction: from how wrong we were on a few held-out cases, how wrong we are at most on the next.

With scores of ``n`` cases that are exchangeable with the next one, the next score is at most the k-th
smallest of them with probability ``k / (n + 1)`` at least, whatever the distribution (Vovk, Gammerman and
Shafer, "Algorithmic learning in a random world", 2005; Lei et al., JASA 2018). So ``n`` cases can promise no
more than ``n / (n + 1)``.

Where each held-out case was predicted by a network of its own (cross-validation), its score is added to what
that network says of the next case, and the end of the interval is the same order statistic of these sums:
CV+ of Barber, Candes, Ramdas and Tibshirani ("Predictive inference with the jackknife+", Annals of Statistics
2021). For a level ``1 - a`` it is sure of ``1 - 2 a`` and, as they and we measure, has about ``1 - a``.
"""

from __future__ import annotations

import math

import numpy as np

ROUNDING = 1e-9
"""A level of 0.8 with 4 cases is the 4th of them, although 0.8 x 5 is no whole number in floating point."""


def highest_level(n: int) -> float:
    """The largest level that ``n`` held-out cases can promise; 0 without any."""
    return n / (n + 1)


def largest(values: np.ndarray, level: float) -> float:
    """The upper end, at ``level``, of what comes next after ``values`` ``(n,)``; infinity where ``n`` is too
    small for it."""
    k = math.ceil(level * (len(values) + 1) - ROUNDING)
    return float(np.sort(values)[max(k, 1) - 1]) if k <= len(values) else math.inf


def smallest(values: np.ndarray, level: float) -> float:
    """The lower end, likewise; minus infinity where ``n`` is too small."""
    return -largest(-np.asarray(values), level)
