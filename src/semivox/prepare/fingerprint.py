"""The fingerprint: what the plan needs to know of a cohort, measured case by case.

Images are opened once each; labels of labelled cases only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semivox.cohort import (
    Case,
    Cohort,
    Geometry,
    Progress,
    Regions,
    Split,
    cohort_spacing,
    files_sha256,
    label_sha256,
    orientation_of,
    read_case,
    read_geometry,
    too_far,
    too_large,
    within,
)
from semivox.components import box_of, largest_component
from semivox.errors import DataError, SettingsError
from semivox.files import read_json, write_json
from semivox.prepare.cache import cache_folder, digest
from semivox.prepare.grid import Grid
from semivox.prepare.parallel import map_cases
from semivox.prepare.plan_json import from_plain
from semivox.prepare.targets import dice_ceilings, filled_label, read_label_on, region_ceilings
from semivox.randomness import Key
from semivox.settings import plain

FORMAT = 6
RUNGS = (1.0, 1.5, 2.0, 3.0)
"""The resolution ladder, in multiples of the finest native spacing."""

SAME_SPACING = 1.05
"""Spacings within this factor count as equal when the coarsest axis is looked for."""

SAMPLES, MOST_SAMPLES = 10_000, 250_000
"""Foreground intensities drawn from a labelled case, and from all of them together: they lie in memory."""


@dataclass(frozen=True)
class Intensity:
    """Statistics of one channel: 0.5th and 99.5th percentile, mean and standard deviation."""

    low: float
    high: float
    mean: float
    std: float


@dataclass(frozen=True)
class CaseFingerprint:
    """One case. ``shape`` and ``spacing`` are native, in working axis order.

    ``voxels[k]`` counts class k's voxels on the native grid and ``ceilings[r][k]`` is its Dice after the
    round trip through rung r; ``largest[k]`` is the share of its voxels that lie in its largest connected
    piece. None where the class is absent, not annotated, or the case is unlabelled. After the classes come
    the regions, where there are any.
    """

    name: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    intensity: tuple[Intensity, ...]
    voxels: tuple[int | None, ...]
    ceilings: tuple[tuple[float | None, ...], ...]
    largest: tuple[float | None, ...]
    together: float | None = None
    """Share of all foreground that lies in its largest connected piece; None also where not every class was
    annotated."""
    extent: tuple[int, ...] | None = None
    """Sides of the box around that piece, native voxels in working axis order; None where ``together`` is."""


@dataclass(frozen=True)
class Fingerprint:
    """A cohort in numbers; labelled cases first, as in the split.

    ``axes`` and ``native_spacing`` (the median, in working axis order) are those of the plan.
    ``untold`` counts the cases whose files do not tell their spacing in mm.
    ``foreground`` holds the intensities of all labelled foreground voxels, one entry a channel.
    """

    dims: int
    axes: tuple[int, ...]
    native_spacing: tuple[float, ...]
    spacing_known: bool
    channels: tuple[str, ...]
    values: tuple[int, ...]
    names: tuple[str, ...]
    rungs: tuple[float, ...]
    labeled: int
    foreground: tuple[Intensity, ...]
    cases: tuple[CaseFingerprint, ...]
    untold: int = 0
    regions: tuple[tuple[str, tuple[int, ...], int], ...] = ()
    """Of each region its name, its label values and the one that is written for it."""
    format: int = FORMAT


def fingerprint(
    cohort: Cohort,
    split: Split,
    progress: Progress | None = None,
    workers: int | None = None,
    cache: str | Path | None = None,
) -> Fingerprint:
    """Measure a cohort, or read what was measured before on files with the same content.

    Raises
    ------
    DataError
        No labelled case, an unreadable file, mixed dimensions, or a class that no labelled case has.
    """
    if not split.labeled:
        raise DataError("no labelled case", path=cohort.root, remedy="add a label file, or check --labeled")
    known = cache_folder(cohort.root, cache) / "fingerprints" / f"{_key(cohort, split)}.json"
    earlier = _read(known)
    if earlier is not None:
        return earlier
    measured = _measure_all(cohort, split, progress, workers)
    write_json(known, plain(measured))
    return measured


def rung_spacing(native_spacing: Sequence[float], rung: float) -> tuple[float, ...]:
    """Working spacing at a rung: ``rung`` times the finest axis; a coarser axis stays as it is until then."""
    finest = min(native_spacing)
    return tuple(max(float(s), rung * finest) for s in native_spacing)


@dataclass(frozen=True)
class _Task:
    case: Case
    labeled: bool
    channels: int
    values: tuple[int, ...]
    regions: Regions
    ignore: int | None
    axes: tuple[int, ...]
    native_spacing: tuple[float, ...]
    spacing_known: bool
    samples: int


def _measure_all(cohort: Cohort, split: Split, progress: Progress | None, workers: int | None) -> Fingerprint:
    cases = (*split.labeled, *split.unlabeled)
    geometries = [read_geometry(case.images[0]) for case in cases]
    dims = geometries[0].dims
    for case, geometry in zip(cases, geometries, strict=True):
        if geometry.dims != dims:
            raise DataError(
                "a cohort's images are all 2D or all 3D",
                path=case.images[0],
                found=f"{geometry.dims}D",
                expected=f"{dims}D, like {cases[0].images[0].name}",
                remedy="keep them in two folders",
            )
    statuses = [geometry.spacing_status for geometry in geometries]
    spacing_known = cohort_spacing(cohort.spacing_known, statuses) == "known"
    axes, native_spacing = _working_axes(geometries, spacing_known)
    if spacing_known:
        _refuse_odd_grids(
            cases, geometries, axes, native_spacing, max(len(cohort.channels), len(cohort.classes) + 1)
        )
    tasks = [
        _Task(
            case, i < len(split.labeled), len(cohort.channels), cohort.values, cohort.regions, cohort.ignore,
            axes, native_spacing, spacing_known,
            min(SAMPLES, max(1, MOST_SAMPLES // len(split.labeled))),
        )
        for i, case in enumerate(cases)
    ]  # fmt: skip
    results = map_cases(_measure, tasks, workers, progress)
    measured = tuple(case for case, _ in results)
    judged = len(cohort.structures)  # a label value may lack where its regions do not
    columns = zip(*(case.voxels[-judged:] for case in measured), strict=True)
    for (number, name), voxels in zip(sorted(cohort.structures.items()), columns, strict=True):
        if not any(voxels):
            raise DataError(
                f"no labelled case has class {number} ({name})",
                path=cohort.root,
                remedy="label a case that has it, or take it out of `labels` in dataset.json",
            )
    samples = np.concatenate([sample for _, sample in results if sample is not None], axis=1)
    return Fingerprint(
        dims=dims,
        axes=axes,
        native_spacing=native_spacing,
        spacing_known=spacing_known,
        untold=sum(status != "known" for status in statuses),
        channels=cohort.channels,
        values=cohort.values,
        names=tuple(cohort.classes[value] for value in cohort.values),
        regions=tuple((r.name, r.values, r.written) for r in cohort.regions.each),
        rungs=RUNGS,
        labeled=len(split.labeled),
        foreground=tuple(_intensity(channel) for channel in samples),
        cases=measured,
    )


def _working_axes(
    geometries: Sequence[Geometry], spacing_known: bool
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The cohort's axis order and its median spacing in that order (ratios where spacing is nominal)."""
    dims = geometries[0].dims
    ras = tuple(range(dims))
    turned = np.array([orientation_of(g.affine, dims, ras).reorder(g.voxel_edges) for g in geometries])
    if len({g.spacing_status for g in geometries}) > 1:
        turned /= turned.min(1, keepdims=True)  # mm and pixels have no common median, their ratios have
    # six decimals, or as many digits of what is finer than a hundredth
    decimals = 6 if turned.min() >= 0.01 else 6 - math.floor(math.log10(turned.min()))
    median = [float(m) for m in np.round(np.median(turned, axis=0), decimals)]
    if not spacing_known:
        median = [m / min(median) for m in median]
    # The last of the axes that are coarsest: isotropic cohorts keep RAS order.
    last = max(a for a in ras if median[a] * SAME_SPACING >= max(median)) if dims == 3 else dims - 1
    axes = (*(a for a in ras if a != last), last)
    return axes, tuple(median[a] for a in axes)


def _refuse_odd_grids(
    cases: Sequence[Case],
    geometries: Sequence[Geometry],
    axes: Sequence[int],
    native_spacing: Sequence[float],
    planes: int,
) -> None:
    """Raise DataError for the first case that no grid of the cohort's spacing can be made of."""
    for case, geometry in zip(cases, geometries, strict=True):
        path = case.images[0]
        voxels = math.prod(Grid.lay(geometry, axes, native_spacing).working_shape)
        error = too_far(path, geometry, native_spacing)
        error = error or too_large(path, geometry, voxels, native_spacing, planes)
        if error is not None:
            raise error


def _measure(task: _Task) -> tuple[CaseFingerprint, np.ndarray | None]:
    """One case's numbers, and ``(C, n)`` float32 intensities of its foreground."""
    volume = read_case(task.case)
    path = task.case.images[0]
    if volume.channels != task.channels:
        raise DataError(
            "an image with other channels than the cohort",
            path=path,
            found=volume.channels,
            expected=task.channels,
            remedy="correct `channel_names` in dataset.json, or the file",
        )
    if not np.isfinite(volume.array).all():
        raise DataError("the image holds NaN or infinity", path=path, remedy="run `semivox check`")
    native = None if task.spacing_known else task.native_spacing
    grids = [Grid.lay(volume, task.axes, rung_spacing(task.native_spacing, rung), native) for rung in RUNGS]
    regions = tuple(task.regions.parts.values())
    parts = (*((value,) for value in task.values), *regions)
    voxels: tuple[int | None, ...] = (None,) * len(parts)
    ceilings: tuple[tuple[float | None, ...], ...] = ()
    largest: tuple[float | None, ...] = (None,) * len(parts)
    sample, together, extent = None, None, None
    if task.labeled:
        label = read_label_on(task.case, volume, task.values, task.ignore, task.regions)
        label, _ = filled_label(label, task.ignore)
        annotated = task.values if task.case.annotated is None else task.case.annotated
        counts = [int(within(label, p).sum()) if set(p) <= set(annotated) else 0 for p in parts]
        voxels = tuple(count or None for count in counts)
        asked = tuple(p[0] for p, count in zip(parts[: len(task.values)], counts, strict=False) if count)
        largest = tuple(
            int(largest_component(within(label[0], p)).sum()) / count if count else None
            for p, count in zip(parts, counts, strict=True)
        )
        foreground = np.isin(label[0], asked)
        if asked and set(task.values) <= set(annotated):
            piece = largest_component(foreground)
            together = int(piece.sum()) / int(foreground.sum())
            extent = grids[0].orientation.reorder([side.stop - side.start for side in box_of(piece, 1)])
        for grid in grids:
            dices = dict(zip(asked, dice_ceilings(label, asked, grid), strict=True))
            of_regions = region_ceilings(label, asked, regions, grid) if regions else ()
            known = (*(dices.get(v) for v in task.values), *of_regions)
            ceilings += (tuple(d if n else None for d, n in zip(known, counts, strict=True)),)
        where = np.flatnonzero(foreground)
        if len(where) > task.samples:
            rng = Key("fingerprint", task.case.name).numpy()
            where = np.sort(rng.choice(where, task.samples, replace=False))
        sample = volume.array.reshape(volume.channels, -1)[:, where].astype(np.float32)
    intensity = tuple(_intensity(channel) for channel in volume.array)
    shape, spacing = grids[0].native_shape, grids[0].native_spacing
    name = task.case.name
    found = CaseFingerprint(name, shape, spacing, intensity, voxels, ceilings, largest, together, extent)
    return found, sample


def _intensity(values: np.ndarray) -> Intensity:
    flat = values.astype(np.float32, copy=False).ravel()
    low, high = (float(q) for q in np.percentile(flat, [0.5, 99.5]))
    return Intensity(low, high, float(flat.mean(dtype=np.float64)), float(flat.std(dtype=np.float64)))


def _key(cohort: Cohort, split: Split) -> str:
    cases = (*split.labeled, *split.unlabeled)
    with ThreadPoolExecutor(4) as threads:
        contents = list(threads.map(files_sha256, cases))
        labels = list(threads.map(label_sha256, split.labeled))
    return digest(
        {
            "format": FORMAT,
            "cases": [[case.name, case.annotated] for case in cases],
            "contents": contents,
            "labels": labels,
            "classes": [[value, cohort.classes[value]] for value in cohort.values],
            "regions": cohort.regions.to_json(),
            "ignore": cohort.ignore,
            **({} if cohort.ignore is None else {"slices": "filled"}),
            "channels": cohort.channels,
            "spacing_known": cohort.spacing_known,
        }
    )


def _read(path: Path) -> Fingerprint | None:
    """A fingerprint measured before, or None where there is none or it cannot be used."""
    if not path.exists():
        return None
    try:
        found: Fingerprint = from_plain(read_json(path, FORMAT), Fingerprint, "fingerprint", path)
    except (DataError, SettingsError):
        return None
    return found
