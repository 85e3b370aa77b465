"""A volume: an array with the geometry that ties its voxels to the patient, and where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Source:
    """Where a volume came from; what a writer needs to give the same kind of file back."""

    path: Path | None = None
    format: str = "array"  # "nifti", "nrrd", "mha", "png", "tiff", "hdf5", "array"
    header: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Volume:
    """An image or label with its geometry.

    Parameters
    ----------
    array
        ``(C, X, Y, Z)`` or, in 2D, ``(C, X, Y)``; any integer or float dtype. Axes are the file's own.
    affine
        ``(4, 4)`` float64: homogeneous voxel index -> mm in RAS+ (right, anterior, superior grow). In 2D the
        third column is a unit vector nobody reads.
    source
        Where it came from.
    """

    array: np.ndarray
    affine: np.ndarray
    source: Source = field(default_factory=Source)

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial shape, ``(X, Y[, Z])``."""
        return tuple(self.array.shape[1:])

    @property
    def dims(self) -> int:
        """2 or 3."""
        return self.array.ndim - 1

    @property
    def channels(self) -> int:
        return int(self.array.shape[0])

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Distance between neighbouring voxels along each axis, in mm."""
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, : self.dims], axis=0))
