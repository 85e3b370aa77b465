"""How far probabilities can be believed: reliability of voxels, and a case's uncertainty against its error.

Guo et al., "On calibration of modern neural networks" (ICML 2017): voxels are put into bins by their
confidence, the probability of the predicted class; where a model is calibrated, the share of right ones in a
bin is the bin's mean confidence. Only voxels near the predicted foreground count, those
:func:`semivox.inference.uncertainty.mean_entropy` looks at: elsewhere nearly every voxel is surely
background, and any model would look calibrated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from semivox.evaluation.paired import case_value

BINS = 20
"""Bins of equal width from 0 to 1; of K classes no confidence is below 1 / K."""


@dataclass(frozen=True)
class Reliability:
    """Voxels by confidence, ``(BINS,)`` each: how many, the sum of their confidences, how many are right."""

    count: np.ndarray
    confidence: np.ndarray
    correct: np.ndarray

    @classmethod
    def empty(cls) -> Reliability:
        return cls(np.zeros(BINS), np.zeros(BINS), np.zeros(BINS))

    @classmethod
    def from_json(cls, content: Mapping[str, Sequence[float]]) -> Reliability:
        return cls(*(np.asarray(content[name], float) for name in ("count", "confidence", "correct")))

    def to_json(self) -> dict[str, list[float]]:
        return {
            "count": self.count.tolist(),
            "confidence": [round(v, 3) for v in self.confidence.tolist()],
            "correct": self.correct.tolist(),
        }

    def __add__(self, other: Reliability) -> Reliability:
        """Of the voxels of both."""
        return Reliability(
            self.count + other.count, self.confidence + other.confidence, self.correct + other.correct
        )

    @property
    def voxels(self) -> int:
        return int(self.count.sum())

    @property
    def mean_confidence(self) -> np.ndarray:
        """``(BINS,)``, NaN in empty bins."""
        return _ratio(self.confidence, self.count)

    @property
    def accuracy(self) -> np.ndarray:
        """``(BINS,)``, NaN in empty bins."""
        return _ratio(self.correct, self.count)

    @property
    def expected_calibration_error(self) -> float | None:
        """Mean over voxels of |accuracy - confidence| of their bin; None without a voxel."""
        if not self.voxels:
            return None
        return float(np.abs(self.correct - self.confidence).sum() / self.count.sum())

    @property
    def overconfidence(self) -> float | None:
        """Mean confidence minus the share of right voxels; positive: the model is surer than it is right."""
        return float((self.confidence - self.correct).sum() / self.count.sum()) if self.voxels else None


def reliability(
    probabilities: np.ndarray, reference: np.ndarray, values: Sequence[int], ignore: int | None = None
) -> Reliability:
    """The reliability of one case's voxels near its predicted foreground.

    Parameters
    ----------
    probabilities
        ``(K, X, Y[, Z])``, index 0 the background.
    reference
        ``(X, Y[, Z])`` label values.
    values
        Label values of the classes 1 .. K-1, in order. Other values in the reference count as background.
    ignore
        Value of the reference whose voxels are left out.

    Returns
    -------
    Without predicted foreground it is empty: the whole scan would be nothing but easy background.
    """
    from semivox.inference.uncertainty import near_foreground  # here: its package loads torch

    if len(probabilities) != len(values) + 1:
        raise ValueError(
            f"{len(probabilities)} probabilities a voxel for {len(values)} classes and background"
        )
    predicted = probabilities.argmax(0)
    box, near = near_foreground(predicted > 0)
    if not near.any():
        return Reliability.empty()
    true = reference[box]
    if ignore is not None:
        near = near & (true != ignore)
    chosen, true = predicted[box][near], true[near]
    confidence = np.take_along_axis(probabilities[:, *box][:, near], chosen[None], 0)[0].astype(np.float64)
    correct = np.array([0, *values])[chosen] == np.where(np.isin(true, values), true, 0)
    bins = np.clip((confidence * BINS).astype(int), 0, BINS - 1)
    return Reliability(
        np.bincount(bins, minlength=BINS).astype(float),
        np.bincount(bins, confidence, BINS),
        np.bincount(bins, correct, BINS),
    )


def uncertainty_and_error(
    evaluation: Mapping[str, Any], entropies: Mapping[str, float | None]
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Cases that have both, their mean entropies (nats), and 1 - foreground Dice.

    ``evaluation`` is an evaluation file's content; ``entropies`` are ``mean_entropy`` of
    ``predictions.json``, by case.
    """
    rows = [
        (case, entropy, 1 - dice)
        for case, row in evaluation["cases"].items()
        if (entropy := entropies.get(case)) is not None and (dice := case_value(row, "dice")) == dice
    ]
    names, uncertain, wrong = zip(*rows, strict=True) if rows else ((), (), ())
    return list(names), np.array(uncertain, float), np.array(wrong, float)


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's rank correlation of two ``(n,)``; ties share their mean rank. None below three numbers, or
    where all of one side are equal."""
    from scipy import stats

    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(stats.rankdata(a), stats.rankdata(b))[0, 1])


def _ratio(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
