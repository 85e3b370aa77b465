"""Scans turned so that every slice shows the patient upright, and the planes through them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from semivox.cohort import Volume, orientation_of, slice_axis


@dataclass(frozen=True)
class Plane:
    """One way to cut an upright scan.

    ``axis`` is the RAS axis that slices follow one another along; ``columns`` and ``rows`` are the axes of a
    slice's picture. ``edges`` are the patient's sides at its left, right, top and bottom (R, L, A, P, S, I):
    the patient's right is at the left, as radiologists look at it.
    """

    name: str
    axis: int
    columns: int
    rows: int
    edges: tuple[str, str, str, str]

    def slices(self, array: np.ndarray) -> np.ndarray:
        """RAS ``(C, X, Y, Z)`` -> ``(C, columns, rows, slices)``, the first row the top; a view."""
        return array.transpose(0, 1 + self.columns, 1 + self.rows, 1 + self.axis)[:, ::-1, ::-1]


PLANES = (
    Plane("sagittal", 0, 1, 2, ("A", "P", "S", "I")),
    Plane("coronal", 1, 0, 2, ("R", "L", "S", "I")),
    Plane("axial", 2, 0, 1, ("R", "L", "A", "P")),
)
"""The planes across each RAS axis, in the axes' order."""


def to_ras(image: Volume, arrays: Sequence[np.ndarray]) -> tuple[list[np.ndarray], tuple[float, ...]]:
    """Arrays ``(C, X, Y, Z)`` on the grid of a 3D image turned to RAS, and the voxel edges along the turned
    axes. An oblique scan takes the nearest axes. Views, no copies."""
    turn = orientation_of(image.affine, 3, (0, 1, 2))
    return [turn.apply(array) for array in arrays], turn.reorder(image.voxel_edges)


def taken_in(shape: Sequence[int], spacing: Sequence[float]) -> Plane:
    """The plane that a scan turned to RAS was most likely taken in."""
    return PLANES[slice_axis(shape, spacing)]
