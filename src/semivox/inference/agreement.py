"""How far what has seen a scan agrees with itself: numbers that go along with the Dice of a mask whose
reference nobody has.

* ``runs``: of several runs, the mean Dice of their masks over all pairs.
* ``views``: of a scan and its mirror images, likewise. Each image costs a prediction.
* ``probability``: the mask against the probabilities it was made from, the Soft Dice Confidence of Borges,
  Pacheco and Silva (arXiv 2402.10665): ``2 sum(p m) / (sum(p) + sum(m))``, the Dice that is to be expected
  were the probabilities right and the voxels independent. It costs nothing.

They are measured on the working grid. A voxel more on which all agree keeps the noise of an absent structure
from counting as disagreement.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from semivox.cohort import Regions
from semivox.inference.native_grid import Found, in_axes_of, marginals, present
from semivox.prepare import resample

OVERALL = "foreground"
"""The key of the mean over structures, as in evaluation files."""
RUNS, VIEWS, PROBABILITY = "runs", "views", "probability"
KINDS = (RUNS, VIEWS, PROBABILITY)
"""The stronger signal first."""

Numbers = Mapping[str, float]
"""Structure as a string, or :data:`OVERALL` -> 0..1."""
Agreement = Mapping[str, Numbers]
"""Kind -> numbers."""


def of_runs(
    found: Sequence[Found], ids: Sequence[str], whole: str, regions: Regions, structures: Sequence[int]
) -> dict[str, dict[str, Numbers]]:
    """What runs have found of a scan -> the agreement of each under its id, and of all under ``whole``. Of
    one run alone ``whole`` is the run.

    ``regions`` are of class indices; ``structures`` are the numbers that masks are measured by, in order.
    """
    agreed: dict[str, dict[str, Numbers]] = {}
    for run, (_, probs, views) in zip(ids, found, strict=True):
        agreed[run] = {PROBABILITY: with_probabilities(probs, regions, structures)}
        if views:
            agreed[run][VIEWS] = between(views, structures)
    if len(found) > 1:
        first = found[0].grid
        on_first = (
            resample(in_axes_of(first, each.grid, each.probabilities), first.working_shape) for each in found
        )
        agreed[whole] = {RUNS: between([present(probs, regions) for probs in on_first], structures)}
    return agreed


def with_probabilities(probabilities: np.ndarray, regions: Regions, structures: Sequence[int]) -> Numbers:
    """``probability`` of each of ``structures``, in the order of the maps, and their mean."""
    shares = marginals(probabilities, regions) if regions else probabilities[1:]
    masks = present(probabilities, regions)
    found = [
        (2 * share.sum(where=mask, dtype=np.float64) + 1) / (share.sum(dtype=np.float64) + mask.sum() + 1)
        for share, mask in zip(shares, masks, strict=True)
    ]
    return _named(found, structures)


def between(masks: Sequence[np.ndarray], structures: Sequence[int]) -> Numbers:
    """``runs`` or ``views``: (S, ...) bool, one of each on one grid -> of each structure, and their mean."""
    pairs = list(itertools.combinations(masks, 2))
    found = [
        float(np.mean([_dice(a[s], b[s]) for a, b in pairs]))
        for s in range(len(structures))
    ]  # fmt: skip
    return _named(found, structures)


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    both = np.count_nonzero(a & b)
    return (2 * both + 1) / (np.count_nonzero(a) + np.count_nonzero(b) + 1)


def _named(found: Sequence[float], structures: Sequence[int]) -> Numbers:
    numbers = {str(s): round(float(v), 5) for s, v in zip(structures, found, strict=True)}
    return {**numbers, OVERALL: round(float(np.mean(found)), 5)}
