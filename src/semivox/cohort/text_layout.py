"""What the headers of NRRD and MetaImage have in common: axes, their place, and where the voxels lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from semivox.cohort.voxel_block import Block

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Layout:
    """How a file lies.

    ``sizes`` of the file's axes, fastest first, of which ``channel`` is the channels. ``columns`` (3, d): the
    steps along the spatial axes, and ``origin`` (3,): the first voxel, in LPS and the file's unit.
    """

    sizes: tuple[int, ...]
    channel: int | None
    columns: np.ndarray
    origin: np.ndarray
    block: Block

    def __post_init__(self) -> None:
        if len(self.shape) not in (2, 3) or min(self.sizes) < 1:
            raise ValueError(f"sizes {' '.join(map(str, self.sizes))}")

    @property
    def shape(self) -> tuple[int, ...]:
        """(X, Y[, Z])."""
        return tuple(size for axis, size in enumerate(self.sizes) if axis != self.channel)

    @property
    def channels(self) -> int:
        return 1 if self.channel is None else self.sizes[self.channel]

    def affine(self, mm: float) -> np.ndarray:
        """(4, 4) voxel index -> mm in RAS+, where the file's unit has ``mm`` millimetres."""
        lps = np.eye(4)
        dims = len(self.shape)
        lps[:3, :dims] = self.columns * mm
        lps[:3, 3] = self.origin * mm
        return np.asarray(LPS_TO_RAS @ lps)

    def channels_first(self, array: np.ndarray) -> np.ndarray:
        """Of an array of :attr:`sizes`: ``(C, X, Y[, Z])``."""
        return array[None] if self.channel is None else np.moveaxis(array, self.channel, 0)


def itk_header(affine: np.ndarray, dims: int) -> dict[str, Any]:
    """Origin, spacing and direction (flat) in LPS, as SimpleITK wants them."""
    lps = LPS_TO_RAS @ affine
    spacing = np.linalg.norm(lps[:3, :dims], axis=0)
    return {
        "origin": [float(v) for v in lps[:dims, 3]],
        "spacing": [float(v) for v in spacing],
        "direction": [float(v) for v in (lps[:dims, :dims] / spacing).ravel()],
    }
