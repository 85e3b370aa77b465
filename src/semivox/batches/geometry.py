"""Where a crop lies in a scan, and how it is cut: place, affine and elastic change are one sampling grid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from semivox.batches.affine import AffineParameters, draw_affine
from semivox.batches.augmentation import Augmentation
from semivox.batches.elastic import ElasticParameters, draw_elastic
from semivox.batches.source import CropCase
from semivox.batches.stream import Where
from semivox.devices import CPU, send
from semivox.randomness import Key


@dataclass(frozen=True)
class CropGeometry:
    """Where the voxels of a crop lie in the scan: rotated, scaled, mirrored and bent about its centre.

    ``start``: first voxel of the unrotated box (negative where it begins outside the scan); ``patch``: size
    in voxels; ``spacing``: of the scan, any unit.
    """

    start: tuple[int, ...]
    patch: tuple[int, ...]
    spacing: tuple[float, ...]
    affine: AffineParameters
    elastic: ElasticParameters | None = None

    @property
    def box(self) -> np.ndarray:
        """(dims, 2) start and stop of the unrotated box, voxels."""
        return np.array([(s, s + p) for s, p in zip(self.start, self.patch, strict=True)])


def draw_geometry(
    key: Key,
    augmentation: Augmentation,
    case: CropCase,
    where: Where,
    foreground: Mapping[int, np.ndarray],
    patch: tuple[int, ...],
    known: np.ndarray | None = None,
) -> CropGeometry:
    """Draw one crop of ``case``; ``foreground``: class index -> (n, dims) voxels it may be centred on;
    ``known``: (n, dims) voxels of which one takes the place of a random one, None: any may be."""
    spacing = tuple(float(s) for s in case.spacing)
    return CropGeometry(
        start=draw_start(key, where, case.image.shape[1:], patch, foreground, case.body, known),
        patch=patch,
        spacing=spacing,
        affine=draw_affine(key, augmentation, spacing),
        elastic=draw_elastic(key, augmentation, patch, spacing),
    )


def cut(
    planes: Sequence[np.ndarray],
    geometry: CropGeometry,
    margin: tuple[int, ...] | None = None,
    mark_inside: bool = True,
    device: torch.device = CPU,
) -> tuple[Tensor, Tensor | None]:
    """Sample ``planes`` (each (C_i, X, Y[, Z]), same grid, any dtype) at the geometry's voxels.

    Returns the samples, (sum of C_i, patch + 2 margin) float32, linearly interpolated, 0 outside the scan;
    and (1, ...) float32 that is 1 inside the scan and 0 outside, or None where all of the crop lies inside
    or ``mark_inside`` is False.
    ``margin`` voxels are added on every side without moving the crop's own voxels. Crops that need no
    interpolation are copied exactly. ``device`` is where the work is done and the samples are.
    """
    margin = margin or (0,) * len(geometry.patch)
    if geometry.elastic is None and geometry.affine.keeps_voxels:
        return _copy(planes, geometry, margin, device)
    return _interpolate(planes, geometry, margin, mark_inside, device)


def _copy(
    planes: Sequence[np.ndarray], geometry: CropGeometry, margin: tuple[int, ...], device: torch.device
) -> tuple[Tensor, Tensor | None]:
    shape = planes[0].shape[1:]
    low: list[int] = []
    high: list[int] = []
    pad: list[int] = []  # torch lists the last axis first
    for start, size, extra, n in zip(geometry.start, geometry.patch, margin, shape, strict=True):
        first, last = start - extra, start + size + extra
        low.append(min(max(first, 0), n))
        high.append(max(min(last, n), low[-1]))
        pad = [low[-1] - first, last - high[-1], *pad]
    flipped = [d + 1 for d, flip in enumerate(geometry.affine.flips) if flip]
    samples = functional.pad(_read(planes, low, high, device), pad)
    inside = None
    if any(pad):
        within = torch.ones(1, *(b - a for a, b in zip(low, high, strict=True)), device=device)
        inside = functional.pad(within, pad)
        inside = inside.flip(flipped) if flipped else inside
    return (samples.flip(flipped) if flipped else samples), inside


def _interpolate(
    planes: Sequence[np.ndarray],
    geometry: CropGeometry,
    margin: tuple[int, ...],
    mark_inside: bool,
    device: torch.device,
) -> tuple[Tensor, Tensor | None]:
    shape = np.array(planes[0].shape[1:])
    patch = np.array(geometry.patch)
    matrix = geometry.affine.matrix(geometry.spacing)
    half = (patch - 1) / 2
    centre = np.array(geometry.start) + half
    reach = np.abs(matrix) @ (half + margin)
    if geometry.elastic is not None:
        reach = reach + geometry.elastic.largest
    # Rounding of float32 coordinates must not reach past the box that is read: one voxel to spare.
    low = np.clip(np.floor(centre - reach).astype(int) - 1, 0, shape)
    high = np.clip(np.ceil(centre + reach).astype(int) + 2, low, shape)
    if (high == low).any():
        size = [int(p + 2 * m) for p, m in zip(patch, margin, strict=True)]
        nothing = torch.zeros(sum(len(p) for p in planes), *size, device=device)
        return nothing, torch.zeros(1, *size, device=device)
    overhangs = mark_inside and bool(((centre - reach < 0) | (centre + reach > shape - 1)).any())

    source = _read(planes, low.tolist(), high.tolist(), device)
    if overhangs:
        source = torch.cat([source, torch.ones(1, *source.shape[1:], device=device)])
    grid = _grid(geometry, margin, matrix, centre, low, high - low, device)
    samples = _grid_sample(source, grid)
    if not overhangs:
        return samples, None
    return samples[:-1], (samples[-1:] >= 0.5).float()


def _grid(
    geometry: CropGeometry,
    margin: tuple[int, ...],
    matrix: np.ndarray,
    centre: np.ndarray,
    low: np.ndarray,
    size: np.ndarray,
    device: torch.device,
) -> Tensor:
    """(dims, patch + 2 margin) float32: where each voxel of the crop lies, in torch's units of the box read
    (-1 and 1 are its outer faces), one plane a scan axis, the last axis first as torch wants it."""
    dims = len(geometry.patch)
    scale = 2 / size
    offset = scale * (centre - low + 0.5) - 1
    axes = [np.arange(-m, p + m) - (p - 1) / 2 for p, m in zip(geometry.patch, margin, strict=True)]
    terms = [[scale[d] * matrix[d, a] * axes[a] for a in range(dims)] for d in range(dims)]
    for d in range(dims):
        terms[d][0] = terms[d][0] + offset[d]
    # one way to the device for all of them
    flat = torch.from_numpy(np.concatenate([t for row in terms for t in row]).astype(np.float32))
    pieces = iter(send(flat, device).split([len(a) for a in axes] * dims))
    grid = torch.empty(dims, *(len(a) for a in axes), device=device)
    for d in range(dims):
        columns = [next(pieces).view([-1 if a == b else 1 for b in range(dims)]) for a in range(dims)]
        if dims == 2:
            torch.add(columns[0], columns[1], out=grid[dims - 1 - d])
        else:
            torch.add(columns[0] + columns[1], columns[2], out=grid[dims - 1 - d])
    if geometry.elastic is not None:
        field = geometry.elastic.field(geometry.patch, device)
        pad = [m for m in reversed(margin) for _ in range(2)]
        if any(pad):  # beyond the patch the field goes on as at its edge
            field = functional.pad(field[None], pad, mode="replicate")[0]
        for d in range(dims):
            grid[dims - 1 - d].add_(field[d], alpha=float(scale[d]))
    return grid


def _grid_sample(source: Tensor, grid: Tensor) -> Tensor:
    """Linear samples of ``source`` (C, ...) at ``grid`` (dims, ...), zeros outside.

    torch shares the work between threads by sample only, so the crop is cut into slabs that all see the same
    source (a view, not a copy); the numbers are the same as in one piece.
    """
    dims, first = grid.shape[0], grid.shape[1]
    slabs = math.gcd(first, 16)
    split = grid.reshape(dims, slabs, first // slabs, *grid.shape[2:]).movedim(0, -1)
    shared = source.expand(slabs, *source.shape)
    samples = functional.grid_sample(shared, split, "bilinear", "zeros", align_corners=False)
    return samples.transpose(0, 1).reshape(source.shape[0], *grid.shape[1:])


def _read(
    planes: Sequence[np.ndarray], low: Sequence[int], high: Sequence[int], device: torch.device
) -> Tensor:
    """The box [low, high) of all planes as one float32 tensor; only that box is read from disk."""
    window = (slice(None), *(slice(a, b) for a, b in zip(low, high, strict=True)))
    return torch.cat([send(torch.from_numpy(np.array(plane[window])), device).float() for plane in planes])


FOREGROUND_SHARE = 2 / 3


def draw_start(
    key: Key,
    where: Where,
    shape: tuple[int, ...],
    patch: tuple[int, ...],
    foreground: Mapping[int, np.ndarray],
    body: np.ndarray,
    known: np.ndarray | None = None,
) -> tuple[int, ...]:
    """First voxel of a crop of size ``patch`` in a scan of size ``shape``.

    ``foreground``: class index -> (n, dims) voxels of that class; ``body``: (n, dims) voxels of the body.
    The crop stays inside the scan along axes where the scan is larger, and is centred on it along the others
    (then the start is negative). Around a voxel means: up to a quarter patch off its centre. ``foreground``
    is two thirds around a voxel of a random class, ``shared_classes`` always (give the shared class only).
    Scans without such voxels are cropped at random, which is around one of the ``known`` voxels where
    they are given: where few slices were drawn, most crops would hold none of them.
    """
    random = (key / "centre").numpy()
    points: np.ndarray | None = None
    if where == "shared_classes" or (where == "foreground" and random.random() < FOREGROUND_SHARE):
        present = [k for k in sorted(foreground) if len(foreground[k])]
        if present:
            points = foreground[present[int(random.integers(len(present)))]]
    elif where == "body" and len(body) and known is None:
        points = body
    if points is None and known is not None and len(known):
        points = known
    if points is None:
        near = None
    else:
        near = np.asarray(points[int(random.integers(len(points)))], dtype=np.int64)
    start = []
    for axis, (size, side) in enumerate(zip(shape, patch, strict=True)):
        if size <= side:
            start.append((size - side) // 2)
        elif near is None:
            start.append(int(random.integers(size - side + 1)))
        else:
            jitter = int(random.integers(-(side // 4), side // 4 + 1))
            start.append(min(max(int(near[axis]) - side // 2 + jitter, 0), size - side))
    return tuple(start)
