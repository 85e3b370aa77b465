"""The grid of a file: shape, channels, affine and dtype without its voxels, and when two grids are one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import mul
from pathlib import Path
from typing import Protocol

import numpy as np

from semivox.cohort.volume import SpacingStatus, Volume, edges_of
from semivox.errors import DataError

# Two grids are one when no corner voxel of one lies further than this part of a voxel edge from its twin.
# Headers store geometry in single precision or decimals, so copies of one grid differ by about 1e-4.
TOLERANCE = 0.05


def cohort_spacing(believed: bool, statuses: Iterable[SpacingStatus]) -> SpacingStatus:
    """What is known of the spacing of a cohort: as little as of its scan that tells least, and at most
    "nominal" where ``dataset.json`` says that headers are not to be ``believed``."""
    told = set(statuses)
    if "unknown" in told:
        return "unknown"
    return "known" if believed and "nominal" not in told else "nominal"


class Positioned(Protocol):
    """Anything with a spatial shape and an affine: a Volume, or a Geometry read from a header."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def affine(self) -> np.ndarray: ...

    @property
    def spacing_status(self) -> SpacingStatus: ...

    @property
    def placed(self) -> bool: ...


@dataclass(frozen=True)
class Geometry:
    """What a header says. ``shape`` is (X, Y[, Z]), ``affine`` (4, 4), ``spacing_status`` and ``placed``
    as in Volume, ``dtype`` as read."""

    shape: tuple[int, ...]
    channels: int
    affine: np.ndarray
    dtype: np.dtype
    spacing_status: SpacingStatus = "known"
    placed: bool = True

    @property
    def dims(self) -> int:
        """2 or 3."""
        return len(self.shape)

    @cached_property
    def voxel_edges(self) -> tuple[float, ...]:
        """Distance between neighbours along each axis: in mm where spacing is known, else relative."""
        return edges_of(self.affine, self.dims)

    @property
    def spacing_mm(self) -> tuple[float, ...] | None:
        """:attr:`voxel_edges` in mm; None where spacing is not known."""
        return self.voxel_edges if self.spacing_status == "known" else None


def same_shape(one: Sequence[int], other: Sequence[int]) -> bool:
    """Equal but for trailing axes of length 1, which are no axes: some programs add or drop them."""
    longest = max(len(one), len(other))
    return _padded(one, longest) == _padded(other, longest)


def grid_difference(one: Positioned, other: Positioned) -> str | None:
    """None if both are one grid, else what differs, in words (shape, spacing, or place in mm).

    Where only one of them knows its spacing, or one knows nothing, their shapes are all that can differ. A
    grid without a place, or a 2D file beside a 3D one of one slice, can differ in shape and spacing.
    """
    if not same_shape(one.shape, other.shape):
        return f"shape {tuple(one.shape)} against {tuple(other.shape)}"
    if one.spacing_status != other.spacing_status or one.spacing_status == "unknown":
        return None
    if _surely_one(one, other):
        return None
    dims = min(len(one.shape), len(other.shape))
    edges, others = (np.array(edges_of(grid.affine, dims)) for grid in (one, other))
    long = np.array(one.shape[:dims]) > 1
    other_edges = f"spacing {_mm(edges)} mm against {_mm(others)} mm"
    if not one.placed or not other.placed or len(one.shape) != len(other.shape):
        return None if np.allclose(edges[long], others[long], rtol=1e-3, atol=0) else other_edges
    apart = _corners(one) - _corners(other)
    if dims == 2 and not (_tells_z(one) and _tells_z(other)):
        apart = apart[:, :2]
    apart_mm = np.linalg.norm(apart, axis=1).max()
    # "not <=" so that a NaN in a header counts as a difference
    if not apart_mm <= TOLERANCE * min(edges.min(), others.min()):
        if not np.allclose(edges, others, rtol=1e-3, atol=0):
            return other_edges
        return f"corners up to {apart_mm:.3g} mm apart (origin or direction differ)"
    return None


def _surely_one(one: Positioned, other: Positioned) -> bool:
    """Whether no corner can lie further from its twin than the tolerance allows, by a bound on the distance:
    of most pairs of files this tells all, in a tenth of the time. False for NaN."""
    if not one.placed or not other.placed or len(one.shape) != len(other.shape):
        return False
    dims = len(one.shape)
    *apart, origins = edges_of(one.affine - other.affine, 4)
    bound = origins + sum(step * (extent - 1) for step, extent in zip(apart, one.shape, strict=False))
    return bound <= TOLERANCE * min(*edges_of(one.affine, dims), *edges_of(other.affine, dims))


def padded_onto(volume: Volume, grid: Positioned) -> Volume:
    """A label on the whole of ``grid`` where it is a box of its voxels, with 0 around it; else as it is.

    Slicer and writers of DICOM segmentations leave out what is empty.
    """
    dims = len(grid.shape)
    if volume.shape == tuple(grid.shape) or volume.dims != dims or not (volume.placed and grid.placed):
        return volume
    edges = np.array(edges_of(grid.affine, dims))
    long = np.array(volume.shape) > 1
    apart = np.abs((volume.affine - grid.affine)[:3, :dims]).max(axis=0)
    start = np.linalg.solve(grid.affine, volume.affine[:, 3])[:dims]
    first = np.rint(start).astype(int)
    end = first + volume.shape
    # over the whole length: a small difference of steps adds up
    if (apart * volume.shape > TOLERANCE * edges)[long].any() or np.abs(start - first).max() > TOLERANCE:
        return volume
    if (first < 0).any() or (end > grid.shape).any():
        return volume
    whole = np.zeros((volume.channels, *grid.shape), volume.array.dtype)
    whole[(slice(None), *map(slice, first, end))] = volume.array
    return replace(volume, array=whole, affine=np.array(grid.affine))


def same_box(one: Positioned, other: Positioned) -> bool:
    """Whether two grids have the same corners, in whatever order: their axes are turned, not their place."""
    tolerance = TOLERANCE * min(edges_of(one.affine, len(one.shape)))
    apart = np.linalg.norm(_corners(one)[:, None] - _corners(other)[None], axis=2)
    return bool((apart.min(axis=0) <= tolerance).all() and (apart.min(axis=1) <= tolerance).all())


def broken_geometry(affine: np.ndarray, dims: int) -> str | None:
    """What is wrong with an affine, in words: not finite, an edge of 0, or axes that lie in one another."""
    *axes, origin = affine[:3, [*range(dims), 3]].T.tolist()  # plain numbers: arrays of three take longer
    if not all(map(math.isfinite, [*itertools.chain(*axes), *origin])):
        return "NaN or infinity in its affine"
    lengths = edges_of(affine, dims)
    if not all(map(math.isfinite, lengths)) or not all(lengths):
        return f"voxels of {_mm(lengths)}"
    # of the directions: the volume of the axes themselves is as small as the voxels
    first, second, *third = (
        [part / length for part in axis] for axis, length in zip(axes, lengths, strict=True)
    )
    normal = _cross(first, second)
    spanned = abs(sum(map(mul, normal, third[0]))) if third else math.hypot(*normal)
    if spanned < 1e-6:
        return f"axes that do not span {dims} dimensions"
    return None


def _cross(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, float]:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def broken(path: Path, what: str) -> DataError:
    """The error for a file whose geometry is broken."""
    return DataError(
        "the geometry of this file is broken",
        path=path,
        found=what,
        expected="finite axes of a length above 0 that point in different directions",
        remedy="repair its header, for example with that of a file of the same grid, or leave the case out "
        "(use=no in cases.csv)",
    )


def is_sheared(affine: np.ndarray, dims: int) -> bool:
    """Whether the axes are not at right angles, as after a tilt of the gantry (0.06 degrees and more)."""
    axes = zip(affine[:3, :dims].T.tolist(), edges_of(affine, dims), strict=True)
    return any(abs(sum(map(mul, a, b))) > 1e-3 * m * n for (a, m), (b, n) in itertools.combinations(axes, 2))


def _tells_z(grid: Positioned) -> bool:
    """A 2D file of ITK's formats has x and y alone."""
    return bool(grid.affine[2, [0, 1, 3]].any())


def _padded(shape: Sequence[int], dims: int) -> tuple[int, ...]:
    return (*shape, *[1] * (dims - len(shape)))


def _corners(grid: Positioned) -> np.ndarray:
    """(2^d, 3): the centres of the corner voxels in mm."""
    ends = [(0, extent - 1) for extent in grid.shape] + [(0,)] * (3 - len(grid.shape))
    corners = np.array([[*corner, 1] for corner in itertools.product(*ends)])
    return np.asarray((corners @ grid.affine.T)[:, :3])


def _mm(spacing: Iterable[float]) -> str:
    return "x".join(f"{s:.4g}" for s in spacing)
