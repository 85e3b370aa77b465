"""Two files of one case on different grids: why, and which remedy does not ruin a correct label.

Resampling a label whose voxels are right and whose header is not shifts it. So the cause is looked for first:
a NIfTI whose sform and qform disagree, a header that was lost, axes that run the other way.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from semivox.cohort.geometry import Geometry, Positioned, grid_difference, same_box, same_shape
from semivox.cohort.volume import edges_of
from semivox.errors import DataError


def grid_error(fault: str, path: Path, grid: Positioned, of: Path, wanted: Positioned) -> DataError | None:
    """None where ``grid``, of the file ``path``, is the grid ``wanted`` of the file ``of``; else the error
    that names what differs, the cause as far as the headers show it, and the remedy."""
    different = grid_difference(grid, wanted)
    if different is None:
        return None
    cause, remedy = _cause(path, grid, of, wanted)
    return DataError(
        fault,
        path=path,
        found=different + ("; " + cause if cause else ""),
        expected=f"the grid of {of.name if of.name != path.name else of}",
        remedy=remedy,
    )


def _cause(path: Path, grid: Positioned, of: Path, wanted: Positioned) -> tuple[str, str]:
    mine, theirs = path.name, of.name
    if mine == theirs:
        mine, theirs = (f"{one.parent.name}/{one.name}" for one in (path, of))
    resample = f"resample {mine} to {theirs} (labels without interpolation)"
    if not same_shape(grid.shape, wanted.shape):
        if sorted(grid.shape) == sorted(wanted.shape):
            return (
                "the axes may be in another order",
                f"turn {mine} to the axes of {theirs}, or " + resample,
            )
        return "", resample
    copy = f"copy the header of {theirs} to {mine} and leave its voxels (fslcpgeom, or nibabel)"
    for my_form, one in _forms(path, grid):
        for their_form, other in _forms(of, wanted):
            if grid_difference(one, other) is None:
                return (
                    f"the {my_form} of {mine} and the {their_form} of {theirs} are one grid, but "
                    "a sform and a qform disagree, of which programs take one or the other"
                ), copy
    if _is_identity(grid):
        return "the header says 1 mm voxels at 0, as programs write that were given none", copy
    if grid.placed and wanted.placed and len(grid.shape) == len(wanted.shape) and same_box(grid, wanted):
        turn = f"turn {mine} to the axes of {theirs} (a copied header would mirror it)"
        return "the same box, with axes that run another way", turn
    return "", f"if it was drawn on {theirs}, {copy}; if on another grid, {resample}"


def _forms(path: Path, grid: Positioned) -> Iterator[tuple[str, Positioned]]:
    """The grids that a file may mean: those of sform and qform where it is a NIfTI that has both."""
    if path.name.lower().endswith((".nii", ".nii.gz")):
        from semivox.cohort.nifti import affines_of_file

        for name, affine in affines_of_file(path).items():
            yield (
                name,
                Geometry(tuple(grid.shape), 1, affine, np.dtype(np.uint8), grid.spacing_status, grid.placed),
            )
    else:
        yield "header", grid


def _is_identity(grid: Positioned) -> bool:
    dims = len(grid.shape)
    axes = grid.affine[:3, :dims]
    ones = np.allclose(edges_of(grid.affine, dims), 1) and np.allclose(np.abs(axes), np.eye(3)[:, :dims])
    return bool(ones and np.allclose(grid.affine[:dims, 3], 0))
