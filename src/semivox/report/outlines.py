"""Outlines of masks as polygons of small integers: what a page draws at any size and opacity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

UNITS = 4
"""Units of a polygon's coordinates to one pixel of the picture it lies on."""
TOLERANCE = 0.3
"""Pixels of the picture that an outline may stray when points are left out."""

Rings = list[list[int]]


def outlines(stack: np.ndarray, picture: tuple[int, int]) -> list[Rings]:
    """The outlines of a region in each of its slices, holes included: filled by the even-odd rule they give
    the region back.

    Parameters
    ----------
    stack
        (columns, rows, slices) bool.
    picture
        Columns and rows of the pictures on which the slices are shown, in any resolution.

    Returns
    -------
    For each slice one list a ring: x and y of its first point in units of 1 / ``UNITS`` pixel of the picture,
    from its upper left corner, then the steps to each next point. The ring is closed.
    """
    from contourpy import contour_generator

    scale = np.array(picture) / np.array(stack.shape[:2])
    rings: list[np.ndarray] = []
    slice_of: list[int] = []
    for i in map(int, np.flatnonzero(stack.any((0, 1)))):
        padded = np.pad(stack[..., i], 1).astype(np.float32)
        # padded index j is the middle of pixel j - 1, which lies at j - 1/2
        found = [(np.asarray(line) - 0.5) * scale for line in contour_generator(z=padded.T).lines(0.5)]
        rings += found
        slice_of += [i] * len(found)
    by_slice: list[Rings] = [[] for _ in range(stack.shape[2])]
    for i, ring in zip(slice_of, simplified(rings, TOLERANCE), strict=True):
        by_slice[i].append(_steps(ring))
    return by_slice


def simplified(rings: Sequence[np.ndarray], tolerance: float) -> list[np.ndarray]:
    """Closed rings ``(n, 2)``, the last point of each its first, less the points that lie within
    ``tolerance`` of the line through those that stay (Douglas and Peucker 1973; all rings at once, level by
    level)."""
    if not rings:
        return []
    points = np.concatenate(rings)
    ends = np.cumsum([len(ring) for ring in rings])
    kept = np.zeros(len(points), bool)
    kept[np.r_[0, ends[:-1]]] = kept[ends - 1] = True
    while True:
        corners = np.flatnonzero(kept)
        segment = np.cumsum(kept) - 1
        first = corners[segment]
        last = corners[np.minimum(segment + 1, len(corners) - 1)]
        offsets, along = points - points[first], points[last] - points[first]
        length = np.hypot(along[:, 0], along[:, 1])
        across = np.abs(along[:, 0] * offsets[:, 1] - along[:, 1] * offsets[:, 0])
        away = np.where(
            length > 0, across / np.maximum(length, 1e-12), np.hypot(offsets[:, 0], offsets[:, 1])
        )
        away[kept] = 0
        furthest = np.maximum.reduceat(away, corners)[segment]
        new = np.flatnonzero((away == furthest) & (away > tolerance))
        if not len(new):
            return [p[k] for p, k in zip(rings, np.split(kept, ends[:-1]), strict=True)]
        kept[new[np.unique(segment[new], return_index=True)[1]]] = True


def _steps(ring: np.ndarray) -> list[int]:
    points = np.rint(ring * UNITS).astype(int)
    points = points[np.r_[True, (np.diff(points, axis=0) != 0).any(1)]]
    if (points[0] == points[-1]).all():
        points = points[:-1]
    if len(points) < 3:  # a lone voxel of a fine scan must not vanish
        x, y = points[0] if len(points) else np.rint(ring[0] * UNITS).astype(int)
        points = np.array([(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)])
    return [int(v) for v in np.diff(points, axis=0, prepend=0).ravel()]
