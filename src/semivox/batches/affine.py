"""Rotation, scaling and mirroring of crops, drawn apart from their application."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from semivox.batches.augmentation import Augmentation, thick_axes
from semivox.randomness import Key


@dataclass(frozen=True)
class AffineParameters:
    """``degrees``: rotation about each axis (3D) or (in-plane,) in 2D; ``scale``: magnification an axis;
    ``flips``: mirrored axes. Without rotation and scaling, voxels map to voxels."""

    degrees: tuple[float, ...]
    scale: tuple[float, ...]
    flips: tuple[bool, ...]

    @classmethod
    def identity(cls, dims: int) -> AffineParameters:
        """No change at all."""
        return cls((0.0,) * (3 if dims == 3 else 1), (1.0,) * dims, (False,) * dims)

    @property
    def keeps_voxels(self) -> bool:
        """Whether every voxel of the crop falls on a voxel of the scan, so that nothing is interpolated."""
        return not any(self.degrees) and all(s == 1.0 for s in self.scale)

    def matrix(self, spacing: tuple[float, ...]) -> np.ndarray:
        """(dims, dims) float64: offset from the crop's centre, in voxels -> offset in the scan, in voxels.

        Rotation happens in the units of ``spacing``, so that shapes stay rigid on anisotropic grids.
        """
        units = np.asarray(spacing, dtype=np.float64)
        change = np.diag([(-1.0 if f else 1.0) / s for f, s in zip(self.flips, self.scale, strict=True)])
        return np.diag(1 / units) @ self._rotation() @ change @ np.diag(units)

    def _rotation(self) -> np.ndarray:
        if len(self.scale) == 2:
            return _plane_rotation(2, 0, 1, self.degrees[0])
        about_0, about_1, about_2 = self.degrees
        return (
            _plane_rotation(3, 0, 1, about_2)
            @ _plane_rotation(3, 2, 0, about_1)
            @ _plane_rotation(3, 1, 2, about_0)
        )


def draw_affine(key: Key, augmentation: Augmentation, spacing: tuple[float, ...]) -> AffineParameters:
    """Draw rotation, scale and flips for one crop of a scan with ``spacing`` (any unit, a number an axis)."""
    dims = len(spacing)
    identity = AffineParameters.identity(dims)
    if not augmentation.enabled:
        return identity
    axes = augmentation.mirror_axes
    coins = (key / "flip").numpy().random(dims)
    flips = tuple(d in axes and bool(coins[d] < augmentation.flip_probability) for d in range(dims))
    if (key / "affine").numpy().random() >= augmentation.affine_probability:
        return AffineParameters(identity.degrees, identity.scale, flips)
    thick = thick_axes(spacing)
    turns = (key / "rotation").numpy().uniform(-1, 1, len(identity.degrees))
    if dims == 2:
        largest = [augmentation.rotation_degrees]
    else:  # rotation about an axis mixes the other two: never a thick one with a thin one
        mixes = [(1, 2), (0, 2)]
        largest = [0.0 if thick[a] != thick[b] else augmentation.tilt_degrees for a, b in mixes]
        largest.append(augmentation.rotation_degrees)
    low, high = augmentation.scale
    scale = math.exp((key / "scale").numpy().uniform(math.log(low), math.log(high)))
    return AffineParameters(
        tuple(float(t * m) for t, m in zip(turns, largest, strict=True)),
        tuple(1.0 if t else scale for t in thick),
        flips,
    )


def _plane_rotation(dims: int, a: int, b: int, degrees: float) -> np.ndarray:
    rotation = np.eye(dims)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rotation[a, a], rotation[a, b], rotation[b, a], rotation[b, b] = cos, -sin, sin, cos
    return rotation
