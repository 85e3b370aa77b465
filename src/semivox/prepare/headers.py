"""What the headers of a cohort's scans say together: one axis order, one spacing, and the size of each scan.

No voxel is read, so a hundred thousand scans cost a hundred thousand looks at a file's first bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semivox.cohort import (
    Case,
    Cohort,
    Geometry,
    Progress,
    Volume,
    cohort_spacing,
    grid_error,
    orientation_of,
    read_geometry,
    too_far,
    too_large,
)
from semivox.errors import DataError
from semivox.prepare.grid import Grid
from semivox.prepare.parallel import map_cases

SAME_SPACING = 1.05
"""Spacings within this factor count as equal when the coarsest axis is looked for."""


@dataclass(frozen=True)
class Headers:
    """``axes`` and ``native_spacing`` (the median, in working axis order; ratios where spacing is nominal) as
    in the plan. ``sizes``: of each case its native shape and spacing in working axis order. ``untold`` counts
    the cases whose files do not tell their spacing in mm."""

    dims: int
    axes: tuple[int, ...]
    native_spacing: tuple[float, ...]
    spacing_known: bool
    untold: int
    sizes: tuple[tuple[tuple[int, ...], tuple[float, ...]], ...]


def read_headers(
    cohort: Cohort, cases: Sequence[Case], workers: int | None = None, progress: Progress | None = None
) -> Headers:
    """The headers of ``cases``, several at a time.

    Raises DataError for one that cannot be read, another number of channels than the cohort's, channel files
    on different grids, mixed dimensions, and a grid that none of the cohort's spacing can be made of.
    """
    grids = map_cases(lambda case: _grid_of(case, len(cohort.channels)), cases, workers, progress)
    dims = grids[0].dims
    for case, grid in zip(cases, grids, strict=True):
        if grid.dims != dims:
            raise DataError(
                "a cohort's images are all 2D or all 3D",
                path=case.images[0],
                found=f"{grid.dims}D",
                expected=f"{dims}D, like {cases[0].images[0].name}",
                remedy="keep them in two folders",
            )
    statuses = [grid.spacing_status for grid in grids]
    spacing_known = cohort_spacing(cohort.spacing_known, statuses) == "known"
    axes, native_spacing = working_axes(grids, spacing_known)
    planes = max(len(cohort.channels), len(cohort.classes) + 1)
    sizes = []
    for case, grid in zip(cases, grids, strict=True):
        laid = Grid.lay(grid, axes, native_spacing, None if spacing_known else native_spacing)
        if spacing_known:
            _refuse_odd(case, grid, math.prod(laid.working_shape), native_spacing, planes)
        sizes.append((laid.native_shape, laid.native_spacing))
    untold = sum(status != "known" for status in statuses)
    return Headers(dims, axes, native_spacing, spacing_known, untold, tuple(sizes))


def refuse_other_channels(path: Path, found: int, expected: int) -> None:
    """Raise DataError where a case has another number of channels than the cohort."""
    if found != expected:
        raise DataError(
            "an image with other channels than the cohort",
            path=path,
            found=found,
            expected=expected,
            remedy="correct `channel_names` in dataset.json, or the file",
        )


def _grid_of(case: Case, channels: int) -> Geometry:
    """That of a case's first file, on which the others lie."""
    first, *others = grids = [read_geometry(path) for path in case.images]
    refuse_other_channels(case.images[0], sum(grid.channels for grid in grids), channels)
    for path, grid in zip(case.images[1:], others, strict=True):
        error = grid_error("channel files lie on different grids", path, grid, case.images[0], first)
        if error is not None:
            raise error
    return first


def working_axes(
    grids: Sequence[Geometry | Volume], spacing_known: bool
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The axis order of scans, and their median spacing in that order."""
    dims = grids[0].dims
    ras = tuple(range(dims))
    turned = np.array([orientation_of(g.affine, dims, ras).reorder(g.voxel_edges) for g in grids])
    if len({g.spacing_status for g in grids}) > 1:
        turned /= turned.min(1, keepdims=True)  # mm and pixels have no common median, their ratios have
    # six decimals, or as many digits of what is finer than a hundredth
    decimals = 6 if turned.min() >= 0.01 else 6 - math.floor(math.log10(turned.min()))
    median = [float(m) for m in np.round(np.median(turned, axis=0), decimals)]
    if not spacing_known:
        median = [m / min(median) for m in median]
    # The last of the axes that are coarsest: isotropic cohorts keep RAS order.
    last = max(a for a in ras if median[a] * SAME_SPACING >= max(median)) if dims == 3 else dims - 1
    axes = (*(a for a in ras if a != last), last)
    return axes, tuple(median[a] for a in axes)


def _refuse_odd(
    case: Case, grid: Geometry, voxels: int, native_spacing: tuple[float, ...], planes: int
) -> None:
    """Raise DataError where no grid of the cohort's spacing, of ``voxels``, can be made of a case."""
    path = case.images[0]
    error = too_far(path, grid, native_spacing) or too_large(path, grid, voxels, native_spacing, planes)
    if error is not None:
        raise error
