"""The outlines of a mask's planes: closed polygons along the edges of its pixels.

Not through their centres: a polygon along the edges encloses the area of the pixels, and holds the centres of
these pixels and of no others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

WAYS = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Along the upper side of a pixel, down its right one, back along the lower one, up the left one."""

Corner = tuple[int, int]


def outlines(mask: np.ndarray) -> Iterator[np.ndarray]:
    """The closed polygon of each piece of ``mask`` (rows, columns); pixels that share a corner alone are two.

    Yields ``(N, 2)`` corners as (column, row) in pixels: pixel (0, 0) has its centre at 0, 0 and its first
    corner at -0.5, -0.5. A hole is joined to the rim by a way of no width, there and back: DICOM's keyhole.
    """
    from scipy import ndimage

    loops: dict[int, list[list[Corner]]] = {}
    for piece, loop in _loops(ndimage.label(mask)[0]):
        loops.setdefault(piece, []).append(loop)
    for own in loops.values():
        [rim] = (loop for loop in own if _area(loop) > 0)
        polygon = _joined(rim, [_from_the_left(loop) for loop in own if loop is not rim])
        yield _without_straights(np.array(polygon)) - 0.5


def _loops(labels: np.ndarray) -> Iterator[tuple[int, list[Corner]]]:
    """The closed ways along the sides of pixels, with the piece whose pixels lie on the right hand."""
    padded = np.pad(labels, 1)
    inner = padded[1:-1, 1:-1]
    beside = (padded[:-2, 1:-1], padded[1:-1, 2:], padded[2:, 1:-1], padded[1:-1, :-2])
    sides: dict[Corner, dict[int, int]] = {}
    for way, (other, (x, y)) in enumerate(zip(beside, ((0, 0), (1, 0), (1, 1), (0, 1)), strict=True)):
        rows, columns = np.nonzero((inner > 0) & (other == 0))
        pieces = inner[rows, columns].tolist()
        for row, column, piece in zip(rows.tolist(), columns.tolist(), pieces, strict=True):
            sides.setdefault((column + x, row + y), {})[way] = piece
    left = {(corner, way): piece for corner, ways in sides.items() for way, piece in ways.items()}
    while left:
        (corner, way), piece = left.popitem()
        loop = [corner]
        while True:
            corner = (corner[0] + WAYS[way][0], corner[1] + WAYS[way][1])
            # where two pixels share a corner alone, the way stays with its own: it turns right
            way = next(w % 4 for w in (way + 1, way, way + 3) if w % 4 in sides[corner])
            if left.pop((corner, way), None) is None:  # the side that it began with
                break
            loop.append(corner)
        yield piece, loop


def _area(loop: Sequence[Corner]) -> int:
    """Twice the area within; negative around a hole."""
    x, y = np.array(loop).T
    return int((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def _from_the_left(hole: list[Corner]) -> list[Corner]:
    first = hole.index(min(hole))
    return hole[first:] + hole[:first]


def _joined(rim: list[Corner], holes: list[list[Corner]]) -> list[Corner]:
    """One polygon. From the leftmost corner of a hole leads a way to the left, to the rim or to a hole that
    begins further left, which is joined already: holes are taken from left to right."""
    points, after = list(rim), [*range(1, len(rim)), 0]
    place = {corner: i for i, corner in enumerate(rim)}
    for hole in sorted(holes):
        x, y = hole[0]
        while (x, y) not in place:
            x -= 1
        here, first = place[x, y], len(points)
        points += [*hole, hole[0], (x, y)]
        after += [*range(first + 1, len(points)), after[here]]
        after[here] = first
        for i, corner in enumerate(hole, start=first):
            place.setdefault(corner, i)
    order = [0]
    while after[order[-1]] != 0:
        order.append(after[order[-1]])
    return [points[i] for i in order]


def _without_straights(points: np.ndarray) -> np.ndarray:
    """Without points at which nothing turns."""
    points = points[(points != np.roll(points, 1, 0)).any(1)]
    steps = np.sign(np.roll(points, -1, 0) - points)
    return points[(steps != np.roll(steps, 1, 0)).any(1)]
