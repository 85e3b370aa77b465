"""Resampling along axes: area averaging where an axis shrinks, linear interpolation where it grows.

Both are linear maps along one axis at a time, so an axis is a small sparse matrix. Source and result share
one field of view: output voxel i covers ``[i, i + 1] * n_in / n_out`` of the input's voxel edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import sparse


def resample(
    array: np.ndarray, out_shape: Sequence[int], part: tuple[slice, ...] | None = None
) -> np.ndarray:
    """Bring a channels-first array to another spatial shape over the same field of view.

    Parameters
    ----------
    array
        ``(C, ...)``, any real dtype.
    out_shape
        Spatial shape of the result. An axis of equal size is left exactly as it is.
    part
        Make this part of the result alone, a slice (start, stop) for each spatial axis: the same bits as
        ``resample(array, out_shape)[:, *part]``, from what of the array it needs.

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
    in_shape = array.shape[1:]
    if part is not None:
        array = array[(slice(None), *source_of(in_shape, out_shape, part))]
    result = array.astype(np.float32, copy=False)
    # Axes that shrink most come first: the others then have less to do.
    for axis in sorted(range(len(out_shape)), key=lambda a: out_shape[a] / in_shape[a]):
        n_in, n_out = in_shape[axis], out_shape[axis]
        if n_in == n_out:
            continue
        rows = (0, n_out) if part is None else (part[axis].start, part[axis].stop)
        front = np.moveaxis(result, axis + 1, 0)
        columns = np.ascontiguousarray(front).reshape(len(front), -1)
        moved = (_weights(n_in, n_out, *rows)[1] @ columns).reshape(-1, *front.shape[1:])
        result = np.moveaxis(moved, 0, axis + 1)
    # An array that no axis has changed is still the caller's own.
    return result.copy("C") if np.may_share_memory(result, array) else np.ascontiguousarray(result)


def source_of(in_shape: Sequence[int], out_shape: Sequence[int], part: Sequence[slice]) -> tuple[slice, ...]:
    """What of an array's spatial axes ``part`` of its resampled form is made from: every value there is a
    weighted mean of these."""
    return tuple(
        span if n_in == n_out else _weights(n_in, n_out, span.start, span.stop)[0]
        for n_in, n_out, span in zip(in_shape, out_shape, part, strict=True)
    )


@lru_cache(maxsize=1024)
def _weights(n_in: int, n_out: int, start: int, stop: int) -> tuple[slice, sparse.csr_matrix]:
    """Rows ``start`` to ``stop`` of an axis's matrix, without the columns that are 0 at its ends; and which
    columns are left."""
    rows = _matrix(n_in, n_out)[start:stop]
    first, last = int(rows.indices.min()), int(rows.indices.max()) + 1
    return slice(first, last), rows[:, first:last]


@lru_cache(maxsize=256)
def _matrix(n_in: int, n_out: int) -> sparse.csr_matrix:
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
