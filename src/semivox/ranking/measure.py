"""One scan through every network of a run, once: what a ranking needs to know of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from semivox.cohort import Volume
from semivox.inference import Model
from semivox.inference.native_grid import foreground, present, working_image
from semivox.inference.uncertainty import entropy, mean_entropy
from semivox.networks import Segmenter
from semivox.prepare import Grid
from semivox.ranking.features import FeatureMean
from semivox.tiles import predict_planned


@dataclass(frozen=True)
class Maps:
    """A scan and what was predicted of it: ``probabilities`` (K, working) and ``entropies`` (working), nats,
    float32, on the working ``grid``."""

    volume: Volume
    grid: Grid
    probabilities: np.ndarray
    entropies: np.ndarray


@dataclass(frozen=True)
class Measured:
    """A scan in numbers.

    Parameters
    ----------
    entropy
        Mean entropy of the prediction in nats over the predicted foreground and 2 voxels around it: what
        ``predict`` writes.
    disagreement
        0 .. 1, see :class:`Disagreement`; None for a single network.
    missing
        Label values of classes that every labelled training scan holds, and this prediction does not.
    features
        (F,) float64, see :class:`FeatureMean`.
    by_structure
        Mean entropy in nats in and around each structure, in the order of their numbers: 0 where it was not
        found, and the largest there can be where every labelled training scan holds it.
    """

    entropy: float
    disagreement: float | None
    missing: tuple[int, ...]
    features: np.ndarray
    by_structure: tuple[float, ...] = ()


class Disagreement:
    """How far the probabilities of several networks are apart: 1 - soft Dice, pooled over all pairs of them.

    Of each class the sum over pairs of ``2 sum(p q)`` is divided by that of ``sum(p p) + sum(q q)`` (the soft
    Dice of V-Net's loss, arXiv 1606.04797), then the foreground classes are averaged. Easy background does
    not count: there all are 0. One voxel more on which all agree keeps the noise of an absent class from
    counting as disagreement. Only sums are kept: memory does not grow with the networks.
    """

    def __init__(self) -> None:
        self.networks = 0
        self._sum: np.ndarray | None = None
        self._squares: np.ndarray = np.zeros(0)

    def add(self, probabilities: np.ndarray) -> None:
        """(K, working) of one more network."""
        squares = _squares(probabilities)
        self._sum = probabilities.copy() if self._sum is None else self._sum + probabilities
        self._squares = squares if not self.networks else self._squares + squares
        self.networks += 1

    @property
    def value(self) -> float | None:
        """None with fewer than two networks."""
        n = self.networks
        if self._sum is None or n < 2:
            return None
        both = _squares(self._sum) - self._squares  # of each class, over pairs: 2 sum(p q)
        agreed = n * (n - 1)
        dice = (both + agreed) / ((n - 1) * self._squares + agreed)
        return max(0.0, float(1 - dice[1:].mean()))


def measure(model: Model, volume: Volume) -> tuple[Measured, Maps]:
    """One pass of each of the model's networks (load it with ``weights="mean"``: all of them).

    Prediction, entropy and features are the predictor's (of several networks the features are the first's).
    Raises DataError for a scan that does not fit the model.
    """
    model.check(volume)
    roles, predictor = list(model.card["networks"]), list(model.card["predictor"])
    grid, image = working_image(volume, model.plan)
    apart, predicted, features = Disagreement(), None, np.zeros(0)
    for role, network in zip(roles, model.networks, strict=True):
        assert isinstance(network, Segmenter)
        tapped = FeatureMean(network) if role == predictor[0] else network
        probs = predict_planned([tapped], image, model.plan, model.memory_bytes, model.whole).numpy()
        apart.add(probs)
        if isinstance(tapped, FeatureMean):
            features = tapped.mean
        if role in predictor:
            predicted = probs if predicted is None else predicted + probs
    assert predicted is not None
    predicted /= len(predictor)
    entropies = entropy(predicted)
    regions, expected = model.plan.scheme, always_there(model.card)
    masks = present(predicted, regions)
    numbers = sorted(model.structures)
    missing = tuple(n for n, mask in zip(numbers, masks, strict=True) if n in expected and not mask.any())
    most = math.log(len(predicted))
    measured = Measured(
        entropy=mean_entropy(entropies, foreground(predicted, regions)),
        disagreement=apart.value,
        missing=missing,
        features=features,
        by_structure=tuple(
            mean_entropy(entropies, mask) if mask.any() else most * (number in missing)
            for number, mask in zip(numbers, masks, strict=True)
        ),
    )
    return measured, Maps(volume, grid, predicted, entropies)


def always_there(card: Mapping[str, object]) -> frozenset[int]:
    """Label values of the classes that every labelled training scan of a model's card holds."""
    training, may_be_empty = card.get("training"), card["may_be_empty"]
    assert isinstance(may_be_empty, list)
    if not isinstance(training, dict):
        return frozenset()
    present = {int(value) for value, known in training["classes"].items() if known["present"] == 1}
    return frozenset(present - set(may_be_empty))


def uncertainty(measured: Measured, classes: int) -> float:
    """What scans are ordered by as uncertain: how many classes are missing, then the entropy as a part of the
    largest that ``classes`` (with background) can have.

    A network that overlooks a structure is sure of it: by its entropy alone the scan would come last.
    """
    return len(measured.missing) + measured.entropy / math.log(classes)


def _squares(maps: np.ndarray) -> np.ndarray:
    """(K, ...) -> (K,) float64 sums of squares."""
    return np.array([np.square(plane).sum(dtype=np.float64) for plane in maps])
