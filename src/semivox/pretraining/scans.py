"""Scans that are made up from end to end, with labels, for training a segmenter before it sees real ones.

``anatomy.py`` draws the structures, whose classes are kinds of shape; ``rendering.py`` gives them
intensities, textures, and what a scanner adds, all at random. Scan number i depends on seed, shape, spacing
and channels alone: not on how many others there are, nor on who makes it.

That the anatomy, too, may be made up is SynthMorph's idea (Hoffmann et al., IEEE TMI 41, 2022, arXiv
2004.10282). Anatomix (Dey et al., ICLR 2025, arXiv 2411.02372) starts few-label segmentation from scans of
real organs' shapes, put together at random.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from semivox.cohort import Source, Volume, write_mask, write_volume
from semivox.cohort.new_folder import new_folder, write_tables
from semivox.pretraining.anatomy import KINDS, LABEL, Grid, draw_anatomy
from semivox.pretraining.recipe import Recipe, whole
from semivox.pretraining.rendering import coarse_mean, render
from semivox.randomness import Key

FOREGROUND = (0.05, 0.60)
"""The share of voxels that bear a label: what has less or more is drawn anew, a few times."""
TRIES = 6
ENOUGH = 3
"""Classes that a scan has, at least, unless all tries fail."""
MOST_SCANS = 1_000_000
"""Of a folder: names have six digits."""
CHUNK = 8
"""Scans that a worker makes in one go."""


class Scan(NamedTuple):
    """``image`` (C, X, Y[, Z]) float32 in 0..1; ``label`` (X, Y[, Z]) uint8."""

    image: np.ndarray
    label: np.ndarray


class Made(NamedTuple):
    """Of a chunk: the processor seconds that it took, and the label values in it."""

    seconds: float
    values: frozenset[int]


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


def write_scan(folder: Path, recipe: Recipe, number: int) -> set[int]:
    """Its image and its label into the folder's ``imagesTr`` and ``labelsTr``; returns the label's values."""
    scan, name, ending = make_scan(recipe, number), name_of(number), recipe.ending
    affine = np.diag([*(recipe.spacing or (1.0,) * len(recipe.shape)), *(1.0, 1.0)][:4])
    top, kind = (255, np.uint8) if ending == ".png" else (1000, np.int16)
    image = np.rint(scan.image * top).astype(kind)
    for c, channels in enumerate([image] if is_colour(recipe) else image[:, None]):
        like = Volume(channels, affine, Source(format="array"), "known" if recipe.spacing else "unknown")
        write_volume(folder / "imagesTr" / f"{name}_{c:04d}{ending}", channels, like)
    write_mask(folder / "labelsTr" / f"{name}{ending}", scan.label, like)
    return set(np.unique(scan.label).tolist())


def is_colour(recipe: Recipe) -> bool:
    """Whether the channels are the colours of one picture."""
    return recipe.ending == ".png" and recipe.channels == 3


def write_chunk(folder: Path, recipe: Recipe, numbers: Sequence[int]) -> Made:
    began = time.process_time()
    values = [write_scan(folder, recipe, number) for number in numbers]
    return Made(time.process_time() - began, frozenset().union(*values))


def write_generated_scans(
    out: str | Path,
    *,
    scans: int,
    shape: Sequence[int],
    spacing: Sequence[float] | None = None,
    channels: int = 1,
    seed: int = 0,
    workers: int = 1,
) -> Path:
    """Write a data folder of labelled scans that are made up from end to end: blobs, tubes, walls and the
    cavities in them, lobes, folds and cells, with random intensities that tell no class.

    Parameters
    ----------
    out
        A new or an empty folder.
    scans
        How many, up to a million.
    shape
        Voxels along each axis, two or three numbers of 4 and more.
    spacing
        Edges of a voxel in mm. None: equal ones of unknown length. Along an axis of thick slices structures
        are drawn finer and averaged.
    channels
        Three of a 2D scan without ``spacing`` are the colours of one picture.
    seed, workers
        Scan number i depends on seed, shape, spacing and channels alone, not on ``scans`` or ``workers``, the
        processes that make them. A script with several needs a ``__main__`` guard.

    Returns
    -------
    The folder, for :func:`semivox.train`: NIfTI (int16), or PNG (8 bits) in 2D without ``spacing``. Its
    classes are the kinds of structure that occur in it; a kind has the same label value in every folder.

    Raises
    ------
    DataError
        ``out`` exists and is not empty, or cannot be written.
    SettingsError
        There are no such scans, or one of them needs more memory than is free.
    """
    # whatever was given: `write_scans` looks at it
    recipe = Recipe(seed, cast(Any, shape), cast(Any, spacing), channels)
    write_scans(Path(out), recipe, scans, workers)
    return Path(out)


def write_scans(out: Path, recipe: Recipe, scans: int, workers: int = 1) -> float:
    """:func:`write_generated_scans` of a recipe; returns the processor seconds that its scans took."""
    recipe = recipe.checked()
    scans, workers = whole("number of scans", scans, 1, MOST_SCANS), whole("number of workers", workers, 1)
    with new_folder(out) as root:
        for sub in ("imagesTr", "labelsTr"):
            (root / sub).mkdir()
        chunks = [range(scans)[i : i + CHUNK] for i in range(0, scans, CHUNK)]
        made = [*done_by(workers, root, recipe, chunks)]
        values = frozenset().union(*(chunk.values for chunk in made))
        rows = [{"case": name_of(number), "patient": name_of(number)} for number in range(scans)]
        write_tables(root, described(recipe, scans, values), rows, ("case", "patient"))
    return sum(chunk.seconds for chunk in made)


def described(recipe: Recipe, scans: int, values: Collection[int]) -> dict[str, Any]:
    """The content of ``dataset.json`` where labels have these values. A kind that none of a few small scans
    shows is no class: nothing could learn it."""
    colours = ("red", "green", "blue") if is_colour(recipe) else None
    kinds = {kind: value for kind, value in LABEL.items() if value in values} or LABEL
    return {
        "name": "semivox generated scans",
        "channel_names": {
            str(c): colours[c] if colours else f"generated_{c}" for c in range(recipe.channels)
        },
        "labels": {"background": 0, **kinds},
        "file_ending": recipe.ending,
        "may_be_empty": [*kinds],
        "spacing_known": recipe.spacing is not None,
        "numTraining": scans,
    }


def done_by(workers: int, root: Path, recipe: Recipe, chunks: Sequence[Sequence[int]]) -> Iterator[Made]:
    """Each chunk, as they are finished."""
    if workers == 1:
        yield from (write_chunk(root, recipe, chunk) for chunk in chunks)
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        try:
            yield from pool.map(write_chunk, [root] * len(chunks), [recipe] * len(chunks), chunks)
        finally:
            pool.shutdown(cancel_futures=True)
