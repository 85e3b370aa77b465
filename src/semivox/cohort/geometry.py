"""The grid of a file: shape, channels, affine and dtype without its voxels, and when two grids are one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

# Two grids are one when no corner voxel of one lies further than this part of a voxel edge from its twin.
# Headers store geometry in single precision or decimals, so copies of one grid differ by about 1e-4.
TOLERANCE = 0.05


@dataclass(frozen=True)
class Geometry:
    """What a header says. ``shape`` is (X, Y[, Z]), ``affine`` (4, 4) as in Volume, ``dtype`` as read."""

    shape: tuple[int, ...]
    channels: int
    affine: np.ndarray
    dtype: np.dtype

    @property
    def dims(self) -> int:
        """2 or 3."""
        return len(self.shape)

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Distance between neighbouring voxels along each axis, in mm."""
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, : self.dims], axis=0))


def grid_difference(
    shape: tuple[int, ...], affine: np.ndarray, other_shape: tuple[int, ...], other_affine: np.ndarray
) -> str | None:
    """None if both are one grid, else what differs, in words (shape, spacing, or place in mm)."""
    if tuple(shape) != tuple(other_shape):
        return f"shape {tuple(shape)} against {tuple(other_shape)}"
    dims = len(shape)
    corners = np.array(
        [[*corner, *([0] * (3 - dims)), 1] for corner in product(*[(0, s - 1) for s in shape])]
    )
    apart_mm = np.linalg.norm((corners @ (affine - other_affine).T)[:, :3], axis=1).max()
    spacing, other = (np.linalg.norm(a[:3, :dims], axis=0) for a in (affine, other_affine))
    # "not <=" so that a NaN in a header counts as a difference
    if not apart_mm <= TOLERANCE * min(spacing.min(), other.min()):
        if not np.allclose(spacing, other, rtol=1e-3):
            return f"spacing {_mm(spacing)} mm against {_mm(other)} mm"
        return f"corners up to {apart_mm:.3g} mm apart (origin or direction differ)"
    return None


def _mm(spacing: np.ndarray) -> str:
    return "x".join(f"{s:.4g}" for s in spacing)
