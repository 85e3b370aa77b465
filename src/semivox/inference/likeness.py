"""Whether a scan looks like those that a promise is calibrated on.

Of each kind of number in :mod:`semivox.prepare.appearance` the scan's distance to the nearest of them is held
against the largest distance that one of them has to its own nearest: a one-class test of nearest neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from semivox.prepare import Appearance

FARTHER = 1.5
"""A scan is unlike the others if it is so many times as far from them as they are from each other."""
FLOORS = {"spacing": 0.1, "extent": 0.2, "intensity": 0.15, "sharpness": 0.15}
"""Distances below which a scan is never unlike: scans of one device may be equal to the last digit.
Logarithms (0.1 is ten percent) and, for intensities, standard deviations."""
WORDS = {
    "spacing": "its voxels are of another size",
    "extent": "it shows another extent",
    "intensity": "its intensities are spread in another way",
    "sharpness": "it is sharper, more blurred or noisier",
}


def unlike(looks: Appearance, others: Sequence[Appearance], patients: Sequence[str]) -> list[str]:
    """In which points a scan is not like ``others``, each of one of ``patients``, in words; none: in no
    point. Scans of one patient do not tell how much scans differ; one patient alone tells nothing."""
    found = []
    for name, words in WORDS.items():
        point = np.asarray(looks[name], float)
        rows = [
            (np.asarray(other[name], float), of)
            for other, of in zip(others, patients, strict=True)
            if name in other
        ]
        if any(p.shape != point.shape for p, _ in rows) or len({of for _, of in rows}) < 2:
            continue
        table, whose = np.stack([p for p, _ in rows]), np.array([of for _, of in rows])
        apart = [_nearest(p, table[whose != of]) for p, of in rows]
        usual = max(FLOORS[name], max(apart))
        if (far := _nearest(point, table)) > FARTHER * usual:
            found.append(f"{words} than in the held-out scans ({far:.2f} from the nearest, they {usual:.2f})")
    return found


def _nearest(point: np.ndarray, table: np.ndarray) -> float:
    """The smallest over scans of the largest difference in a number."""
    return float(np.abs(table - point).max(1).min())
