"""The working grid of one scan: from the file's own axes to the plan's axes and spacing, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semivox.cohort import (
    Geometry,
    Orientation,
    Positioned,
    Volume,
    check_memory,
    edges_of,
    orientation_of,
    too_far,
    too_large,
)
from semivox.prepare.plan import Plan
from semivox.prepare.resample import resample


@dataclass(frozen=True)
class Grid:
    """How one scan lies on the working grid.

    Both grids share one field of view; the working size of an axis is its extent over the planned spacing,
    rounded. ``native_shape`` and ``native_spacing`` are the scan's own in working axis order, ``spacing`` is
    what the rounded size comes to (working units of the plan).
    """

    orientation: Orientation
    native_shape: tuple[int, ...]
    native_spacing: tuple[float, ...]
    working_shape: tuple[int, ...]

    @classmethod
    def of(cls, volume: Positioned, plan: Plan) -> Grid:
        """The grid of ``volume`` under ``plan``; one that does not know its spacing is taken to have the
        plan's native one."""
        measured = plan.spacing_known and volume.spacing_status == "known"
        native = None if measured else plan.native_spacing
        return cls.lay(volume, plan.axes, plan.spacing, native)

    @classmethod
    def lay(
        cls,
        volume: Positioned,
        axes: Sequence[int],
        spacing: Sequence[float],
        native_spacing: Sequence[float] | None = None,
    ) -> Grid:
        """The grid for working ``axes`` and ``spacing``.

        ``native_spacing`` (working axis order) replaces the header's where that is nominal.
        """
        dims = len(volume.shape)
        orientation = orientation_of(volume.affine, dims, tuple(axes))
        shape = orientation.reorder(volume.shape)
        native = tuple(native_spacing or orientation.reorder(edges_of(volume.affine, dims)))
        working = tuple(working_size(n, s, t) for n, s, t in zip(shape, native, spacing, strict=True))
        return cls(orientation, shape, native, working)

    @property
    def spacing(self) -> tuple[float, ...]:
        """The working voxel's size along each working axis."""
        sizes = zip(self.native_shape, self.native_spacing, self.working_shape, strict=True)
        return tuple(n * s / w for n, s, w in sizes)

    def to_working(self, array: np.ndarray) -> np.ndarray:
        """``(C, *file shape)`` -> ``(C, *working_shape)`` float32."""
        return resample(self.orientation.apply(array), self.working_shape)

    def to_native(self, probabilities: np.ndarray) -> np.ndarray:
        """``(K, *working_shape)`` -> ``(K, *file shape)`` float32, in the file's own axes."""
        return np.ascontiguousarray(self.orientation.invert(resample(probabilities, self.native_shape)))


def checked_grid(scan: Volume | Geometry, plan: Plan, path: Path | None) -> Grid:
    """:meth:`Grid.of` a scan of the file ``path``, of which a grid of this size can be made.

    Raises DataError where its spacing is far from that of the plan's cohort, or its voxels, working ones or
    its own as float32, need more memory than there is: before any is asked for.
    """
    check_memory(path, 4 * len(plan.channels) * math.prod(scan.shape))
    error = too_far(path, scan, plan.native_spacing) if plan.spacing_known else None
    grid = Grid.of(scan, plan)
    planes = max(len(plan.channels), len(plan.classes) + 1)
    error = error or too_large(path, scan, math.prod(grid.working_shape), plan.spacing, planes)
    if error is not None:
        raise error
    return grid


def working_size(size: int, native_spacing: float, spacing: float) -> int:
    """Voxels along an axis of ``size * native_spacing`` at ``spacing``; halves round up, never below 1."""
    # Headers hold single precision: the thousandth keeps a half from falling either way by rounding noise.
    return max(1, math.floor(size * native_spacing / spacing + 0.501))
