"""Scans that are made up from end to end, with labels, for training a segmenter before it sees real ones.

    OMP_NUM_THREADS=1 python benchmarks/generated_scans.py OUT --scans 1000 --shape 64 64 48 --seed 0
    OMP_NUM_THREADS=1 python benchmarks/generated_scans.py OUT --scans 1000 --shape 56 56 8 \\
        --spacing 1.5 1.5 6.7 --seed 0 --workers 2 --pictures look.png

OUT becomes a data folder of N labelled scans, whole or not at all: 3D ones are NIfTI (int16), 2D ones PNG (8
bits), or NIfTI where ``--spacing`` is given, which PNG cannot keep. Without ``--spacing`` voxels are cubes of
no known size (``spacing_known: false``). ``generated_anatomy.py`` draws the structures, whose classes are
kinds of shape; here they get intensities, textures, and what a scanner adds, all at random. Scan number i
depends on seed, shape, spacing and channels alone: not on how many others there are, nor on who makes it.
``--pictures``: a sheet with the middle slices of the first twelve above their labels.

The idea that a network which has seen every contrast looks at shape is SynthSeg's (Billot et al., Medical
Image Analysis 86, 2023, arXiv 2107.09559); that the anatomy, too, may be made up is SynthMorph's (Hoffmann et
al., IEEE TMI 41, 2022, arXiv 2004.10282). Anatomix (Dey et al., ICLR 2025, arXiv 2411.02372) starts few-label
segmentation from scans of real organs' shapes, put together at random.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter
from torch import Tensor

from generated_anatomy import KINDS, Anatomy, Grid, draw_anatomy, smooth_noise, through
from semivox.batches.separable import coarsening_matrix
from semivox.cohort import Source, Volume, write_mask, write_volume
from semivox.cohort.new_folder import new_folder, write_tables
from semivox.errors import SettingsError
from semivox.files import replacing
from semivox.randomness import Key

FOREGROUND = (0.05, 0.60)
"""The share of voxels that bear a label: what has less or more is drawn anew, a few times."""
TRIES = 6
ENOUGH = 3
"""Classes that a scan has, at least, unless all tries fail."""
CHUNK = 8
"""Scans that a worker makes in one go."""
SHOWN = 12


class Scan(NamedTuple):
    """``image`` (C, X, Y[, Z]) float32 in 0..1; ``label`` (X, Y[, Z]) uint8."""

    image: np.ndarray
    label: np.ndarray


@dataclass(frozen=True)
class Recipe:
    """What all scans of a folder have in common."""

    seed: int
    shape: tuple[int, ...]
    spacing: tuple[float, ...] | None = None
    channels: int = 1

    @property
    def ending(self) -> str:
        return ".png" if len(self.shape) == 2 and self.spacing is None else ".nii.gz"

    def check(self) -> None:
        """Raise SettingsError for what cannot be made."""
        numbers = " ".join(map(str, self.shape))
        if len(self.shape) not in (2, 3) or min(self.shape) < 4:
            raise SettingsError("no such shape", found=numbers, expected="2 or 3 numbers, 4 and more")
        if self.spacing is not None and (
            len(self.spacing) != len(self.shape) or not all(0 < edge < np.inf for edge in self.spacing)
        ):
            lengths = f"{len(self.shape)} lengths"
            raise SettingsError("the spacing does not fit the shape", found=self.spacing, expected=lengths)
        if self.channels < 1:
            raise SettingsError("no such number of channels", found=self.channels, expected="1 and more")


def name_of(number: int) -> str:
    return f"generated_{number:06d}"


def make_scan(recipe: Recipe, number: int) -> Scan:
    """Scan ``number`` of a folder, a pure function of both."""
    key = Key(recipe.seed, "generated scans", number)
    grid = Grid.of(recipe.shape, recipe.spacing)
    for attempt in range(TRIES):
        anatomy = draw_anatomy(key / "anatomy" / attempt, grid)
        label = commonest(anatomy.label(), grid)
        counts = np.bincount(label.ravel(), minlength=len(KINDS) + 1)[1:]
        low, high = FOREGROUND
        if low <= counts.sum() / label.size <= high and np.count_nonzero(counts > 8) >= ENOUGH:
            break
    return Scan(render(key / "image", anatomy, recipe.channels), label)


def commonest(label: np.ndarray, grid: Grid) -> np.ndarray:
    """(X, Y[, Z]): the label that most of the rendered voxels of each voxel have."""
    if grid.rendered == grid.shape:
        return label
    votes = [coarse_mean((label == k).astype(np.float32), grid) for k in range(len(KINDS) + 1)]
    return np.argmax(votes, axis=0).astype(np.uint8)


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


def write_scan(folder: Path, recipe: Recipe, number: int) -> None:
    """Its image and its label into the folder's ``imagesTr`` and ``labelsTr``."""
    scan, name, ending = make_scan(recipe, number), name_of(number), recipe.ending
    affine = np.diag([*(recipe.spacing or (1.0,) * len(recipe.shape)), *(1.0, 1.0)][:4])
    top, kind = (255, np.uint8) if ending == ".png" else (1000, np.int16)
    image = np.rint(scan.image * top).astype(kind)
    for c, channels in enumerate([image] if is_colour(recipe) else image[:, None]):
        like = Volume(channels, affine, Source(format="array"), "known" if recipe.spacing else "unknown")
        write_volume(folder / "imagesTr" / f"{name}_{c:04d}{ending}", channels, like)
    write_mask(folder / "labelsTr" / f"{name}{ending}", scan.label, like)


def is_colour(recipe: Recipe) -> bool:
    """Whether the channels are the colours of one picture."""
    return recipe.ending == ".png" and recipe.channels == 3


def write_chunk(folder: Path, recipe: Recipe, numbers: Sequence[int]) -> float:
    """Processor seconds that it took."""
    began = time.process_time()
    for number in numbers:
        write_scan(folder, recipe, number)
    return time.process_time() - began


def write_scans(out: Path, recipe: Recipe, scans: int, workers: int = 1) -> float:
    """Write the data folder; the processor seconds that its scans took.

    Raises
    ------
    DataError
        ``out`` exists and is not empty, or cannot be written.
    SettingsError
        There are no such scans.
    """
    recipe.check()
    if scans < 1 or workers < 1:
        raise SettingsError("too few", found=f"{scans} scans, {workers} workers", expected="1 and more")
    names = [name_of(number) for number in range(scans)]
    colours = ("red", "green", "blue") if is_colour(recipe) else None
    dataset = {
        "name": "semivox generated scans",
        "channel_names": {
            str(c): colours[c] if colours else f"generated_{c}" for c in range(recipe.channels)
        },
        "labels": {"background": 0, **{kind: value for value, kind in enumerate(KINDS, 1)}},
        "file_ending": recipe.ending,
        "may_be_empty": [*KINDS],
        "spacing_known": recipe.spacing is not None,
        "numTraining": scans,
    }
    with new_folder(out) as root:
        for sub in ("imagesTr", "labelsTr"):
            (root / sub).mkdir()
        chunks = [range(scans)[i : i + CHUNK] for i in range(0, scans, CHUNK)]
        seconds = sum(done_by(workers, root, recipe, chunks))
        write_tables(root, dataset, [{"case": name, "patient": name} for name in names], ("case", "patient"))
    return seconds


def done_by(workers: int, root: Path, recipe: Recipe, chunks: Sequence[Sequence[int]]) -> Iterator[float]:
    """The seconds of each chunk, as they are finished."""
    if workers == 1:
        yield from (write_chunk(root, recipe, chunk) for chunk in chunks)
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        try:
            yield from pool.map(write_chunk, [root] * len(chunks), [recipe] * len(chunks), chunks)
        finally:
            pool.shutdown(cancel_futures=True)


def draw_pictures(path: Path, recipe: Recipe, scans: int) -> None:
    """The middle slices of the first scans above their labels."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    colours = ["black", *pyplot.get_cmap("Set1").colors[: len(KINDS)]]
    shown = min(scans, SHOWN)
    columns = min(shown, 6)
    rows = -(-shown // columns)
    figure, axes = pyplot.subplots(2 * rows, columns, figsize=(2.2 * columns, 4.4 * rows), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for number in range(shown):
        scan, (row, column) = make_scan(recipe, number), divmod(number, columns)
        image, label = np.moveaxis(scan.image, 0, -1), scan.label
        if label.ndim == 3:
            image, label = image[:, :, label.shape[2] // 2], label[:, :, label.shape[2] // 2]
        above, below = axes[2 * row, column], axes[2 * row + 1, column]
        above.imshow(
            np.swapaxes(image if image.shape[-1] == 3 else image[..., 0], 0, 1), "gray", vmin=0, vmax=1
        )
        below.imshow(label.T, ListedColormap(colours), vmin=0, vmax=len(KINDS), interpolation="nearest")
    patches = [Patch(color=colour, label=kind) for kind, colour in zip(KINDS, colours[1:], strict=True)]
    figure.legend(handles=patches, loc="lower center", ncols=len(KINDS), frameon=False)
    figure.subplots_adjust(0.01, 0.05, 0.99, 0.99, 0.03, 0.03)
    with replacing(path) as made:
        figure.savefig(made, dpi=110)
    pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="a new or an empty folder")
    parser.add_argument("--scans", type=int, required=True)
    parser.add_argument("--shape", type=int, nargs="+", required=True, help="2 or 3 numbers of voxels")
    parser.add_argument("--spacing", type=float, nargs="+", help="as many voxel edges, in mm")
    parser.add_argument("--channels", type=int, default=1)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--pictures", type=Path, help="a PNG to draw some of them into")
    given = parser.parse_args()
    spacing = None if given.spacing is None else tuple(given.spacing)
    recipe = Recipe(given.seed, tuple(given.shape), spacing, given.channels)
    began = time.perf_counter()
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the workers
    seconds = write_scans(given.out, recipe, given.scans, given.workers)
    print(
        f"{given.scans} scans in {time.perf_counter() - began:.1f} s; "
        f"{60 * given.scans / seconds:.0f} a minute of a processor"
    )
    if given.pictures is not None:
        draw_pictures(given.pictures, recipe, given.scans)


if __name__ == "__main__":
    main()
