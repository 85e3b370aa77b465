"""The desk: a data folder's scans, their labels and a model's masks, as several readers work at them."""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from semivox.annotating.book import Book, Edit, Reader
from semivox.annotating.class_rows import class_rows
from semivox.annotating.drawn import Drawn
from semivox.annotating.label_store import NONE, LabelStore
from semivox.annotating.order import NOTHING, Ranked, in_turn, read_ranking
from semivox.annotating.page_grid import (
    PageGrid,
    displayed,
    kind_of,
    known,
    to_numbers,
    to_values,
    usual_window,
)
from semivox.annotating.refusals import Busy, NotThere, NotWanted, Overtaken
from semivox.annotating.saving import put_in_place
from semivox.annotating.whole_classes import WholeClasses
from semivox.cohort import Case, Volume, load_cohort, read_case, slice_axis
from semivox.errors import DataError, SemivoxError
from semivox.files import inside, make_folder

if TYPE_CHECKING:
    from semivox.inference import Model

FOLDER = "annotations"
"""Of the data folder: the book and the earlier labels."""
MOST_CLASSES = 255
KEPT = 3
"""Scans whose voxels stay in memory: of two readers, and the next one."""


@dataclass(frozen=True)
class Opened:
    """A scan in memory, with what the model finds in it."""

    case: Case
    scan: Volume
    grid: PageGrid


class Desk:
    """The scans of the data folder ``data``, with masks by the model of ``run``.

    Raises DataError where either is none, where they do not belong together, or where labels of this folder
    cannot be written.
    """

    def __init__(self, run: Path, data: Path, device: str = "auto", threads: int | None = None) -> None:
        from semivox.cohort import Task, refuse_other_task, with_classes_of
        from semivox.inference import read_card

        self.run, self.data, self._device, self._threads = run, data, device, threads
        self.card = read_card(run)
        cohort, task = load_cohort(data), Task.of_card(self.card)
        refuse_other_task(Task.of(cohort), task, data)
        self.cohort = with_classes_of(task, cohort)
        if (count := len(known(self.cohort.values, self.cohort.ignore))) > MOST_CLASSES:
            raise DataError(
                "has more classes than a page can draw",
                path=data,
                found=f"{count}",
                expected=f"{MOST_CLASSES} at most",
                remedy="predict, and correct the masks in 3D Slicer or ITK-SNAP",
            )
        self.cases = {case.name: case for case in self.cohort.cases}
        folder = inside(data, FOLDER)
        inside(data, FOLDER, "any")  # it is no link, which may lead out of the data folder
        make_folder(folder)
        self.store = LabelStore(self.cohort, folder)
        self.whole = WholeClasses(self.cohort, folder)
        self.book = Book(folder)
        self.book.settle({scan: self._version_of(scan) for scan in self.book.begun()})
        self.ranked: Ranked = NOTHING
        self._opened: OrderedDict[str, Opened] = OrderedDict()
        self._masks: OrderedDict[tuple[str, str], np.ndarray] = OrderedDict()
        self._reading, self._predicting, self._saving = threading.Lock(), threading.Lock(), threading.Lock()
        self._model: Model | None = None

    @property
    def folder(self) -> Path:
        return self.data / FOLDER

    def _version_of(self, scan: str) -> str:
        return self.store.version(self.cases[scan]) if scan in self.cases else NONE

    # ---- the list

    def take_ranking(self, *folders: Path) -> bool:
        """Offer scans as the first of these rankings says that the run's model made; whether there is one."""
        for folder in folders:
            ranked = read_ranking(folder)
            if ranked.model_id == self.card["model_id"]:
                self.ranked = ranked
                return True
        return False

    def listing(self, reader: Reader) -> list[dict[str, Any]]:
        """A row a scan, in the order in which they are offered."""
        actions, taken = self.book.last_actions(), self.book.open_with(reader)
        rows = []
        for name in self._in_turn(actions):
            action, note = actions.get(name, ("", ""))
            rows.append(
                {
                    "case": name,
                    "labeled": self.store.is_labeled(self.cases[name]),
                    "action": action,
                    "note": note,
                    "open_with": taken.get(name),
                    "reason": self.ranked.reasons.get(name, ""),
                }
            )
        return rows

    def _in_turn(self, actions: dict[str, tuple[str, str]]) -> list[str]:
        skipped = [name for name, (action, _) in actions.items() if action == "skip"]
        return in_turn(list(self.cases), self.ranked, skipped)

    def take_next(self, reader: Reader, besides: Collection[str] = ()) -> dict[str, Any] | None:
        """:meth:`facts` of :meth:`next_scan`; of several readers who ask at once each gets another one. Scans
        that cannot be read are passed over and told under ``unreadable``; DataError where no other is."""
        passed, faults = set(besides), list[DataError]()
        while (scan := self.next_scan(reader, passed)) is not None:
            passed.add(scan)
            try:
                return {**self.facts(scan, reader), "unreadable": [str(fault) for fault in faults]}
            except Busy:
                continue
            except DataError as fault:
                faults.append(fault)
        if faults:
            raise faults[0]
        return None

    def next_scan(self, reader: Reader, besides: Collection[str] = ()) -> str | None:
        """The first scan without a label that nobody has open and nobody flagged; None when all are done."""
        for row in self.listing(reader):
            free = not row["labeled"] and row["action"] != "flag" and row["open_with"] is None
            if free and row["case"] not in besides and self.cases[row["case"]].role != "test":
                return str(row["case"])
        return None

    def classes(self) -> list[dict[str, Any]]:
        """:func:`class_rows` of the folder."""
        return class_rows(self.cohort)

    # ---- one scan

    def case(self, scan: str) -> Case:
        """Raises NotThere: a case is looked up by its name, which becomes no path."""
        if scan not in self.cases:
            raise NotThere("no such scan in this data folder", path=self.data, found=repr(scan)[:200])
        return self.cases[scan]

    def opened(self, scan: str) -> Opened:
        """The scan's voxels. Raises NotThere, or DataError where it cannot be read."""
        case = self.case(scan)
        with self._reading:
            found = self._opened.pop(scan, None)
            if found is None:
                volume = read_case(case)
                found = Opened(case, volume, PageGrid.of(volume))
            self._opened[scan] = found
            while len(self._opened) > KEPT:
                self._opened.popitem(last=False)
        return found

    def facts(self, scan: str, reader: Reader) -> dict[str, Any]:
        """What the page shows beside the scan; the scan becomes this reader's, who keeps the former one where
        that fails. Raises Busy, NotThere, DataError."""
        opened = self.opened(scan)
        whole = self.whole.of(opened.case)
        self.store.version(opened.case)  # what cannot be read is told before the scan changes hands
        self.book.take(scan, reader)
        grid, volume = opened.grid, opened.scan
        return {
            "case": scan,
            "shape": list(grid.shape),
            "edges": list(grid.edges),
            "spacing_known": volume.spacing_mm is not None and self.cohort.spacing_known,
            "dims": volume.dims,
            "placed": volume.placed,
            "colour": volume.is_colour,
            "voxels": kind_of(volume),
            "windows": [usual_window(volume, channel) for channel in range(volume.channels)],
            "channels": [] if volume.is_colour else list(self.cohort.channels)[: volume.channels],
            "version": self.store.version(opened.case),
            "whole": [row["number"] for row in self.classes() if row["value"] in whole],
            "reason": self.ranked.reasons.get(scan, ""),
            "flag": next((n for a, n in [self.book.last_actions().get(scan, ("", ""))] if a == "flag"), None),
            "plane": 2 - slice_axis(grid.shape, grid.edges),
        }

    def image(self, scan: str, channel: int = 0, at: int | None = None) -> bytes:
        """The scan's plain voxels on the page's grid; of one slice, or of all. Raises NotThere."""
        opened = self.opened(scan)
        for name, given, count in (
            ("channel", channel, opened.scan.channels),
            ("slice", 0 if at is None else at, opened.grid.shape[2]),
        ):
            if not 0 <= given < count:
                raise NotThere(f"no such {name}", found=given, expected=f"0 to {count - 1}")
        return displayed(opened.scan, opened.grid, channel, at)

    def label(self, scan: str) -> bytes | None:
        """Class numbers of the scan's label on the page's grid, a byte a voxel; None where there is none."""
        opened = self.opened(scan)
        values = self.store.read(opened.case, opened.scan)
        return None if values is None else self._numbers(opened, values)

    def mask(self, scan: str) -> bytes:
        """The same of the model's mask."""
        opened = self.opened(scan)
        return self._numbers(opened, self.predicted(scan))

    def predicted(self, scan: str) -> np.ndarray:
        """The model's label values ``(X, Y[, Z])`` in the file's axes."""
        volume = self.opened(scan).scan
        with self._predicting:
            model = self._loaded()
            key = (scan, model.model_id)
            found = self._masks.pop(key, None)
            if found is None:
                found = model.predict(volume).mask
            self._masks[key] = found
            while len(self._masks) > KEPT:
                self._masks.popitem(last=False)
        return found

    def _loaded(self) -> Model:
        from semivox.inference import load_model

        if self._model is None:
            self._model = load_model(self.run, device=self._device, threads=self._threads)
        return self._model

    def use(self, run: Path) -> None:
        """From now on masks are by this run's model."""
        from semivox.inference import read_card

        card = read_card(run)
        with self._predicting:
            self.run, self.card, self._model = run, card, None
        self.ranked = NOTHING

    def get_ready(self, reader: Reader, besides: str) -> None:
        """Read and predict the scan that is offered next, so that nobody waits for it."""
        passed = {besides}
        while (scan := self.next_scan(reader, passed)) is not None:
            passed.add(scan)
            try:
                self.opened(scan)
            except DataError:
                continue
            with contextlib.suppress(SemivoxError):  # it is told when the scan is opened
                self.predicted(scan)
            return

    def _numbers(self, opened: Opened, values: np.ndarray) -> bytes:
        numbers = to_numbers(values, self.cohort.values, self.cohort.ignore)
        return opened.grid.to_page(numbers).tobytes(order="F")

    # ---- what readers do

    def save(
        self,
        scan: str,
        reader: Reader,
        began_with: str,
        raw: bytes,
        seconds: float,
        drawn: Drawn | None = None,
        whole: Collection[int] | None = None,
    ) -> str:
        """Write the label that a reader drew: class numbers on the page's grid; returns its version.

        ``began_with``: the version that the reader saw. ``drawn``: the slices that count, where it is not all
        of them; the others become ``ignore``. ``whole``: numbers of the classes that were drawn throughout;
        the others' voxels are left out, and ``cases.csv`` tells training that nobody drew them. None: what
        it says stays.

        Raises
        ------
        Busy, Overtaken
            Another reader has the scan open; the label is another one by now.
        NotWanted
            The bytes are no mask of this scan, ``drawn`` is given and the folder declares no ``ignore``, or
            ``whole`` names no class, or a part of structures that share voxels.
        DataError, DiskFault
            It cannot be written; what was there is as it was.
        """
        values = self._drawn_values(self.opened(scan), raw, drawn)
        told = [] if drawn is None else [str(drawn)]
        classes = None if whole is None else self._values_of(whole)
        if classes is not None and classes != set(self.cohort.values):
            values[np.isin(values, sorted(set(self.cohort.values) - classes))] = 0
            told.append("classes " + ",".join(map(str, sorted(classes))))
        return self.save_values(scan, reader, began_with, values, seconds, " ".join(told), classes)

    def save_values(
        self,
        scan: str,
        reader: Reader,
        began_with: str,
        values: np.ndarray,
        seconds: float,
        drawn: str = "",
        classes: frozenset[int] | None = None,
    ) -> str:
        """The same for label values ``(X, Y[, Z])`` in the file's axes, and values of the classes drawn."""
        opened = self.opened(scan)
        with self._saving:
            draft = self.store.draft(opened.case, opened.scan, values)
            before = self.store.version(opened.case)
            if before != began_with:
                raise Overtaken(
                    f"the label of {scan} has changed since you opened it",
                    found=f"{before[:12] or 'no label'}, written by {self._writer_of(scan, before)}",
                    expected=began_with[:12] or "no label",
                    remedy="open the scan again and look at the new label; nothing was overwritten",
                )
            edit = Edit(
                scan, reader.name, "save", str(self.card["model_id"]), seconds, before=before,
                after=draft.version, drawn=drawn,
            )  # fmt: skip
            put_in_place(draft, edit, reader.holder, opened.case, classes, self.book, self.store, self.whole)
        return draft.version

    def _writer_of(self, scan: str, version: str) -> str:
        rows = [row["reader"] for row in self.book.history(scan) if row["after"] == version]
        return rows[-1] if rows else "another program"

    def _values_of(self, numbers: Collection[int]) -> frozenset[int]:
        values = {row["number"]: row["value"] for row in self.classes() if not row["ignore"]}
        return self.whole.checked([values.get(number, -1) for number in numbers])

    def _drawn_values(self, opened: Opened, raw: bytes, drawn: Drawn | None) -> np.ndarray:
        if len(raw) != opened.grid.voxels:
            raise NotWanted(
                "the mask has another size than the scan",
                found=f"{len(raw)} voxels",
                expected=f"{opened.grid.voxels}: {' x '.join(map(str, opened.grid.shape))}",
            )
        values, ignore = self.cohort.values, self.cohort.ignore
        if drawn is not None:
            if ignore is None:
                raise NotWanted(
                    "a part of a label needs a value for the rest",
                    path=self.data / "dataset.json",
                    expected='an entry such as "ignore": 255 in "labels"',
                    remedy="add it and start annotate again, or look through all slices and save the whole",
                )
            raw = drawn.rest_as(len(known(values, ignore)), raw, opened.grid.shape)
        try:
            return to_values(opened.grid.from_page(raw), values, ignore)
        except ValueError as error:
            raise NotWanted("the mask has a class that the data folder has not", found=str(error)) from None

    def labeled(self) -> list[str]:
        """What a next run learns from: the run's labelled scans, and those whose label was saved here."""
        from semivox.ranking.labeled import labeled_cases

        of_run = {case.name for case in labeled_cases(self.run, self.cohort).cases}
        wanted = of_run | set(self.book.saved())
        return [name for name, case in self.cases.items() if name in wanted and self.store.is_labeled(case)]

    def mark(self, scan: str, reader: Reader, action: Any, note: str, seconds: float) -> None:
        """Skip a scan, flag it, or take either back. Raises NotThere, NotWanted."""
        self.case(scan)
        if action not in ("skip", "flag", "back"):
            raise NotWanted("no such action", found=repr(action)[:80], expected="skip, flag or back")
        self.book.note(Edit(scan, reader.name, action, seconds=seconds, note=note))
