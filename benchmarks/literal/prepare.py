"""Preparing scans the obvious way: read them all, then normalise and resample one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np


def prepare_all(scans: Sequence[Path], spacing: Sequence[float], out: Path) -> None:
    """Write ``out/CASE.npy``, float16, for scans whose axes are right, anterior, superior."""
    images = [nib.load(path) for path in scans]
    volumes = [image.get_fdata() for image in images]
    for path, image, volume in zip(scans, images, volumes, strict=True):
        prepared = resample(normalise(volume), image.header.get_zooms()[:3], spacing)
        np.save(out / f"{path.name.split('.')[0]}.npy", prepared.astype(np.float16))


def normalise(volume: np.ndarray) -> np.ndarray:
    """Zero mean, unit standard deviation; of the body, if more than a quarter is exactly the minimum."""
    body = volume[volume != volume.min()]
    if body.size > 0.75 * volume.size or body.size == 0:
        body = volume
    return (volume - body.mean()) / body.std()


def resample(volume: np.ndarray, zooms: Sequence[float], spacing: Sequence[float]) -> np.ndarray:
    """Average over the input voxels that an output voxel covers, axis by axis; for coarser grids."""
    for axis in range(3):
        n_in = volume.shape[axis]
        n_out = max(1, math.floor(n_in * zooms[axis] / spacing[axis] + 0.501))
        weights = np.zeros((n_out, n_in))
        scale = n_in / n_out
        for i in range(n_out):
            for j in range(n_in):
                weights[i, j] = max(0.0, min((i + 1) * scale, j + 1) - max(i * scale, j)) / scale
        volume = np.moveaxis(np.tensordot(weights, volume, axes=(1, axis)), 0, axis)
    return volume
