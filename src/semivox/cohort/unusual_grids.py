"""Grids that can be read and are odd: a spacing far from that of the others, axes not at right angles, NIfTIs
whose two affines disagree, files that do not tell which way their axes run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from semivox.cohort.claims import SMALL, gib
from semivox.cohort.geometry import Geometry, grid_difference, is_sheared
from semivox.cohort.volume import Volume
from semivox.errors import DataError
from semivox.machine import case_bytes

FAR = 9.5
"""Times the median of the cohort, or a part of it: a wrong unit is off by 10 or 1000. Slices of 0.5 and of 5
mm lie both within it in a cohort of 1 to 3 mm."""
FARTHEST = 100.0
"""The same, where no scan is believed any more."""
FEWEST_CASES = 3


class Edged(Protocol):
    """A Volume, or a Geometry read from a header."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def voxel_edges(self) -> tuple[float, ...]: ...

    @property
    def spacing_mm(self) -> tuple[float, ...] | None: ...


def far_spacings(
    grids: Mapping[str, Geometry], paths: Mapping[str, Path], planes: int = 1
) -> Iterator[tuple[Literal["error", "warning"], str, DataError]]:
    """Cases with a voxel edge far from the cohort's median, by size and not by axis: an error where it is too
    far, or where ``planes`` of numbers on a grid of the median spacing need more memory than a scan may."""
    edges = {name: sorted(grid.spacing_mm) for name, grid in grids.items() if grid.spacing_mm is not None}
    for dims in (2, 3):
        alike = {name: values for name, values in edges.items() if len(values) == dims}
        if not alike:
            continue
        median = np.median(list(alike.values()), axis=0)
        for name in alike:
            path, grid = paths[name], grids[name]
            voxels = math.prod(grid.shape) * math.prod(alike[name]) / math.prod(median)
            error = too_far(path, grid, median) or too_large(path, grid, voxels, median, planes)
            if error is not None:
                yield "error", name, error
            elif len(alike) >= FEWEST_CASES and _times(alike[name], median) > FAR:
                yield "warning", name, _far(path, grid, median)


def too_far(path: Path | None, grid: Edged, median: Sequence[float] | np.ndarray) -> DataError | None:
    """The error for a grid whose spacing is a hundred times that of its cohort, or a hundredth: no scan of
    the same kind is, and one voxel would become a million. None for others, and where spacing is not known.
    """
    if grid.spacing_mm is None or _times(grid.spacing_mm, median) <= FARTHEST:
        return None
    return _far(path, grid, median)


def too_large(
    path: Path | None, grid: Edged, voxels: float, spacing: Sequence[float] | np.ndarray, planes: int
) -> DataError | None:
    """The error for a grid that becomes so many ``voxels`` at the working ``spacing`` that ``planes`` float32
    numbers of each, and as many again on the way, are more than a scan may take of the memory."""
    needed = voxels * planes * 8
    if needed <= SMALL or needed <= (limit := case_bytes()):
        return None
    return DataError(
        "the scan becomes too large at the spacing of the cohort",
        path=path,
        found=f"{_by(grid.shape)} voxels of {_by(grid.voxel_edges)}, which are {voxels:.3g} voxels of "
        f"{_by(spacing)} (the cohort's) and need {gib(needed)}",
        expected=f"at most {gib(limit)}",
        remedy="look at the header: a wrong unit, or a lost spacing? Else cut the scan, free memory, or "
        "allow more with SEMIVOX_CASE_MEMORY=24GiB",
    )


def _times(edges: Sequence[float], median: Sequence[float] | np.ndarray) -> float:
    """By how much the edge that is farthest from the median is larger or smaller; by size, not by axis."""
    pairs = zip(sorted(edges), sorted(map(float, median)), strict=True)
    return max(max(edge / usual, usual / edge) for edge, usual in pairs)


def _far(path: Path | None, grid: Edged, median: Sequence[float] | np.ndarray) -> DataError:
    return DataError(
        "the spacing is far from that of the other cases",
        path=path,
        found=f"voxels of {_by(grid.spacing_mm or ())} mm",
        expected=f"about {_by(np.sort(median))} mm (the cohort's median, edges by size)",
        remedy="look at the header: a wrong unit, or a lost spacing? Leave the case out if it cannot be "
        "mended (use=no in cases.csv)",
    )


def sheared_grids(root: Path, grids: Mapping[str, Geometry]) -> Iterator[DataError]:
    """One warning for all cases whose axes are not at right angles."""
    names = [name for name, grid in grids.items() if is_sheared(grid.affine, grid.dims)]
    if names:
        yield DataError(
            "the axes of some scans are not at right angles (a tilted gantry?)",
            path=root,
            found=_some(names),
            expected="right angles; volumes and distances are right, but a network sees upright voxels",
            remedy="resample scan and label to an upright grid, if the tilt is large",
        )


def mixed_places(root: Path, grids: Mapping[str, Geometry]) -> Iterator[DataError]:
    """One warning where some scans tell which way their axes run and others do not: the others are read as
    their format has it where nothing is said, which may be mirrored."""
    solid = {name: grid.placed for name, grid in grids.items() if grid.dims == 3}
    if len(set(solid.values())) == 2:
        yield DataError(
            "some scans do not tell which way their axes run, others do",
            path=root,
            found=f"nothing told by {_some([name for name, placed in solid.items() if not placed])}",
            expected="all scans the same way round: left and right may change places else",
            remedy="put the affine of the source into them, or leave them out (use=no in cases.csv)",
        )


def runs_otherwise(path: Path, scan: Geometry, label: Geometry) -> DataError | None:
    """The warning for a ``label`` that tells which way its axes run where the ``scan``, which does not, is
    read the other way round. Voxel for voxel they belong together."""
    if scan.placed or not label.placed or scan.dims != 3 or label.dims != 3:
        return None
    read, told = (axes[:3, :3] / np.linalg.norm(axes[:3, :3], axis=0) for axes in (scan.affine, label.affine))
    if np.abs(read - told).max() < 0.1:
        return None
    return DataError(
        "the scan does not tell which way its axes run, and its label tells another way than it is read",
        path=path,
        found=f"the scan is read as {_letters(scan)}, the label tells {_letters(label)}",
        expected="one way: left and right may change places beside other scans",
        remedy="copy the label's affine into the scan",
    )


def _letters(grid: Geometry) -> str:
    from nibabel.orientations import aff2axcodes

    return "".join(aff2axcodes(grid.affine))


def two_forms(root: Path, names: Sequence[str]) -> Iterator[DataError]:
    """One warning for all cases of which :func:`forms_disagree`."""
    if names:
        yield DataError(
            "sform and qform of some scans disagree; the sform is read",
            path=root,
            found=_some(names),
            expected="one place: programs that read the qform see these scans elsewhere",
            remedy="make them agree (for example nibabel's set_qform with the right affine)",
        )


def forms_disagree(volume: Volume) -> bool:
    """Whether a NIfTI's sform and qform are both filled in and are two grids."""
    header = volume.source.header.get("nifti")
    if header is None:
        return False
    from semivox.cohort.nifti import second_affine

    affine = second_affine(header)
    if affine is None:
        return False
    second = Geometry(volume.shape, 1, affine, volume.array.dtype, volume.spacing_status)
    return grid_difference(volume, second) is not None


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _by(edges: Sequence[float] | np.ndarray) -> str:
    return "x".join(f"{edge:.4g}" for edge in edges)
