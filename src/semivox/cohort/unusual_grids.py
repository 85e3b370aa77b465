"""Grids that can be read and are odd: a spacing far from that of the others, axes not at right angles, NIfTIs
whose two affines disagree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from semivox.cohort.geometry import Geometry, grid_difference, is_sheared
from semivox.cohort.volume import Volume
from semivox.errors import DataError

FAR = 9.5
"""Times the median of the cohort, or a part of it: a wrong unit is off by 10 or 1000. Slices of 0.5 and of 5
mm lie both within it in a cohort of 1 to 3 mm."""
FEWEST_CASES = 3


def far_spacings(grids: Mapping[str, Geometry], paths: Mapping[str, Path]) -> Iterator[tuple[str, DataError]]:
    """Cases with a voxel edge far from the cohort's median; edges are compared by size, not by axis."""
    edges = {name: sorted(grid.spacing_mm) for name, grid in grids.items() if grid.spacing_mm is not None}
    for dims in (2, 3):
        alike = {name: np.array(values) for name, values in edges.items() if len(values) == dims}
        if len(alike) < FEWEST_CASES:
            continue
        median = np.median(list(alike.values()), axis=0)
        for name, values in alike.items():
            if (values > FAR * median).any() or (values * FAR < median).any():
                yield (
                    name,
                    DataError(
                        "the spacing is far from that of the other cases",
                        path=paths[name],
                        found=f"voxels of {_by(grids[name].spacing_mm or ())} mm",
                        expected=f"about {_by(median)} mm (the cohort's median, edges by size)",
                        remedy="look at the header: a wrong unit, or a lost spacing? Leave the case out if "
                        "it cannot be mended (use=no in cases.csv)",
                    ),
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
    from semivox.cohort.nifti import affines_of

    grids = [
        Geometry(volume.shape, 1, affine, volume.array.dtype, volume.spacing_status)
        for affine in affines_of(header).values()
    ]
    return len(grids) == 2 and grid_difference(*grids) is not None


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _by(edges: Sequence[float] | np.ndarray) -> str:
    return "x".join(f"{edge:.4g}" for edge in edges)
