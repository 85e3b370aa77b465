"""A volume: an array with the geometry that ties its voxels to the patient, and where it came from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from semivox.errors import DataError

SpacingStatus = Literal["known", "nominal", "unknown"]
"""What a file tells of its spacing. "known": lengths in mm. "nominal": the ratio of the axes only, or numbers
that are not to be trusted. "unknown": nothing. Only known spacing is ever a number of millimetres."""


NOTES = "notes"
"""Key of a source's header: what a person should know of the scan."""


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
        third column is a unit vector nobody reads. Where spacing is not known its lengths are relative, and
        voxels that nothing is known of have edges of 1.
    source
        Where it came from.
    spacing_status
        Whether the affine's lengths are mm.
    placed
        Whether the file tells where the voxels lie and which way the axes run. If not, the affine's lengths
        are all that counts.
    """

    array: np.ndarray
    affine: np.ndarray
    source: Source = field(default_factory=Source)
    spacing_status: SpacingStatus = "known"
    placed: bool = True

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
    def is_colour(self) -> bool:
        """Whether the channels are red, green and blue of one picture."""
        return self.dims == 2 and self.channels == 3

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the scan, such as a tilted gantry."""
        return tuple(self.source.header.get(NOTES, ()))

    @property
    def voxel_edges(self) -> tuple[float, ...]:
        """Distance between neighbours along each axis: in mm where spacing is known, else relative."""
        return edges_of(self.affine, self.dims)

    @property
    def spacing_mm(self) -> tuple[float, ...] | None:
        """:attr:`voxel_edges` in mm; None where spacing is not known."""
        return self.voxel_edges if self.spacing_status == "known" else None


def not_finite(volume: Volume) -> DataError | None:
    """What is wrong where intensities are NaN or infinite: no mean, median or network survives them."""
    bad = int(np.count_nonzero(~np.isfinite(volume.array))) if volume.array.dtype.kind == "f" else 0
    if not bad:
        return None
    return DataError(
        "the image holds NaN or infinity",
        path=volume.source.path,
        found=f"{bad} of {volume.array.size} voxels",
        expected="finite numbers",
        remedy="replace them (0, or the value of air), or leave the scan out (use=no in cases.csv)",
    )


def refuse_not_finite(volume: Volume) -> None:
    """Raise DataError where :func:`not_finite` finds something."""
    if (fault := not_finite(volume)) is not None:
        raise fault


def edges_of(affine: np.ndarray, dims: int) -> tuple[float, ...]:
    """The lengths of an affine's first ``dims`` columns."""
    # plain numbers: arrays of three take several times as long
    return tuple(math.sqrt(x * x + y * y + z * z) for x, y, z in affine[:3, :dims].T.tolist())
