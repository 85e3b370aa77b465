"""The fingerprint: what the plan needs to know of a cohort, measured case by case.

Of labelled cases image and label are read, of all others the header alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from semivox.cohort import (
    Case,
    Cohort,
    Progress,
    Regions,
    Split,
    files_sha256,
    label_sha256,
    read_case,
    refuse_not_finite,
    within,
    without_class,
)
from semivox.components import box_of, largest_component
from semivox.errors import DataError, SettingsError
from semivox.files import read_json, write_json
from semivox.prepare.cache import cache_folder, digest
from semivox.prepare.grid import Grid, working_size
from semivox.prepare.headers import Headers, read_headers, refuse_other_channels
from semivox.prepare.parallel import READERS, map_cases
from semivox.prepare.plan_json import from_plain
from semivox.prepare.targets import dice_ceilings, filled_label, read_label_on, region_ceilings
from semivox.randomness import Key
from semivox.settings import plain

FORMAT = 7
RUNGS = (1.0, 1.5, 2.0, 3.0)
"""The resolution ladder, in multiples of the finest native spacing."""

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
    """One case. ``shape`` and ``spacing`` are native, in working axis order; all else is of labelled cases.

    ``voxels[k]`` counts class k's voxels on the native grid and ``ceilings[r][k]`` is its Dice after the
    round trip through rung r; ``largest[k]`` is the share of its voxels that lie in its largest connected
    piece. None where the class is absent or not annotated. After the classes come the regions, where there
    are any.
    """

    name: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    voxels: tuple[int | None, ...] = ()
    ceilings: tuple[tuple[float | None, ...], ...] = ()
    largest: tuple[float | None, ...] = ()
    together: float | None = None
    """Share of all foreground that lies in its largest connected piece; None also where not every class was
    annotated."""
    extent: tuple[int, ...] | None = None
    """Sides of the box around that piece, native voxels in working axis order; None where ``together`` is."""

    def shape_at(self, spacing: Sequence[float]) -> tuple[int, ...]:
        """Voxels of the scan along each axis at a working ``spacing``."""
        return tuple(working_size(*along) for along in zip(self.shape, self.spacing, spacing, strict=True))


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

    @property
    def labeled_cases(self) -> tuple[CaseFingerprint, ...]:
        return self.cases[: self.labeled]

    def median_shape(self, spacing: Sequence[float]) -> tuple[int, ...]:
        """Of all scans at a working ``spacing``, axis by axis."""
        sizes = zip(*(case.shape_at(spacing) for case in self.cases), strict=True)
        return tuple(math.floor(median(axis) + 0.5) for axis in sizes)


@dataclass(frozen=True)
class Drawn:
    """What was measured on the labelled cases, as it is kept in a file."""

    foreground: tuple[Intensity, ...]
    cases: tuple[CaseFingerprint, ...]
    format: int = FORMAT


def fingerprint(
    cohort: Cohort,
    split: Split,
    progress: Progress | None = None,
    workers: int | None = None,
    cache: str | Path | None = None,
) -> Fingerprint:
    """Read all headers and measure the labelled cases, or read what was measured before on files with the
    same content. ``progress`` counts headers, then labelled cases.

    Raises
    ------
    DataError
        No labelled case, an unreadable file, mixed dimensions, or a class that no labelled case has.
    """
    if not split.labeled:
        raise DataError("no labelled case", path=cohort.root, remedy="add a label file, or check --labeled")
    cases, labeled = (*split.labeled, *split.unlabeled), len(split.labeled)
    known = cache_folder(cohort.root, cache) / "fingerprints"

    def told(done: int) -> None:
        if progress is not None:
            progress(done, len(cases) + labeled)

    headers = read_headers(cohort, cases, workers, lambda done, _: told(done))
    path = known / f"{_key(cohort, split, headers)}.json"
    drawn = _read(path)
    if drawn is None:
        drawn = _measured(cohort, split, headers, lambda done, _: told(len(cases) + done), workers)
        write_json(path, plain(drawn))
    else:
        told(len(cases) + labeled)
    others = zip(split.unlabeled, headers.sizes[labeled:], strict=True)
    return Fingerprint(
        dims=headers.dims,
        axes=headers.axes,
        native_spacing=headers.native_spacing,
        spacing_known=headers.spacing_known,
        untold=headers.untold,
        channels=cohort.channels,
        values=cohort.values,
        names=tuple(cohort.classes[value] for value in cohort.values),
        regions=tuple((r.name, r.values, r.written) for r in cohort.regions.each),
        rungs=RUNGS,
        labeled=labeled,
        foreground=drawn.foreground,
        cases=(*drawn.cases, *(CaseFingerprint(case.name, *size) for case, size in others)),
    )


def rung_spacing(native_spacing: Sequence[float], rung: float) -> tuple[float, ...]:
    """Working spacing at a rung: ``rung`` times the finest axis; a coarser axis stays as it is until then."""
    finest = min(native_spacing)
    return tuple(max(float(s), rung * finest) for s in native_spacing)


@dataclass(frozen=True)
class _Task:
    case: Case
    channels: int
    values: tuple[int, ...]
    regions: Regions
    ignore: int | None
    axes: tuple[int, ...]
    native_spacing: tuple[float, ...]
    spacing_known: bool
    samples: int


def _measured(
    cohort: Cohort, split: Split, headers: Headers, progress: Progress, workers: int | None
) -> Drawn:
    tasks = [
        _Task(
            case, len(cohort.channels), cohort.values, cohort.regions, cohort.ignore,
            headers.axes, headers.native_spacing, headers.spacing_known,
            min(SAMPLES, max(1, MOST_SAMPLES // len(split.labeled))),
        )
        for case in split.labeled
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
                remedy=without_class(number, cohort),
            )
    samples = np.concatenate([sample for _, sample in results], axis=1)
    return Drawn(tuple(_intensity(channel) for channel in samples), measured)


def _measure(task: _Task) -> tuple[CaseFingerprint, np.ndarray]:
    """A labelled case's numbers, and ``(C, n)`` float32 intensities of its foreground."""
    volume = read_case(task.case)
    path = task.case.images[0]
    refuse_other_channels(path, volume.channels, task.channels)
    refuse_not_finite(volume)
    native = None if task.spacing_known else task.native_spacing
    grids = [Grid.lay(volume, task.axes, rung_spacing(task.native_spacing, rung), native) for rung in RUNGS]
    regions = tuple(task.regions.parts.values())
    parts = (*((value,) for value in task.values), *regions)
    label = read_label_on(task.case, volume, task.values, task.ignore, task.regions)
    label, _ = filled_label(label, task.ignore)
    annotated = task.values if task.case.annotated is None else task.case.annotated
    counts = [int(within(label, p).sum()) if set(p) <= set(annotated) else 0 for p in parts]
    asked = tuple(p[0] for p, count in zip(parts[: len(task.values)], counts, strict=False) if count)
    largest = tuple(
        int(largest_component(within(label[0], p)).sum()) / count if count else None
        for p, count in zip(parts, counts, strict=True)
    )
    foreground = np.isin(label[0], asked)
    together, extent = None, None
    if asked and set(task.values) <= set(annotated):
        piece = largest_component(foreground)
        together = int(piece.sum()) / int(foreground.sum())
        extent = grids[0].orientation.reorder([side.stop - side.start for side in box_of(piece, 1)])
    ceilings: tuple[tuple[float | None, ...], ...] = ()
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
    found = CaseFingerprint(
        name=task.case.name,
        shape=grids[0].native_shape,
        spacing=grids[0].native_spacing,
        voxels=tuple(count or None for count in counts),
        ceilings=ceilings,
        largest=largest,
        together=together,
        extent=extent,
    )
    return found, sample


def _intensity(values: np.ndarray) -> Intensity:
    flat = values.astype(np.float32, copy=False).ravel()
    low, high = (float(q) for q in np.percentile(flat, [0.5, 99.5]))
    return Intensity(low, high, float(flat.mean(dtype=np.float64)), float(flat.std(dtype=np.float64)))


def _key(cohort: Cohort, split: Split, headers: Headers) -> str:
    """Of all that the labelled cases' numbers depend on: unlabelled ones count by their spacing alone."""
    return digest(
        {
            "format": FORMAT,
            "cases": [[case.name, case.annotated] for case in split.labeled],
            "contents": map_cases(files_sha256, split.labeled, READERS),
            "labels": map_cases(label_sha256, split.labeled, READERS),
            "classes": [[value, cohort.classes[value]] for value in cohort.values],
            "regions": cohort.regions.to_json(),
            "ignore": cohort.ignore,
            **({} if cohort.ignore is None else {"slices": "filled"}),
            "channels": cohort.channels,
            "axes": headers.axes,
            "native_spacing": headers.native_spacing,
            "spacing_known": headers.spacing_known,
        }
    )


def _read(path: Path) -> Drawn | None:
    """What was measured before, or None where there is nothing or it cannot be used."""
    if not path.exists():
        return None
    try:
        found: Drawn = from_plain(read_json(path, FORMAT), Drawn, "fingerprint", path)
    except (DataError, SettingsError):
        return None
    return found
