"""Patch and network for a working grid: as much context as a number of voxels allows, and what fits it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from semivox.prepare.plan import NetworkPlan

VNET_FEATURES = (16, 32, 64, 128, 256)
UNET_FEATURES = {2: (32, 64, 128, 256, 256), 3: (16, 32, 64, 128, 256)}

VNET_MULTIPLE, VNET_EXTENT = 16, 3
"""The papers' V-Net halves four times; it needs 3 voxels an axis at the bottom to have a context there."""

ISOTROPIC = 1.5
"""Spacings within this factor of each other are near enough to isotropic for the V-Net."""

THICK = 2.0
"""An axis this many times coarser than the finest is neither pooled nor convolved across (as in nnU-Net)."""

LEAST_EXTENT = 4
"""An axis is pooled only while it keeps at least so many voxels."""

LEAST_LEVELS = 2
"""Scans too small to be pooled get a second level of the same size."""


def choose_network(extent: Sequence[float], spacing: Sequence[float], kind: str | None = None) -> NetworkPlan:
    """The network for a patch of about ``extent`` voxels at ``spacing``; ``kind`` asks for one of the two."""
    if kind == "vnet" or (kind is None and suits_vnet(extent, spacing)):
        dims = len(extent)
        levels = len(VNET_FEATURES)
        return NetworkPlan("vnet", VNET_FEATURES, ((3,) * dims,) * levels, ((2,) * dims,) * (levels - 1))
    return _unet(extent, spacing)


def suits_vnet(extent: Sequence[float], spacing: Sequence[float]) -> bool:
    """3D, near isotropic, and each axis nearer to 48 voxels or more than to 32."""
    roomy = all(math.floor(e / VNET_MULTIPLE + 0.5) >= VNET_EXTENT for e in extent)
    return len(extent) == 3 and max(spacing) <= ISOTROPIC * min(spacing) and roomy


def choose_patch(
    shape: Sequence[int], spacing: Sequence[float], voxels: int, kind: str | None = None
) -> tuple[tuple[int, ...], NetworkPlan]:
    """The patch of at most ``voxels`` voxels, and its network.

    It starts as the whole median shape, rounded up to the network's multiple, and its longest side (in
    physical extent; of equal ones the one where the scan is shortest) shrinks by one multiple at a time.
    """
    extent = [int(n) for n in shape]
    while True:
        network = choose_network(extent, spacing, kind)
        multiple = network.multiple
        patch = [math.ceil(e / m) * m for e, m in zip(extent, multiple, strict=True)]
        shrinkable = [a for a in range(len(patch)) if patch[a] > multiple[a]]
        if math.prod(patch) <= voxels or not shrinkable:
            return tuple(patch), network
        longest = max(shrinkable, key=lambda a: (round(patch[a] * spacing[a], 6), -shape[a] * spacing[a], a))
        extent[longest] = patch[longest] - multiple[longest]


def _unet(extent: Sequence[float], spacing: Sequence[float]) -> NetworkPlan:
    dims = len(extent)
    size, grain = [float(e) for e in extent], [float(s) for s in spacing]
    features = UNET_FEATURES[dims]
    kernels: list[tuple[int, ...]] = []
    strides: list[tuple[int, ...]] = []
    wide = [1] * dims
    ruling = _ruling_axes(size, grain)
    while True:
        finest = min(grain[a] for a in ruling)
        thin = [g < THICK * finest for g in grain]
        wide = [3 if w == 3 or t else 1 for w, t in zip(wide, thin, strict=True)]
        kernels.append(tuple(wide))
        stride = tuple(2 if t and s >= 2 * LEAST_EXTENT else 1 for t, s in zip(thin, size, strict=True))
        if len(kernels) == len(features) or (max(stride) == 1 and len(kernels) >= LEAST_LEVELS):
            # each sample by itself: where scans differ in contrast, running statistics fit none of them
            return NetworkPlan("unet", features[: len(kernels)], tuple(kernels), tuple(strides), "instance")
        strides.append(stride)
        size = [s / f for s, f in zip(size, stride, strict=True)]
        grain = [g * f for g, f in zip(grain, stride, strict=True)]


def _ruling_axes(size: Sequence[float], grain: Sequence[float]) -> list[int]:
    """The axes whose spacing the others are measured by: all; where those near the finest spacing have
    too few voxels to be pooled (a single slice, a thin slab of fine slices), the ones that have enough."""
    every = list(range(len(size)))
    long = [a for a in every if size[a] >= 2 * LEAST_EXTENT]
    pooled_at_once = any(grain[a] < THICK * min(grain) for a in long)
    return every if pooled_at_once or not long else long
