"""Smooth free-form deformation of crops: a cubic B-spline field over a coarse control grid (Rueckert et al.,
IEEE TMI 1999), drawn apart from its application."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from semivox.batches.augmentation import Augmentation, thick_axes
from semivox.batches.separable import along_axes, spline_controls, spline_matrix
from semivox.devices import CPU, send
from semivox.randomness import Key

LARGEST = 0.4  # of a cell: below about this, a cubic B-spline deformation does not fold


@dataclass(frozen=True)
class ElasticParameters:
    """``controls`` (dims, n0, n1[, n2]) float32: displacements in voxels; ``cell``: voxels between them."""

    controls: np.ndarray
    cell: tuple[float, ...]

    @property
    def largest(self) -> np.ndarray:
        """(dims,) bound of the displacement along each axis, in voxels (spline weights are convex)."""
        bound: np.ndarray = np.abs(self.controls).reshape(len(self.controls), -1).max(1)
        return bound

    def field(self, patch: tuple[int, ...], device: torch.device = CPU) -> Tensor:
        """(dims, X, Y[, Z]) float32 displacement of every voxel of the patch, in voxels of the scan."""
        matrices = [spline_matrix(size, cell, device) for size, cell in zip(patch, self.cell, strict=True)]
        return along_axes(send(torch.from_numpy(self.controls), device), matrices)


def draw_elastic(
    key: Key, augmentation: Augmentation, patch: tuple[int, ...], spacing: tuple[float, ...]
) -> ElasticParameters | None:
    """Draw a deformation of one crop, or None where there is none. Nothing moves along thick axes."""
    if not augmentation.enabled:
        return None
    random = (key / "elastic").numpy()
    if random.random() >= augmentation.elastic_probability or augmentation.elastic_amplitude == 0:
        return None
    extent = max(p * s for p, s in zip(patch, spacing, strict=True))
    cell_units = extent / augmentation.elastic_cells
    cell = tuple(cell_units / s for s in spacing)
    amplitude = random.uniform(0, augmentation.elastic_amplitude)
    counts = tuple(spline_controls(p, c) for p, c in zip(patch, cell, strict=True))
    controls = (amplitude * random.standard_normal((len(patch), *counts))).clip(-LARGEST, LARGEST)
    for axis, thick in enumerate(thick_axes(spacing)):
        controls[axis] *= 0.0 if thick else cell[axis]
    return ElasticParameters(controls.astype(np.float32), cell)
