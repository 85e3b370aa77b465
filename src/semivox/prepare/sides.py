"""Classes that a mirror image would exchange: the left kidney of a flipped scan is a right one.

Learned from labels alone. Two classes are *twins* along an axis if in every labelled scan they lie apart
mainly along it, the same one always ahead, and each is roughly the other's mirror image. Names alone would
not do: the left and the right ventricle of a heart are no twins, and are told apart in a mirror image too.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from semivox.components import box_of
from semivox.prepare.store import StoredCase
from semivox.prepare.targets import FULL

TWINS = 0.6
"""Mean Dice of a class's mirror image with another class, centre on centre, from which they are twins; for
the ventricles of the heart it is 0.48."""

LOOKED_AT = 4
"""At most so many labelled scans are looked at voxel by voxel."""

SIDE = re.compile(r"(?<![^\W_])(left|right|lh|rh|l|r|sin|dex)(?![^\W_])", re.IGNORECASE)
"""What names a side: a word, or a part of a name between underscores, hyphens or blanks."""


class Shape(NamedTuple):
    """A class in one scan: the smallest box around it, and its centre within, in voxels."""

    inside: np.ndarray
    centre: np.ndarray


def exchanged(
    cases: Sequence[StoredCase], names: Sequence[str], axes: Sequence[int], sideways: int | None = None
) -> dict[int, str]:
    """Of ``axes``, those along which a flip would exchange classes, each with which.

    ``cases`` are labelled; ``names``: of the foreground classes. ``sideways``: the axis from left to right,
    where it is known: a class whose name tells a side, that has no counterpart of the other side, and lies on
    one side of the middle in every scan is exchanged with one that nobody labelled.
    """

    @cache
    def shape(case: int, k: int) -> Shape:
        target = cases[case].target
        assert target is not None
        return _shape(target[k - 1] > FULL // 2)

    centres = [{k: points.mean(0) for k, points in case.foreground.items()} for case in cases]
    kinds, result = range(1, len(names) + 1), dict[int, str]()
    for a, b in itertools.combinations(kinds, 2):
        both = [i for i, centre in enumerate(centres) if a in centre and b in centre]
        axis = _apart([(centres[i][b] - centres[i][a]) * cases[i].spacing for i in both])
        if axis is not None and axis in axes and axis not in result:
            dices = [_overlap(shape(i, a), shape(i, b), axis) for i in both[:LOOKED_AT]]
            if np.mean(dices) >= TWINS:
                result[axis] = f"{names[a - 1]} and {names[b - 1]}"
    for k, name in zip(kinds, names, strict=True):
        if sideways is None or sideways not in axes or sideways in result:
            break
        if SIDE.search(name) and not _other(name, names):
            middles = [(case.image.shape[1 + sideways] - 1) / 2 for case in cases]
            off = [c[k][sideways] - middle for c, middle in zip(centres, middles, strict=True) if k in c]
            if off and (min(off) > 0 or max(off) < 0):
                result[sideways] = f"{name} and its other side"
    return result


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


def _overlap(one: Shape, two: Shape, axis: int) -> float:
    """Dice of ``one``, mirrored along ``axis`` and laid upon ``two`` centre on centre, with ``two``."""
    mirrored, centre = np.flip(one.inside, axis), one.centre.copy()
    centre[axis] = one.inside.shape[axis] - 1 - centre[axis]
    own, others = [], []
    shifts = [round(float(s)) for s in two.centre - centre]
    for shift, n, m in zip(shifts, mirrored.shape, two.inside.shape, strict=True):
        low, high = max(0, shift), max(0, min(m, shift + n))
        own.append(slice(low - shift, max(low, high) - shift))
        others.append(slice(low, max(low, high)))
    both = np.count_nonzero(mirrored[tuple(own)] & two.inside[tuple(others)])
    return 2 * int(both) / max(1, int(np.count_nonzero(one.inside)) + int(np.count_nonzero(two.inside)))


def _other(name: str, names: Sequence[str]) -> bool:
    """Whether there is a class of the other side: labels tell then whether the two are twins."""
    bare = [SIDE.sub("*", other.lower()) for other in names]
    return bare.count(SIDE.sub("*", name.lower())) > 1
