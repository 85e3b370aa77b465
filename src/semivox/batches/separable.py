"""Separable linear maps: one small matrix an axis, so that blurring and spline fields are matrix products."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from semivox.devices import CPU


def along_axes(x: Tensor, matrices: Sequence[Tensor | None]) -> Tensor:
    """Apply ``matrices[d]`` (out, in) along spatial axis d of ``x`` (C, X, Y[, Z]); None leaves an axis."""
    for axis in reversed(range(len(matrices))):
        matrix = matrices[axis]
        if matrix is None:
            continue
        shape = list(x.shape)
        if axis == len(matrices) - 1:
            x = x @ matrix.T
        else:
            lead = x.shape[: axis + 1].numel()
            x = torch.matmul(matrix, x.reshape(lead, shape[axis + 1], -1))
        shape[axis + 1] = matrix.shape[0]
        x = x.reshape(shape)
    return x


def gaussian_matrix(size: int, sigma: float, device: torch.device = CPU) -> Tensor:
    """Gaussian blur along an axis, (size, size); ``sigma`` in voxels, rows sum to 1 at the edges too."""
    index = torch.arange(size, dtype=torch.float32, device=device)
    weights = torch.exp(-0.5 * ((index[:, None] - index[None, :]) / sigma) ** 2)
    return weights / weights.sum(1, keepdim=True)


def coarsening_matrix(size: int, factor: float, device: torch.device = CPU) -> Tensor:
    """Average into about ``size / factor`` cells along an axis and interpolate back, (size, size)."""
    coarse = max(1, round(size / factor))
    edges = torch.arange(coarse + 1, dtype=torch.float32, device=device) * (size / coarse)
    index = torch.arange(size, dtype=torch.float32, device=device)
    overlap = torch.minimum(edges[1:, None], index + 1) - torch.maximum(edges[:-1, None], index)
    down = overlap.clamp(min=0) / (size / coarse)  # (coarse, size)
    position = ((index + 0.5) * coarse / size - 0.5).clamp(0, coarse - 1)
    cells = torch.arange(coarse, device=device)
    up = (1 - (position[:, None] - cells).abs()).clamp(min=0)  # (size, coarse)
    return up @ down


def spline_matrix(size: int, cell: float, device: torch.device = CPU) -> Tensor:
    """Uniform cubic B-spline along an axis, (size, controls): control points ``cell`` voxels apart.

    The number of control points is that of :func:`spline_controls`.
    """
    u = torch.arange(size, dtype=torch.float32, device=device) / cell
    controls = torch.arange(spline_controls(size, cell), device=device) - 1
    distance = (u[:, None] - controls).abs()
    inner = 2 / 3 - distance**2 + distance**3 / 2
    outer = (2 - distance).clamp(min=0) ** 3 / 6
    return torch.where(distance < 1, inner, outer)


def spline_controls(size: int, cell: float) -> int:
    """How many cubic B-spline control points cover ``size`` voxels."""
    return int((size - 1) / cell) + 4
