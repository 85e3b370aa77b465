"""Where a crop is cut: at random, around the foreground, or around the body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from semivox.randomness import Key

FOREGROUND_SHARE = 2 / 3


def draw_start(
    key: Key,
    where: Literal["random", "foreground", "body", "shared_classes"],
    shape: tuple[int, ...],
    patch: tuple[int, ...],
    foreground: Mapping[int, np.ndarray],
    body: np.ndarray,
) -> tuple[int, ...]:
    """First voxel of a crop of size ``patch`` in a scan of size ``shape``.

    ``foreground``: class index -> (n, dims) voxels of that class; ``body``: (n, dims) voxels of the body.
    The crop stays inside the scan along axes where the scan is larger, and is centred on it along the others
    (then the start is negative). Around a voxel means: up to a quarter patch off its centre. ``foreground``
    is two thirds around a voxel of a random class, ``shared_classes`` always (give the shared class only).
    Scans without such voxels are cropped at random.
    """
    random = (key / "centre").numpy()
    points: np.ndarray | None = None
    if where == "shared_classes" or (where == "foreground" and random.random() < FOREGROUND_SHARE):
        present = [k for k in sorted(foreground) if len(foreground[k])]
        if present:
            points = foreground[present[int(random.integers(len(present)))]]
    elif where == "body" and len(body):
        points = body
    if points is None:
        near = None
    else:
        near = np.asarray(points[int(random.integers(len(points)))], dtype=np.int64)
    start = []
    for axis, (size, side) in enumerate(zip(shape, patch, strict=True)):
        if size <= side:
            start.append((size - side) // 2)
        elif near is None:
            start.append(int(random.integers(size - side + 1)))
        else:
            jitter = int(random.integers(-(side // 4), side // 4 + 1))
            start.append(min(max(int(near[axis]) - side // 2 + jitter, 0), size - side))
    return tuple(start)
