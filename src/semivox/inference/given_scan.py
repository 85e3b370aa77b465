"""What :meth:`semivox.inference.Predictor.predict` is given: the paths of a scan, or a Volume made by hand,
which no reader has looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from semivox.cohort import Case, Volume, edges_of, read_case
from semivox.errors import DataError

Scan = str | Path | Volume | Sequence[str | Path]

VOLUME = "semivox.Volume(array, affine), with array (C, X, Y[, Z]) and affine (4, 4)"
LEAST_TURN = 1e-6
"""Of the smallest singular value of an affine's directions: below it two axes are one."""


def volume_of(scan: Scan) -> Volume:
    """The scan, read where it is given by its paths. Raises DataError for what is none, or cannot be read."""
    if isinstance(scan, Volume):
        return scan
    paths: Any = [scan] if isinstance(scan, str | Path) else scan
    if not isinstance(paths, Sequence) or not all(isinstance(path, str | Path) for path in paths):
        raise DataError(
            "this is no scan",
            found=_kind(scan),
            expected="a path, the paths of its channels in the order of training, or a Volume",
            remedy=f"make a Volume of an array: {VOLUME}",
        )
    if not paths:
        raise DataError(
            "this is no scan", found="no path", expected="a path for each channel, in the order of training"
        )
    return read_case(Case(Path(paths[0]).name, tuple(map(Path, paths))))


def check_volume(volume: Volume) -> None:
    """Raise DataError where ``volume`` is not what its class says it is."""
    array, affine, path = volume.array, volume.affine, volume.source.path
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise DataError(
            "the scan's voxels are no real numbers",
            path=path,
            found=f"an array of {array.dtype}" if isinstance(array, np.ndarray) else _kind(array),
            expected="a numpy array of integers or floats",
            remedy="of complex numbers give np.abs(array); of another array np.asarray(array)",
        )
    if array.ndim > 1 and not array.size:
        raise DataError(
            "the scan has no voxels", path=path, found=f"shape {array.shape}", expected="no axis of length 0"
        )
    if wrong := _wrong_affine(affine, min(volume.dims, 3)):
        raise DataError(
            "the affine does not tell where the voxels lie",
            path=path,
            found=wrong,
            expected="(4, 4) finite numbers: voxel edges and directions in mm, and 0 0 0 1 below them",
            remedy="give the file's, such as nibabel's image.affine; where nothing is known "
            'np.eye(4) with spacing_status="unknown"',
        )


def _wrong_affine(affine: Any, dims: int) -> str | None:
    """What is wrong with it; more or fewer dimensions than 3 or 2 are for others to refuse."""
    if not isinstance(affine, np.ndarray) or affine.shape != (4, 4) or affine.dtype.kind not in "iuf":
        return _kind(affine)
    if not np.isfinite(affine).all():
        return "numbers that are not finite"
    if not np.allclose(affine[3], (0, 0, 0, 1)):
        return f"a last row of {' '.join(f'{x:g}' for x in affine[3])}"
    edges = edges_of(affine, max(0, dims))
    if not all(0 < edge < np.inf for edge in edges):
        return f"voxels of {' x '.join(f'{edge:g}' for edge in edges)} mm"
    turns = affine[:3, : len(edges)] / np.array(edges)
    if np.linalg.svd(turns, compute_uv=False).min(initial=1) < LEAST_TURN:
        return "two axes of one direction"
    return None


def _kind(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and {value.dtype}"
    if isinstance(value, list | tuple):
        kinds = dict.fromkeys(type(each).__name__ for each in value)
        return f"a {type(value).__name__} of {', '.join(kinds)}"
    return f"{type(value).__name__}"
