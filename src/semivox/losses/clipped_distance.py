"""Signed distances up to a limit, exact, by shifting the array: faster than a full transform.

The squared distance is separable: axis after axis, f(x) becomes the minimum over k of f(x + k) + (k s)^2.
Where nothing beyond a limit counts, |k| s stays below it; and a shift by k is k shifts by one voxel that add
(2 k' - 1) s^2, k' = 1 .. k (Huang and Mitchell, IEEE PAMI 16:443, 1994). On isotropic grids the numbers are
small integers, of which many fit into one register.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

WORTH = 120
"""Bytes moved for a voxel and side up to which this is faster than a full transform (edt 3.1)."""


def is_worth_clipping(spacing: Sequence[float], limit: float) -> bool:
    """Whether :func:`clipped_signed_distance` is the faster way."""
    return sum(_steps(spacing, limit)) * _numbers(spacing, limit)[0].itemsize <= WORTH


def clipped_signed_distance(inside: np.ndarray, spacing: Sequence[float], limit: float) -> np.ndarray:
    """min(d, limit) / limit outside, minus that inside; d: to the nearest voxel of the other kind.

    ``inside`` (X, Y[, Z]) bool; ``spacing`` and ``limit`` > 0 in the same unit. float32; +-1 where there is
    no voxel of the other kind.
    """
    outer, inner = (_squared(there, spacing, limit) for there in (~inside, inside))
    if outer.dtype == np.float32:
        phi = np.minimum(np.sqrt(np.where(inside, inner, outer)) / np.float32(limit), np.float32(1))
        return np.negative(phi, out=phi, where=inside)
    far = int(_numbers(spacing, limit)[1])
    table = np.minimum(np.sqrt(np.arange(far + 1)) * (spacing[0] / limit), 1).astype(np.float32)
    index = np.where(inside, inner.astype(np.uint16) + np.uint16(far + 1), outer)
    return np.concatenate([table, -table]).take(index)


def _squared(there: np.ndarray, spacing: Sequence[float], limit: float) -> np.ndarray:
    """Squared distance of each voxel to the nearest one that is not ``there``, in the units of _numbers."""
    steps = _steps(spacing, limit)
    dtype, far, units = _numbers(spacing, limit)
    length = there.shape[-1]
    # The last axis gets so much room that no value passes from row to row when all is one row.
    f = np.full((*there.shape[:-1], length + steps[-1]), far, dtype)
    f[..., :length] = np.where(there, dtype.type(far), dtype.type(0))
    _minimum_over_shifts(f.reshape(1, -1), steps[-1], units[-1])
    for axis in range(f.ndim - 1):
        _minimum_over_shifts(f if axis else f[None], steps[axis], units[axis])
    return f[..., :length]


def _minimum_over_shifts(f: np.ndarray, steps: int, unit: float) -> None:
    """f(., x, ...) <- minimum over |k| <= ``steps`` of f(., x + k, ...) + k^2 ``unit``, in place."""
    moved = np.empty_like(f)
    for k in range(steps):
        np.add(f, f.dtype.type((2 * k + 1) * unit), out=moved)
        np.minimum(f[:, 1:], moved[:, :-1], out=f[:, 1:])
        np.minimum(f[:, :-1], moved[:, 1:], out=f[:, :-1])


def _steps(spacing: Sequence[float], limit: float) -> list[int]:
    return [int(limit / s) for s in spacing]


def _numbers(spacing: Sequence[float], limit: float) -> tuple[np.dtype[np.generic], float, list[float]]:
    """Type of the squared distances, the one beyond the limit, and the square of a voxel's edge by axis."""
    if len(set(spacing)) > 1:
        return np.dtype(np.float32), np.inf, [s * s for s in spacing]
    far = int((limit / spacing[0]) ** 2) + 1
    return np.min_scalar_type(far + 2 * int(limit / spacing[0])), far, [1] * len(spacing)


__all__ = ["clipped_signed_distance", "is_worth_clipping"]
