"""Labels that are drawn in some slices: all others hold nothing but ``ignore``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOSTLY = 0.5
"""Of the voxels of drawn slices, what is known at least."""


@dataclass(frozen=True)
class DrawnSlices:
    """``drawn[i]``: whether slice i across ``axis`` of the label's own axes was drawn; some were, not all."""

    axis: int
    drawn: np.ndarray

    def filled(self, label: np.ndarray) -> np.ndarray:
        """``label`` (X, Y[, Z]) with the nearest drawn slice (of two the first) in each other's place."""
        there = np.flatnonzero(self.drawn)
        nearest = there[np.abs(np.arange(len(self.drawn))[:, None] - there).argmin(1)]
        return np.take(label, nearest, self.axis)


def drawn_slices(label: np.ndarray, ignore: int | None) -> DrawnSlices | None:
    """The slices of ``label`` (X, Y[, Z]) that hold more than ``ignore``, across the axis that has fewest of
    them. None where every slice does, or none; and of a picture, whose slices are lines."""
    if ignore is None or label.ndim != 3:
        return None
    known = label != ignore
    if known.all() or not known.any():
        return None
    rows = [known.any(tuple(a for a in range(label.ndim) if a != axis)) for axis in range(label.ndim)]
    axis = int(np.argmin([row.mean() for row in rows]))
    # lines and blocks that were looked at are no slices: a drawn one is known nearly everywhere
    inside = np.take(known, np.flatnonzero(rows[axis]), axis)
    if rows[axis].all() or inside.mean() < MOSTLY:
        return None
    return DrawnSlices(axis, rows[axis])
