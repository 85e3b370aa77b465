"""Resampling along axes: area averaging where an axis shrinks, linear interpolation where it grows.

Both are linear maps along one axis at a time, so an axis is a small sparse matrix. Source and result share
one field of view: output voxel i covers ``[i, i + 1] * n_in / n_out`` of the input's voxel edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import sparse


def resample(array: np.ndarray, out_shape: Sequence[int]) -> np.ndarray:
    """Bring a channels-first array to another spatial shape over the same field of view.

    Parameters
    ----------
    array
        ``(C, ...)``, any real dtype.
    out_shape
        Spatial shape of the result. An axis of equal size is left exactly as it is.

    Returns
    -------
    ``(C, *out_shape)`` float32, C-contiguous. A constant stays constant; where every axis shrinks the mean
    is kept too. The result never aliases the input.
    """
    out_shape = tuple(int(n) for n in out_shape)
    if array.ndim != len(out_shape) + 1:
        raise ValueError(f"array has {array.ndim - 1} spatial axes, out_shape has {len(out_shape)}")
    if min(out_shape) < 1 or min(array.shape) < 1:
        raise ValueError(f"empty axis: {array.shape} to {out_shape}")
    result = array.astype(np.float32)
    # Axes that shrink most come first: the others then have less to do.
    for axis in sorted(range(len(out_shape)), key=lambda a: out_shape[a] / array.shape[a + 1]):
        n_in, n_out = result.shape[axis + 1], out_shape[axis]
        if n_in == n_out:
            continue
        front = np.moveaxis(result, axis + 1, 0)
        columns = np.ascontiguousarray(front).reshape(n_in, -1)
        moved = (_weights(n_in, n_out) @ columns).reshape(n_out, *front.shape[1:])
        result = np.moveaxis(moved, 0, axis + 1)
    return np.ascontiguousarray(result)


@lru_cache(maxsize=256)
def _weights(n_in: int, n_out: int) -> sparse.csr_matrix:
    """The ``(n_out, n_in)`` float32 matrix of one axis; every row sums to 1."""
    rows, columns, values = _area(n_in, n_out) if n_out < n_in else _linear(n_in, n_out)
    matrix = sparse.csr_matrix((values.astype(np.float32), (rows, columns)), shape=(n_out, n_in))
    matrix.eliminate_zeros()
    return matrix


def _area(n_in: int, n_out: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Overlap of every output cell with every input cell it touches, over the output cell's length."""
    scale = n_in / n_out
    edges = np.arange(n_out + 1) * scale
    first = np.floor(edges[:-1]).astype(int)
    reach = int(np.ceil(scale)) + 1
    columns = first[:, None] + np.arange(reach)
    overlap = np.minimum(columns + 1, edges[1:, None]) - np.maximum(columns, edges[:-1, None])
    values = np.clip(overlap, 0, None) / scale
    rows = np.repeat(np.arange(n_out), reach)
    inside = (columns.ravel() < n_in) & (values.ravel() > 1e-9)  # edges computed in float may graze a cell
    return rows[inside], columns.ravel()[inside], values.ravel()[inside]


def _linear(n_in: int, n_out: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The two neighbours of every output voxel's centre; beyond the outermost ones the edge value holds."""
    position = np.clip((np.arange(n_out) + 0.5) * n_in / n_out - 0.5, 0, n_in - 1)
    low = np.minimum(position.astype(int), max(n_in - 2, 0))
    share = position - low
    rows = np.tile(np.arange(n_out), 2)
    columns = np.concatenate([low, np.minimum(low + 1, n_in - 1)])
    return rows, columns, np.concatenate([1 - share, share])
