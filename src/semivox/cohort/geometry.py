"""The grid of a file: shape, channels, affine and dtype without its voxels, and when two grids are one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Protocol

import numpy as np

from semivox.cohort.volume import SpacingStatus, edges_of

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


@dataclass(frozen=True)
class Geometry:
    """What a header says. ``shape`` is (X, Y[, Z]), ``affine`` (4, 4) and ``spacing_status`` as in Volume,
    ``dtype`` as read."""

    shape: tuple[int, ...]
    channels: int
    affine: np.ndarray
    dtype: np.dtype
    spacing_status: SpacingStatus = "known"

    @property
    def dims(self) -> int:
        """2 or 3."""
        return len(self.shape)

    @property
    def voxel_edges(self) -> tuple[float, ...]:
        """Distance between neighbours along each axis: in mm where spacing is known, else relative."""
        return edges_of(self.affine, self.dims)

    @property
    def spacing_mm(self) -> tuple[float, ...] | None:
        """:attr:`voxel_edges` in mm; None where spacing is not known."""
        return self.voxel_edges if self.spacing_status == "known" else None


def grid_difference(one: Positioned, other: Positioned) -> str | None:
    """None if both are one grid, else what differs, in words (shape, spacing, or place in mm).

    Where only one of them knows its spacing, or one knows nothing, their shapes are all that can differ.
    """
    if tuple(one.shape) != tuple(other.shape):
        return f"shape {tuple(one.shape)} against {tuple(other.shape)}"
    if one.spacing_status != other.spacing_status or one.spacing_status == "unknown":
        return None
    dims = len(one.shape)
    corners = np.array(
        [[*corner, *([0] * (3 - dims)), 1] for corner in product(*[(0, s - 1) for s in one.shape])]
    )
    apart_mm = np.linalg.norm((corners @ (one.affine - other.affine).T)[:, :3], axis=1).max()
    edges, others = (np.array(edges_of(grid.affine, dims)) for grid in (one, other))
    # "not <=" so that a NaN in a header counts as a difference
    if not apart_mm <= TOLERANCE * min(edges.min(), others.min()):
        if not np.allclose(edges, others, rtol=1e-3, atol=0):
            return f"spacing {_mm(edges)} mm against {_mm(others)} mm"
        return f"corners up to {apart_mm:.3g} mm apart (origin or direction differ)"
    return None


def _mm(spacing: np.ndarray) -> str:
    return "x".join(f"{s:.4g}" for s in spacing)
