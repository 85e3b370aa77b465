"""One entry of the store: a case's image or target on the working grid, written whole or not at all."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from semivox.cohort import Case, Regions, read_case, read_geometry, refuse_not_finite
from semivox.cohort.regions import NONE
from semivox.content_checks import check_content
from semivox.contents import StoreEntry
from semivox.errors import DataError
from semivox.files import building, load_json, remove_folder
from semivox.prepare.grid import Grid, checked_grid
from semivox.prepare.normalise import normalise
from semivox.prepare.plan import Plan
from semivox.prepare.targets import FULL, class_fractions, filled_label, read_label_on, valid_voxels
from semivox.randomness import Key

POINTS = 2000
"""At most so many points are kept of each class and of the body: crops are centred on them."""

FORMAT = 1
REMEDY = "free disk space or give another folder with --cache; whole entries are kept"


@dataclass(frozen=True)
class Job:
    """An entry to build; ``values`` is None for an image, the classes' label values for a target."""

    folder: Path
    key: str
    case: Case
    plan: Plan
    channels: int
    values: tuple[int, ...] | None = None
    ignore: int | None = None
    annotated: tuple[float, ...] = ()
    regions: Regions = NONE


def build_entry(job: Job) -> dict[str, Any]:
    """Build one entry in a temporary folder, then rename it to its place; returns its record.

    Raises DataError for a faulty file or a full disk; nothing half-written stays.
    """
    with building(job.folder, REMEDY) as folder:
        meta = _write_image(job, folder) if job.values is None else _write_target(job, folder)
        meta["files"] = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
        (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
        remove_folder(job.folder.parent, job.folder.name)  # an entry that is not whole
    return meta


def entry_bytes(job: Job) -> int:
    """About how many bytes the entry takes: two a channel and voxel of an image, one a class and voxel."""
    path = job.case.images[0]
    voxels = math.prod(checked_grid(read_geometry(path), job.plan, path).working_shape)
    return voxels * (2 * job.channels if job.values is None else len(job.values))


def meta_if_whole(folder: Path) -> dict[str, Any] | None:
    """The record of an entry that is complete: it can be read, and every file has the size it says."""
    try:
        meta = read_meta(folder)
        check_content(meta, StoreEntry, folder / "meta.json", "remove the folder")
        sizes = all((folder / name).stat().st_size == size for name, size in meta["files"].items())
        return meta if sizes and meta["format"] == FORMAT else None
    except (OSError, ValueError, DataError):
        return None


def read_meta(folder: Path) -> dict[str, Any]:
    """An entry's record: format, shape, spacing, native shape, files with their sizes."""
    meta: dict[str, Any] = load_json(folder / "meta.json")
    return meta


def _write_image(job: Job, folder: Path) -> dict[str, Any]:
    volume = read_case(job.case)
    path = job.case.images[0]
    _check_scan(volume.dims, volume.channels, job, path)
    refuse_not_finite(volume)
    grid = checked_grid(volume, job.plan, path)
    image = grid.to_working(normalise(volume.array, job.plan.channels, path))
    fits = float(np.abs(image).max()) < float(np.finfo(np.float16).max)
    bright = image.mean(axis=0)
    body = bright > bright.mean(dtype=np.float64)
    _save(folder / "image.npy", image.astype(np.float16 if fits else np.float32))
    _save(folder / "body.npy", some_points(body if body.any() else ~body, Key("body", job.key)))
    return _meta(grid)


def _write_target(job: Job, folder: Path) -> dict[str, Any]:
    assert job.values is not None
    scan = read_geometry(job.case.images[0])
    label = read_label_on(job.case, scan, job.values, job.ignore, job.regions)
    label, slices = filled_label(label, job.ignore)
    # The image's header decides: a label's rounded affine must not shift the grid.
    grid = checked_grid(scan, job.plan, job.case.images[0])
    target = class_fractions(label, job.values, grid)
    for plane, annotated in zip(target, job.annotated, strict=True):
        if not annotated:
            plane[...] = 0
    _save(folder / "target.npy", target)
    valid = valid_voxels(label, job.ignore, grid, slices)
    known = np.ones(target.shape[1:], bool) if valid is None else valid[0] > 0
    if valid is not None:
        _save(folder / "valid.npy", valid)
    if slices is not None:
        _save(folder / "known.npy", some_points(known, Key("known", job.key)))
    points = []
    for k, plane in enumerate(target, start=1):
        plane = plane if slices is None else plane * known
        most = int(plane.max())
        if most:  # a structure thinner than half a voxel is found at its fullest one
            at = some_points(plane >= min(FULL // 2 + 1, most), Key("foreground", job.key, k))
            points.append(np.concatenate([np.full((len(at), 1), k, np.int32), at], axis=1))
    none = np.zeros((0, 1 + len(grid.working_shape)), np.int32)
    _save(folder / "foreground.npy", np.concatenate([none, *points]))
    return _meta(grid)


def _meta(grid: Grid) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "shape": list(grid.working_shape),
        "spacing": list(grid.spacing),
        "native_shape": list(grid.native_shape),
    }


def some_points(mask: np.ndarray, key: Key) -> np.ndarray:
    """At most POINTS voxels of a mask, ``(n, dims)`` int32 in index order, drawn without replacement."""
    where = np.flatnonzero(mask)
    if len(where) > POINTS:
        where = np.sort(key.numpy().choice(where, POINTS, replace=False))
    return np.stack(np.unravel_index(where, mask.shape), axis=1).astype(np.int32)


def _check_scan(dims: int, channels: int, job: Job, path: Path) -> None:
    if dims != job.plan.dims:
        raise DataError("an image of another dimension", path=path, found=dims, expected=job.plan.dims)
    if channels != job.channels:
        raise DataError("an image with other channels", path=path, found=channels, expected=job.channels)


def _save(path: Path, array: np.ndarray) -> None:
    np.save(path, array, allow_pickle=False)
