"""The store: every case on the working grid, as memory-mapped arrays that runs share.

    CACHE/images/KEY/    image.npy, body.npy, meta.json
    CACHE/targets/KEY/   target.npy, foreground.npy, valid.npy (only with `ignore` voxels), known.npy
                         (only where some slices were drawn), meta.json

A key is the hash of the case's files and of the plan's preprocessing fields, so a changed file or spacing is
another entry and a changed patch, batch or budget is not. Entries appear by rename, whole or not at all.
Processes that want the same ones make them together (:mod:`semivox.prepare.shares`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from semivox.cohort import Case, Cohort, Progress, Split, files_sha256, label_sha256
from semivox.errors import DataError
from semivox.prepare.cache import cache_folder, digest
from semivox.prepare.parallel import READERS, map_cases
from semivox.prepare.plan import Plan
from semivox.prepare.shares import made_together
from semivox.prepare.store_entry import Job, read_meta


@dataclass(frozen=True)
class StoredCase:
    """One case on the working grid; arrays are read-only memory maps, points are in working voxels.

    Parameters
    ----------
    image
        ``(C, ...)`` float16 (float32 where float16 would overflow), normalised.
    target
        ``(K-1, ...)`` uint8 class fractions, 255 = fully that class; None if unlabelled.
    valid
        ``(1, ...)`` uint8, 255 = no part of the voxel is marked ``ignore``, else 0; None: all valid.
    known
        ``(n, dims)`` int32 voxels that are valid, where some slices of the label were drawn; else None. In
        the place of the others ``target`` has the nearest drawn one.
    foreground
        Class index (from 1) -> ``(n, dims)`` int32 voxels of that class, n <= 2000; absent classes lack.
    body
        ``(n, dims)`` int32 voxels brighter than the scan's mean, 1 <= n <= 2000.
    spacing
        Size of a voxel, in the plan's working units.
    annotated
        ``(K-1,)`` float32, 1 where the class was annotated in this case; zeros if unlabelled.
    """

    name: str
    image: np.ndarray
    target: np.ndarray | None
    valid: np.ndarray | None
    foreground: dict[int, np.ndarray]
    body: np.ndarray
    spacing: tuple[float, ...]
    annotated: np.ndarray
    known: np.ndarray | None = None


@dataclass(frozen=True)
class StoreRow:
    """Where one case of a store lies. ``sha256`` is the hash of its image files' bytes; ``patient`` is the
    case's name where the cohort names no patients."""

    name: str
    patient: str
    sha256: str
    image: Path
    target: Path | None
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    annotated: tuple[float, ...]


@dataclass(frozen=True)
class Store:
    """The cases of one run: labelled ones first, then unlabelled ones, each in the split's order.

    It holds paths only, so it can be sent to worker processes; :meth:`case` opens the arrays.
    """

    root: Path
    rows: tuple[StoreRow, ...]
    labeled: tuple[int, ...]
    unlabeled: tuple[int, ...]

    @property
    def cases(self) -> tuple[str, ...]:
        """Names, in the store's order."""
        return tuple(row.name for row in self.rows)

    @property
    def patients(self) -> tuple[str, ...]:
        """The patient of each case, in the store's order."""
        return tuple(row.patient for row in self.rows)

    @property
    def disk_bytes(self) -> int:
        """What the entries of this run take on disk."""
        folders = {f for row in self.rows for f in (row.image, row.target) if f is not None}
        return sum(sum(read_meta(folder)["files"].values()) for folder in folders)

    def case(self, index: int) -> StoredCase:
        """Open the case at ``index``; costs well under a millisecond, holds no voxel in memory."""
        row = self.rows[index]
        target = valid = known = None
        foreground: dict[int, np.ndarray] = {}
        if row.target is not None:
            target = np.load(row.target / "target.npy", mmap_mode="r", allow_pickle=False)
            if (row.target / "valid.npy").exists():
                valid = np.load(row.target / "valid.npy", mmap_mode="r", allow_pickle=False)
            if (row.target / "known.npy").exists():
                known = np.load(row.target / "known.npy", allow_pickle=False)
            points = np.load(row.target / "foreground.npy", allow_pickle=False)
            foreground = {int(k): points[points[:, 0] == k, 1:] for k in np.unique(points[:, 0])}
        return StoredCase(
            name=row.name,
            image=np.load(row.image / "image.npy", mmap_mode="r", allow_pickle=False),
            target=target,
            valid=valid,
            foreground=foreground,
            body=np.load(row.image / "body.npy", allow_pickle=False),
            spacing=row.spacing,
            annotated=np.array(row.annotated, np.float32),
            known=known,
        )


def build_store(
    cohort: Cohort,
    split: Split,
    plan: Plan,
    cache: str | Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Store:
    """Bring every case of ``split`` to the working grid, or find it there.

    Only labels of ``split.labeled`` are opened. Entries that exist are reused; what others are making is
    waited for when nothing else is left to make. ``progress`` is called with (done, total).

    Raises
    ------
    DataError
        An unreadable or inconsistent file, NaN or infinity in an image, or a disk that is full or read-only.
    """
    root = cache_folder(cohort.root, cache)
    cases = (*split.labeled, *split.unlabeled)
    labeled = tuple(range(len(split.labeled)))
    contents = map_cases(files_sha256, cases, READERS)
    labels = map_cases(label_sha256, split.labeled, READERS)
    images = [
        _image_job(case, content, cohort, plan, root) for case, content in zip(cases, contents, strict=True)
    ]
    targets = [
        _target_job(case, content, label, cohort, plan, root)
        for case, content, label in zip(split.labeled, contents, labels, strict=False)
    ]
    metas = made_together((*images, *targets), root, workers, progress)
    rows = []
    for index, (case, content, job) in enumerate(zip(cases, contents, images, strict=True)):
        meta = metas[job.folder]
        rows.append(
            StoreRow(
                name=case.name,
                patient=case.group,
                sha256=content,
                image=job.folder,
                target=targets[index].folder if index < len(labeled) else None,
                shape=tuple(meta["shape"]),
                spacing=tuple(meta["spacing"]),
                annotated=_annotated(case, cohort) if index < len(labeled) else (0.0,) * len(cohort.values),
            )
        )
    return Store(root, tuple(rows), labeled, tuple(range(len(labeled), len(cases))))


def _image_job(case: Case, content: str, cohort: Cohort, plan: Plan, root: Path) -> Job:
    key = digest({"image": content, **_fields(plan)})
    return Job(root / "images" / key, key, case, plan, len(cohort.channels))


def _target_job(case: Case, content: str, label: str, cohort: Cohort, plan: Plan, root: Path) -> Job:
    if case.label is None:
        raise DataError(
            "a labelled case has no label file", path=case.images[0], remedy="see `semivox check`"
        )
    annotated = _annotated(case, cohort)
    known: dict[str, Any] = {"ignore": cohort.ignore, "values": cohort.values, "annotated": annotated}
    if cohort.regions:
        known["regions"] = cohort.regions.to_json()
    if cohort.ignore is not None:
        known["slices"] = "filled"
    key = digest({"image": content, "label": label, **_fields(plan), **known})
    place = root / "targets" / key
    known_classes = cohort.values, cohort.ignore, annotated, cohort.regions
    return Job(place, key, case, plan, len(cohort.channels), *known_classes)


def _fields(plan: Plan) -> Mapping[str, Any]:
    """The plan's preprocessing fields: all that a stored array depends on, and nothing else."""
    native = None if plan.spacing_known else plan.native_spacing
    channels = [[c.scheme, c.low, c.high, c.mean, c.std] for c in plan.channels]
    return {"axes": plan.axes, "spacing": plan.spacing, "native": native, "channels": channels}


def _annotated(case: Case, cohort: Cohort) -> tuple[float, ...]:
    known = cohort.values if case.annotated is None else case.annotated
    return tuple(float(value in known) for value in cohort.values)
