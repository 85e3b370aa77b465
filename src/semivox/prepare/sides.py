"""Classes that a mirror image would exchange: the left kidney of a flipped scan is a right one.

Two classes are *twins* along an axis if in every labelled scan they lie apart mainly along it, the same one
always ahead, and each is roughly the other's mirror image; less roughly where their names tell a left and a
right one. Names alone do only where no scan shows both: the left and the right ventricle of a heart are no
twins, and are told apart in a mirror image too.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from semivox.components import box_of
from semivox.prepare.side_names import Sided, sided
from semivox.prepare.store import StoredCase
from semivox.prepare.targets import FULL

TWINS = 0.6
"""Mean Dice of a class's mirror image with another class, centre on centre, from which they are twins; for
the ventricles of the heart it is 0.48."""

NAMED_TWINS = 0.85
"""The same of classes that are named for two sides, where a voxel beside the other counts too, so that thin
ones are not lost; for the ventricles of the heart it is 0.63 to 0.67, of four hearts at most 0.77."""

LOOKED_AT = 4
"""At most so many labelled scans are looked at voxel by voxel."""


class Shape(NamedTuple):
    """A class in one scan: the smallest box around it, and its centre within, in voxels."""

    inside: np.ndarray
    centre: np.ndarray


def exchanged(
    cases: Sequence[StoredCase], names: Sequence[str], axes: Sequence[int], sideways: int | None = None
) -> dict[int, str]:
    """Of ``axes``, those along which a flip would exchange classes, each with which.

    ``cases`` are labelled; ``names``: of the foreground classes. ``sideways``: the axis from left to right,
    where it is known. There, a class whose name tells a side is exchanged with the one of the other side
    where no scan shows both, and where there is none, with one that nobody labelled, if it lies on one side
    of the middle in every scan.
    """
    named = [sided(name) for name in names]

    @cache
    def shape(case: int, k: int) -> Shape:
        target = cases[case].target
        assert target is not None
        return _shape(target[k - 1] > FULL // 2)

    centres = [{k: points.mean(0) for k, points in case.foreground.items()} for case in cases]
    kinds, result = range(1, len(names) + 1), dict[int, str]()
    for a, b in itertools.combinations(kinds, 2):
        pair = _other_side(named[a - 1], named[b - 1])
        both = [i for i, centre in enumerate(centres) if a in centre and b in centre]
        axis = _apart([(centres[i][b] - centres[i][a]) * cases[i].spacing for i in both])
        if pair and not both and any(a in c for c in centres) and any(b in c for c in centres):
            axis = sideways
        if axis is None or axis not in axes or axis in result:
            continue
        shapes = [(shape(i, a), shape(i, b)) for i in both[:LOOKED_AT]]
        alike = not both or np.mean([_overlap(*s, axis) for s in shapes]) >= TWINS
        if alike or (pair and np.mean([_overlap(*s, axis, near=True) for s in shapes]) >= NAMED_TWINS):
            result[axis] = f"{names[a - 1]} and {names[b - 1]}"
    for k, own in zip(kinds, named, strict=True):
        if sideways is None or sideways not in axes or sideways in result:
            break
        if own is not None and not any(_other_side(own, other) for other in named):
            middles = [(case.image.shape[1 + sideways] - 1) / 2 for case in cases]
            off = [c[k][sideways] - middle for c, middle in zip(centres, middles, strict=True) if k in c]
            if off and (min(off) > 0 or max(off) < 0):
                result[sideways] = f"{names[k - 1]} and its other side"
    return result


def _other_side(one: Sided | None, two: Sided | None) -> bool:
    return one is not None and two is not None and one.rest == two.rest and one.side != two.side


def _apart(between: Sequence[np.ndarray]) -> int | None:
    """The axis along which two classes lie apart most, one of them ahead in each case; None if none.
    ``between``: of each case the way from one's centre to the other's."""
    if not between:
        return None
    axis = int(np.abs(between).mean(0).argmax())
    ahead = [way[axis] > 0 for way in between]
    return axis if all(ahead) or not any(ahead) else None


def _shape(plane: np.ndarray) -> Shape:
    inside = plane[box_of(plane, True)]
    points = np.argwhere(inside)
    return Shape(inside, points.mean(0) if len(points) else np.zeros(plane.ndim))


def _overlap(one: Shape, two: Shape, axis: int, near: bool = False) -> float:
    """Dice of ``one``, mirrored along ``axis`` and laid upon ``two`` centre on centre, with ``two``.
    ``near``: voxels beside the other count as in it."""
    centre = one.centre.copy()
    centre[axis] = one.inside.shape[axis] - 1 - centre[axis]
    edge = 1 if near else 0
    mirrored, other = np.pad(np.flip(one.inside, axis), edge), np.pad(two.inside, edge)
    parts = []
    for shift, n, m in zip(two.centre - centre, mirrored.shape, other.shape, strict=True):
        by = round(float(shift))
        low, high = max(0, by), max(0, min(m, by + n))
        parts.append((slice(low - by, max(low, high) - by), slice(low, max(low, high))))
    own, others = (tuple(part) for part in zip(*parts, strict=True))
    grown = (_grown(mirrored), _grown(other)) if near else (mirrored, other)
    found = np.count_nonzero(mirrored[own] & grown[1][others])
    found += np.count_nonzero(grown[0][own] & other[others])
    return int(found) / max(1, int(np.count_nonzero(mirrored)) + int(np.count_nonzero(other)))


def _grown(plane: np.ndarray) -> np.ndarray:
    """``plane`` and the voxels beside it."""
    grown = plane.copy()
    for axis in range(plane.ndim):
        ahead, behind = np.moveaxis(grown, axis, 0), np.moveaxis(plane, axis, 0)
        ahead[1:] |= behind[:-1]
        ahead[:-1] |= behind[1:]
    return grown
