"""What the package's network sees in a scan: numbers to tell scans apart by, without a run or a label."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from semivox.cohort import Volume, read_volume, refuse_not_finite
from semivox.errors import SettingsError
from semivox.inference import load_network
from semivox.networks import Segmenter, build_network
from semivox.prepare import ChannelPlan, Grid, NetworkPlan, normalise, resample
from semivox.prepare.architecture import choose_network
from semivox.prepare.fingerprint import rung_spacing
from semivox.prepare.headers import working_axes
from semivox.pretrained import GENERATED, beginning
from semivox.pretrained.generated import FEATURES
from semivox.randomness import Key

VOXELS = 64 * 64 * 48
"""At most so many of a scan are looked at, whole: a larger one on a coarser grid."""
POOLED = 32
"""Axes are pooled as if they had so many voxels, however small the scan: the network keeps all its levels."""
COARSER = 1.1
"""Factor from one grid that is tried to the next."""


def scan_features(scan: str | Path | Volume) -> np.ndarray:
    """The deepest features of the package's network (``--init generated``), averaged over a scan.

    Parameters
    ----------
    scan
        A 3D image of any number of channels, or the file of one. It is turned upright, normalised (mean 0,
        standard deviation 1 a channel), and seen whole, on a grid of at most ``64 * 64 * 48`` voxels.

    Returns
    -------
    ``(128,)`` float64, without a unit, the same bits for the same scan on the same machine. Scans are to be
    compared after each feature was divided by its standard deviation over them.

    Raises
    ------
    DataError
        A file that cannot be read, or NaN or infinity in it.
    SettingsError
        A 2D scan: the package has no 2D weights.
    """
    volume = scan if isinstance(scan, Volume) else read_volume(scan)
    if volume.dims != 3:
        raise SettingsError(
            "there are no generated weights for 2D scans", found=f"{volume.dims}D", expected="a 3D scan"
        )
    refuse_not_finite(volume)
    grid = _grid(volume)
    plan = choose_network([max(n, POOLED) for n in grid.working_shape], grid.spacing, "unet")
    shape = [max(m, m * round(n / m)) for n, m in zip(grid.working_shape, plan.multiple, strict=True)]
    small = resample(grid.orientation.apply(volume.array), shape)
    x = normalise(small, [ChannelPlan("", "zscore")] * volume.channels)
    with torch.no_grad():
        deepest = _network(plan, volume.channels).encode(torch.from_numpy(x)[None])["bottleneck"]
    return np.asarray(deepest[0].flatten(1).mean(1, dtype=torch.float64).numpy())


def _grid(volume: Volume) -> Grid:
    """The finest tried, from the scan's own on, that has few enough voxels."""
    axes, native = working_axes([volume], volume.spacing_status == "known")
    rung = 1.0
    while True:
        grid = Grid.lay(volume, axes, rung_spacing(native, rung), native)
        if np.prod(grid.working_shape) <= VOXELS:
            return grid
        rung *= COARSER


@lru_cache(maxsize=4)
def _network(plan: NetworkPlan, channels: int) -> Segmenter:
    """The package's network in the shape of ``plan``, as deep as its weights are."""
    levels = len(FEATURES["unet3d"])
    plan = replace(
        plan,
        features=plan.features[:levels],
        kernels=plan.kernels[:levels],
        strides=plan.strides[: levels - 1],
    )
    folder = beginning(GENERATED, plan)
    assert folder is not None
    network = build_network(plan, channels, 2, Key(0))
    load_network(folder, network, fresh_heads=True)
    return network
