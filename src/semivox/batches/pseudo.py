"""Pseudo-labels as the sampler takes them; training keeps the bank that gives them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class PseudoLabel:
    """What a network says of one unlabelled case, on the working grid.

    target: (K-1, X, Y[, Z]) uint8 class fractions, 255 = fully that class.
    confidence: (1, X, Y[, Z]) uint8, 255 = certain.
    foreground: class index (from 1) -> (n, dims) voxels of that class; absent classes lack.
    """

    target: np.ndarray
    confidence: np.ndarray
    foreground: Mapping[int, np.ndarray]


class PseudoLabels(Protocol):
    """Where pseudo-labels come from: those of the newest relabelling, by the case's index in the store."""

    def labels(self, index: int, /) -> PseudoLabel: ...
