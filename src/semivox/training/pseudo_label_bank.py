"""The pseudo-label bank of a run: what its own weights say of the unlabelled scans, a folder a generation.

    RUN/pseudo_labels/003/        made on entry of the stage with index 3
        begun.json                what it is made by and of (weights, part, clean-up)
        00012/                    the case with index 12 of the store, on the working grid
            target.npy confidence.npy foreground.npy, then case.json
        manifest.json             comes last, by rename: from then on the generation counts

A killed relabelling goes on with the cases it has if the weights are the same, and starts over if not.
Several processes deal the cases out among themselves: all of them see this folder.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from semivox.batches import PseudoLabel, part_of
from semivox.contents import Generation, PseudoLabelRow
from semivox.errors import DataError, TrainingFailed
from semivox.files import read_json, remove_file, remove_folder, replacing, scratch, write_json
from semivox.methods import Relabel
from semivox.prepare import FULL, Plan, Store
from semivox.randomness import Key
from semivox.training.label_quality import (
    BINS,
    confidence_floors,
    confidences,
    labeled_volumes,
    refusal,
    scan_weight,
)
from semivox.training.labelling import agreement, label_scan, weights_hash
from semivox.training.processes import ALONE, Processes

FORMAT = 1
ARRAYS = ("target", "confidence", "foreground")
KEPT = 2
"""Generations of a part that stay: the newest, and the one before, which a run resumed there needs."""
TIMED = 3.0
"""Seconds of labelling that are timed where there is time for it."""
SHARED_DISK = 120.0
"""Seconds until what one machine wrote is seen by another."""


class PseudoLabelBank:
    """Labels scans and keeps what it said. ``key``: the run's, which cuts the parts as the streams do;
    ``mirror_axes``: those of the mirror images that a stage may ask for."""

    def __init__(
        self,
        folder: Path,
        store: Store,
        plan: Plan,
        key: Key,
        processes: Processes = ALONE,
        mirror_axes: Sequence[int] = (),
    ) -> None:
        self.folder, self.store, self.plan, self.key = Path(folder), store, plan, key
        self.processes, self.mirror_axes = processes, tuple(mirror_axes)

    def clear(self) -> None:
        """Forget everything: a new run begins."""
        remove_folder(self.folder.parent, self.folder.name)

    def relabel(
        self,
        stage: str,
        index: int,
        relabel: Relabel,
        networks: Sequence[nn.Module],
        progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> dict[str, Any]:
        """Label the cases of ``relabel.part`` with ``networks`` and publish them as generation ``index``.

        ``stage``: name of the stage with this ``index``; ``progress(done, total)`` is called after each case
        (of several processes: after each round of one case a process, in all of them).
        Returns ``part``, ``cases``, ``seconds``, ``volumes`` (mean working voxels of each class in a case),
        ``refused`` (why nobody should learn from them, see :func:`refusal`; None: they may), ``agreement``
        (mean Dice of scans with their mirror images)
        and ``laziness``: the mean Dice with the same cases' labels before, by class and over the classes
        (``foreground``); None where there are none before.
        """
        part = list(relabel.part)
        made_by = {
            "format": FORMAT,
            "stage": stage,
            "index": index,
            "part": part,
            "clean": relabel.clean,
            "soft": relabel.soft,
            "windows": relabel.windows,
            "mirrors": relabel.mirrors,
            "weights": weights_hash(networks),
        }
        folder, (rank, ranks) = self._generation(index), self.processes.place
        if self.processes.first and _content(folder / "begun.json") != made_by:
            _remove(folder)
            write_json(folder / "begun.json", made_by)
        self.processes.wait()
        before = self.view(index - 1)
        cases = part_of(self.store.unlabeled, self.store.patients, relabel.part, self.key)
        own = []
        for begin in range(0, len(cases), ranks):
            for case in cases[begin + rank : begin + ranks][:1]:
                place = folder / f"{case:05d}"
                row = _finished(place, len(self.plan.classes))
                if row is None:
                    key = self.key / "pseudo_labels" / index
                    row = self._label(place, case, relabel, networks, key, before)
                    write_json(place / "case.json", row)
                own.append(row)
            progress(min(begin + ranks, len(cases)), len(cases))
        everyone = self.processes.collect(own)
        rows = [everyone[n % ranks][n // ranks] for n in range(len(cases))]
        record = self._summary(rows)
        if self.processes.first:
            floors = confidence_floors([row["confidences"] for row in rows])
            write_json(folder / "manifest.json", {**made_by, **record, "floors": floors, "rows": rows})
            self._prune(index, part)
        self.processes.wait()
        _await(folder / "manifest.json")
        return {"part": part, **record}

    def seconds_a_case(
        self, relabel: Relabel, networks: Sequence[nn.Module], deadline: float = math.inf, most: int = 3
    ) -> float:
        """Mean seconds that labelling an unlabelled case takes; leaves no trace.

        Scans of one folder differ in size: ``most`` are timed that stand for as many equal parts of the cases
        by size, the middle part first, and what counts is the median of their times a voxel. They take turns
        for TIMED seconds, so that a busy second is the smaller part of them, and the fastest turn of each
        counts. After ``deadline`` (time.monotonic) no case is begun but the first.
        """
        voxels = {case: math.prod(self.store.rows[case].shape) for case in self.store.unlabeled}
        timed, fastest = _of_all_sizes(voxels, most), dict[int, float]()
        began = time.monotonic()
        with scratch(self.folder / "timing") as folder:
            for turn, case in ((turn, case) for turn in count() for case in timed):
                now = time.monotonic()
                if fastest and (now >= deadline or (case in fastest and now >= began + TIMED)):
                    break
                row = self._label(folder / f"{turn}-{case}", case, relabel, networks, self.key, self.view(-1))
                fastest[case] = min(fastest.get(case, math.inf), row["seconds"])
        a_voxel = statistics.median(seconds / voxels[case] for case, seconds in fastest.items())
        return a_voxel * statistics.mean(voxels.values())

    def view(self, index: int) -> BankView:
        """What the stage with this ``index`` sees: of each case the newest generation up to ``index``.

        Raises DataError for a manifest that cannot be read.
        """
        folders: dict[int, Path] = {}
        floors: dict[int, tuple[float, ...]] = {}
        agreements: dict[int, float] = {}
        for i, manifest in self._published().items():
            if i <= index:
                for row in manifest["rows"]:
                    case, agreed = row["index"], row.get("agreement")
                    folders[case] = self._generation(i) / f"{case:05d}"
                    floors[case] = tuple(manifest.get("floors") or ())  # earlier versions had neither
                    agreements[case] = 1.0 if agreed is None else agreed
        return BankView(self.folder, self.store, len(self.plan.classes), folders, floors, agreements)

    def refused(self, index: int) -> bool:
        """Whether nobody should learn from generation ``index``."""
        manifest = self._published().get(index, {})
        return manifest.get("refused") is not None

    def _label(
        self,
        place: Path,
        index: int,
        relabel: Relabel,
        networks: Sequence[nn.Module],
        key: Key,
        before: BankView,
    ) -> dict[str, Any]:
        """Label one case and write its arrays; returns its row."""
        began = time.perf_counter()
        image = self.store.case(index).image
        try:
            label = label_scan(
                networks, image, self.plan, relabel, key / index, self.mirror_axes, self._shown
            )
        except DataError as error:  # no label of any case would be worth more than this one's
            case = self.store.cases[index]
            raise TrainingFailed(
                f"case {case} cannot be labelled: {error.fault}", found=error.found, remedy=error.remedy
            ) from error
        dice = None
        if index in before.folders:
            with contextlib.suppress(DataError):  # a damaged one is only missed by the measurement
                dice = agreement(label.target, before.labels(index).target)
        points = [np.insert(found, 0, k, axis=1) for k, found in label.foreground.items()]
        none = np.zeros((0, label.target.ndim), np.int32)
        for name, array in zip(
            ARRAYS, (label.target, label.confidence, np.concatenate([none, *points])), strict=True
        ):
            with replacing(place / f"{name}.npy") as temporary:
                np.save(temporary, array, allow_pickle=False)
        return {
            "format": FORMAT,
            "index": index,
            "case": self.store.cases[index],
            "files": {name: (place / f"{name}.npy").stat().st_size for name in ARRAYS},
            "volumes": [int(plane.sum(dtype=np.int64)) / FULL for plane in label.target],
            "laziness": dice,
            "agreement": label.weight,
            "confidences": confidences(label),
            "seconds": time.perf_counter() - began,
        }

    def _summary(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        names = [c.name for c in self.plan.classes]
        volumes = np.mean([row["volumes"] for row in rows], axis=0) if rows else np.zeros(len(names))
        known = [row["laziness"] for row in rows if row["laziness"] is not None]
        laziness = None
        if known:
            dices = np.mean(known, axis=0)
            laziness = {n: float(d) for n, d in zip(names, dices, strict=True)}
            laziness["foreground"] = float(dices.mean())
        return {
            "cases": len(rows),
            "seconds": sum(row["seconds"] for row in rows),
            "volumes": {n: float(v) for n, v in zip(names, volumes, strict=True)},
            "laziness": laziness,
            "agreement": float(np.mean([row["agreement"] for row in rows])) if rows else 1.0,
            "refused": refusal(rows, self._labeled_volumes, names),
        }

    @cached_property
    def _labeled_volumes(self) -> list[list[tuple[float, float]]]:
        return labeled_volumes(self.store, len(self.plan.classes))

    @cached_property
    def _shown(self) -> list[bool]:
        """Of each foreground class, whether every labelled case that annotates it has it."""
        return [bool(known) and min(known)[0] >= 1 for known in self._labeled_volumes]

    def _prune(self, newest: int, part: list[int]) -> None:
        of_part = [i for i, m in self._published().items() if i <= newest and m["part"] == part]
        for index in of_part[:-KEPT]:
            _remove(self._generation(index))

    def _published(self) -> dict[int, dict[str, Any]]:
        """Manifests by generation, oldest first."""
        found = {int(path.parent.name): path for path in self.folder.glob("[0-9]*/manifest.json")}
        return {index: self._manifest(found[index]) for index in sorted(found)}

    def _manifest(self, path: Path) -> dict[str, Any]:
        try:
            return read_json(path, newest=FORMAT, kind=Generation)
        except DataError as error:
            raise _lost("the record of its pseudo-labels is damaged", path, error.found) from error

    def _generation(self, index: int) -> Path:
        return self.folder / f"{index:03d}"


@dataclass(frozen=True)
class BankView:
    """The pseudo-labels that a stage sees: of each case that has one, the folder of its arrays, the floors of
    confidence of its classes, and the agreement of its views."""

    root: Path
    store: Store
    classes: int  # foreground classes
    folders: Mapping[int, Path]
    floors: Mapping[int, tuple[float, ...]]
    agreements: Mapping[int, float]

    def agreement(self, index: int, /) -> float:
        """Of the views of case ``index``; 0 where it has no pseudo-label."""
        return self.agreements.get(index, 0.0)

    def labels(self, index: int, /) -> PseudoLabel:
        """Of case ``index``, as memory maps. Raises DataError where there is none, or a damaged one."""
        name, shape = self.store.cases[index], self.store.rows[index].shape
        if index not in self.folders:
            raise _lost(f"there is no pseudo-label of case {name}", self.root, None)
        folder = self.folders[index]
        try:
            target, confidence = (
                np.load(folder / f"{array}.npy", mmap_mode="r", allow_pickle=False) for array in ARRAYS[:2]
            )
            points = np.load(folder / "foreground.npy", allow_pickle=False)
            if (target.shape, confidence.shape) != ((self.classes, *shape), (1, *shape)):
                raise ValueError(f"shape {target.shape}")
        except (OSError, ValueError, EOFError) as error:
            raise _lost(f"the pseudo-label of case {name} is damaged", folder, error) from error
        foreground = {int(k): points[points[:, 0] == k, 1:] for k in np.unique(points[:, 0])}
        weight = scan_weight(self.agreements[index])
        return PseudoLabel(target, confidence, foreground, self.floors[index], weight)


class BlankLabels:
    """Pseudo-labels of certain background: with them a step can be timed before anything is labelled."""

    def __init__(self, store: Store, plan: Plan) -> None:
        self.store, self.classes = store, len(plan.classes)

    def labels(self, index: int, /) -> PseudoLabel:
        shape = self.store.rows[index].shape
        return PseudoLabel(
            np.zeros((self.classes, *shape), np.uint8), np.full((1, *shape), FULL, np.uint8), {}
        )

    def agreement(self, index: int, /) -> float:
        return 1.0


def _of_all_sizes(voxels: Mapping[int, int], most: int) -> list[int]:
    """The cases in the middle of ``most`` equal parts by size, those nearest to the median of all first."""
    by_size = sorted(voxels, key=lambda case: (voxels[case], case))
    parts = min(most, len(by_size))
    middles = sorted(range(parts), key=lambda part: abs(2 * part + 1 - parts))
    return [by_size[(2 * part + 1) * len(by_size) // (2 * parts)] for part in middles]


def _finished(place: Path, classes: int) -> dict[str, Any] | None:
    """The row of a case that is labelled and whole, with all that a summary takes from it."""
    row = _content(place / "case.json", PseudoLabelRow)
    if row is None or not row.keys() >= {"laziness", "agreement", "seconds"}:
        return None
    volumes, histograms = row.get("volumes", ()), row.get("confidences", ())
    if row["index"] != int(place.name) or not len(volumes) == len(row["laziness"] or volumes) == classes:
        return None
    if [len(counts) for counts in histograms] != [BINS] * (classes + 1):
        return None
    files = {place / f"{name}.npy": size for name, size in row["files"].items()}
    return row if all(path.exists() and path.stat().st_size == size for path, size in files.items()) else None


def _content(path: Path, kind: Any = None) -> dict[str, Any] | None:
    with contextlib.suppress(DataError):
        return read_json(path, newest=FORMAT, kind=kind)
    return None


def _await(manifest: Path) -> None:
    """Until the manifest that the first process has written is seen here."""
    deadline = time.monotonic() + SHARED_DISK
    while not manifest.exists():
        if time.monotonic() > deadline:
            raise _lost("the pseudo-labels that the first process published are not here", manifest, None)
        time.sleep(0.5)


def _remove(generation: Path) -> None:
    # the manifest first: half of a generation must not count
    remove_file(generation.parent.parent, generation.parent.name, generation.name, "manifest.json")
    remove_folder(generation.parent.parent, generation.parent.name, generation.name)


def _lost(fault: str, path: Path, found: object) -> DataError:
    return DataError(
        fault,
        path=path,
        found=found,
        remedy="put the folder back as it was, or start the run again in a new one: the weights that made "
        "these labels are gone, so --resume cannot make them again",
    )
