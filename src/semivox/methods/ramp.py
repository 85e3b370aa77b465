"""The warm-up of unsupervised weights."""

from __future__ import annotations

import math


def gaussian_ramp(progress: float) -> float:
    """exp(-5 (1 - t)^2) for t from 0 to 1 over the ramp (Laine & Aila 2017, used by the whole family)."""
    t = min(1.0, max(0.0, progress))
    return math.exp(-5.0 * (1.0 - t) ** 2)
