"""What a scanner makes of an anatomy: intensities, textures and artefacts, all at random, whatever the class.

That a network which has seen every contrast looks at shape is the idea of SynthSeg (Billot et al., Medical
Image Analysis 86, 2023, arXiv 2107.09559).
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter
from torch import Tensor

from semivox.batches.separable import coarsening_matrix
from semivox.pretraining.anatomy import Anatomy, Grid, smooth_noise, through
from semivox.randomness import Key


def coarse_mean(values: np.ndarray, grid: Grid) -> np.ndarray:
    """(X, Y[, Z]): the mean over the rendered voxels of each voxel."""
    split = [n for pair in zip(grid.shape, grid.finer, strict=True) for n in pair]
    return values.reshape(split).mean(axis=tuple(range(1, 2 * grid.dims, 2)))


def render(key: Key, anatomy: Anatomy, channels: int) -> np.ndarray:
    """(C, X, Y[, Z]) float32 in 0..1: tissues, and what a scanner makes of them."""
    grid = anatomy.grid
    textures = draw_textures(key / "textures", grid)
    rng = key.numpy()
    alike = rng.uniform(0, 0.9) if channels > 1 and rng.random() < 0.6 else 0.0
    common = alike * draw_means(key / "means", anatomy)
    made = []
    for c in range(channels):
        own = key / "channel" / c
        tissue = (common + (1 - alike) * draw_means(own / "means", anatomy)).astype(np.float32)[anatomy.part]
        amounts = draw_amounts(own / "amounts", anatomy, len(textures))
        for texture, amount in zip(textures, amounts.T, strict=True):
            if amount.any():
                tissue += amount[anatomy.part] * texture
        made.append(scanned(own / "scanner", coarse_mean(tissue, grid), grid))
    return np.stack(made)


def draw_means(key: Key, anatomy: Anatomy) -> np.ndarray:
    """Each part's intensity (parts) float32, whatever its class: uniform in 0..1, but unlike what it covers,
    and at times that of another part."""
    rng = key.numpy()
    contrast = rng.uniform(0.08, 0.3)
    means: list[float] = []
    for part in anatomy.parts:
        many = 0.15 * part.under.total()
        covered = [means[i] for i, voxels in part.under.items() if voxels > many]
        drawn = rng.random(10)
        if means and rng.random() < 0.2:
            drawn[0] = means[int(rng.integers(len(means)))]
        unlike = np.min([np.abs(drawn - other) for other in covered], axis=0) if covered else np.ones(10)
        mean = drawn[np.argmax(np.minimum(unlike, contrast))]  # the first that is unlike enough
        if part.like is not None:
            mean = means[part.like] + rng.normal(0, 0.04)
        means.append(abs(rng.normal(0, 0.02)) if part.kind == "air" else float(mean))
    return np.array(means, np.float32)


def draw_textures(key: Key, grid: Grid) -> list[np.ndarray]:
    """White noise, and noise of a fine and of a coarse scale, each (rendered) of deviation 1."""
    rng = key.numpy()
    scales = rng.uniform((1.3, 3.5), (3.0, 9.0))
    bands = [smooth_noise(rng, grid.rendered, scale / grid.steps, band=True) for scale in scales]
    return [rng.standard_normal(grid.rendered, np.float32), *bands]


def draw_amounts(key: Key, anatomy: Anatomy, textures: int) -> np.ndarray:
    """(parts, textures) float32: how much of which texture each part has; most have one or none."""
    rng = key.numpy()
    amounts = np.zeros((len(anatomy.parts), textures), np.float32)
    for i, part in enumerate(anatomy.parts):
        kind = int(rng.integers(-1, textures))
        amount = rng.uniform(0.02, 0.14)
        if part.like is not None:
            amounts[i] = amounts[part.like]
        elif kind >= 0 and part.kind != "air":
            amounts[i, kind] = amount
    return amounts


def scanned(key: Key, tissue: np.ndarray, grid: Grid) -> np.ndarray:
    """One channel (X, Y[, Z]) of 0..1: artefacts, contrast, shading, blur, noise, a coarser grid."""
    rng = key.numpy()
    edges = np.array(grid.edges)
    image = tissue + artefacts(key / "artefacts", grid)
    low, high = image.min(), image.max()
    image = (image - low) / max(high - low, np.float32(1e-6))
    if rng.random() < 0.3:
        image = 1 - image
    image **= np.float32(np.exp(np.clip(rng.normal(0, 0.35), -0.8, 0.8)))
    knots = rng.uniform(0.5, 1.2) * grid.size / edges
    image *= np.exp(smooth_noise(rng, grid.shape, knots) * rng.uniform(0, 0.3))
    blur = rng.uniform(0, 1.1) * rng.uniform(0.6, 1.4, grid.dims) / edges
    image = gaussian_filter(image, np.where(blur < 0.25, 0, blur), truncate=3)
    strength = rng.uniform(0.005, 0.11) * rng.uniform(0.3, 1)
    image += rng.standard_normal(grid.shape, np.float32) * strength
    if rng.random() < 0.5:  # the magnitude of two noisy parts
        image = np.hypot(image, rng.standard_normal(grid.shape, np.float32) * strength)
    if rng.random() < 0.3:
        tables: list[Tensor | None] = [None] * grid.dims
        axis = int(rng.integers(grid.dims))
        factor = max(1.0, rng.uniform(1.5, 4) / edges[axis])
        tables[axis] = coarsening_matrix(grid.shape[axis], factor)
        image = through(image, tables)
    low, high = np.quantile(image.ravel()[::3], (0.002, 0.998)).astype(np.float32)
    return np.clip((image - low) / max(high - low, np.float32(1e-6)), 0, 1)


def artefacts(key: Key, grid: Grid) -> np.ndarray:
    """What is added everywhere, to be broadcast: nothing in most scans, else a slope, or rays or stripes."""
    rng = key.numpy()
    lines = [np.linspace(-1, 1, n, dtype=np.float32) for n in grid.shape]
    axes = np.meshgrid(*lines, indexing="ij", sparse=True)
    added = np.zeros((1,) * grid.dims, np.float32)
    if rng.random() < 0.2:
        for axis in axes:
            added = added + axis * rng.normal(0, 0.15)
    if rng.random() < 0.15:
        away = [axis - rng.uniform(-1, 1) for axis in axes]
        if rng.random() < 0.5:
            phase = np.arctan2(away[1], away[0]) * int(rng.integers(4, 12))
        else:
            phase = away[0] * rng.normal(0, 18) + away[1] * rng.normal(0, 18)
        fade = sum(axis**2 * rng.uniform(0.3, 4) for axis in away)
        added = added + np.exp(-fade) * np.cos(phase) * rng.uniform(0.05, 0.25)
    return added
