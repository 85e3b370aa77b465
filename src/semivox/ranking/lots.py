"""Orders of scans in which lots are drawn: what a score must beat, and one that few scores have beaten.

* ``random``: by lot among the scans in which the networks find something; the others come last. Published
  comparisons (nnActive, Lueth et al., TMLR 2025, arXiv 2511.19183) find that hardly any score beats a random
  choice that knows of the foreground.
* ``stratified``: each structure in turn has a scan chosen for it, by the entropy in and around that
  structure, noised on a logarithmic scale, less as more is labelled; in the manner of ClaSP PE (Lueth et al.,
  TMLR 2026, arXiv 2601.13677), which queries patches, where we choose whole scans. Turns keep small
  structures from being forgotten, the noise keeps a choice of many scans from being many of one kind.

A lot is a function of the seed and the scan's name alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from semivox.randomness import Key
from semivox.ranking.scores import places

NOISE, FULL_NOISE = 1.0, 8
"""The spread of the noise, in natural logarithms of entropy, and up to how many labels it is that large;
beyond, it falls in inverse proportion."""
NOTHING = 1e-6
"""Nats of a structure that was not found."""


def random_scores(names: Sequence[str], found: Sequence[bool], seed: int) -> list[float]:
    """Of each scan a number in 0..1, above 0.5 where something was ``found``."""
    return [
        (float(there) + (Key(seed) / "lot" / name).numpy().random()) / 2
        for name, there in zip(names, found, strict=True)
    ]


def stratified_scores(
    names: Sequence[str], by_structure: np.ndarray, labeled: int, seed: int
) -> list[list[float]]:
    """Of each structure the scans' places, noised; ``by_structure`` (n, S) nats, ``labeled``: how many scans
    have a label already."""
    spread = NOISE * min(1.0, FULL_NOISE / max(1, labeled))
    gumbel = np.stack(
        [(Key(seed) / "noise" / name).numpy().gumbel(size=by_structure.shape[1]) for name in names]
    )
    noised = np.log(np.maximum(by_structure, NOTHING)) + spread * gumbel
    return [places(column).tolist() for column in noised.T]
