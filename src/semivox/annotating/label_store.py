"""Labels on the disk: one file a case in its folder's place, written whole, the earlier ones kept.

The version of a label is the hash of its file, so a label that another program has changed is another
version, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from semivox.cohort import (
    Case,
    Cohort,
    Segment,
    Volume,
    ending_of,
    label_place,
    segments_of_classes,
    sha256_file,
    write_mask,
)
from semivox.errors import DataError
from semivox.files import inside, is_bare, make_folder, read_bytes, remove_file, scratch, write_bytes
from semivox.prepare import read_label_on

IGNORED = "#808080"
NONE = ""
"""The version of a label that is not there."""


@dataclass(frozen=True)
class Draft:
    """A label's bytes that are not at their place yet."""

    place: Path
    content: bytes
    version: str


class LabelStore:
    """The labels of ``cohort``; what they replace goes to ``folder``/earlier/CASE/NUMBER.ENDING.

    Raises DataError where no label of this folder can be written.
    """

    def __init__(self, cohort: Cohort, folder: Path) -> None:
        self._cohort, self._folder = cohort, folder
        parts = cohort.regions.parts
        named = segments_of_classes(cohort.structures, cohort.codes, cohort.colours, parts)
        ignore = () if cohort.ignore is None else (Segment(cohort.ignore, "ignore", IGNORED),)
        self._segments = (*named, *ignore)
        self._places: dict[str, Path] = {}
        self._faults: dict[str, DataError] = {}
        for case in cohort.cases:
            try:
                self._places[case.name] = label_place(cohort, case)
            except DataError as fault:
                self._faults[case.name] = fault
        if self._faults and not self._places:
            raise next(iter(self._faults.values()))

    def place(self, case: Case) -> Path:
        """As :func:`semivox.cohort.label_place`."""
        if case.name in self._faults:
            raise self._faults[case.name]
        return self._places[case.name]

    def is_labeled(self, case: Case) -> bool:
        """Whether its label file is there, or cannot be ours to write."""
        return case.name in self._faults or self._places[case.name].is_file()

    def version(self, case: Case) -> str:
        place = self.place(case)
        return sha256_file(place) if place.is_file() else NONE

    def read(self, case: Case, scan: Volume) -> np.ndarray | None:
        """The label's values ``(X, Y[, Z])`` in the scan's axes; None where there is none.

        Raises DataError where it lies on another grid or holds a value of no class.
        """
        place = self.place(case)
        if not place.is_file():
            return None
        labeled = replace(case, label=place)
        return read_label_on(labeled, scan, self._cohort.values, self._cohort.ignore)[0]

    def draft(self, case: Case, scan: Volume, mask: np.ndarray) -> Draft:
        """What the label's file will be for these values ``(X, Y[, Z])``, with the scan's own header."""
        place = self.place(case)
        with scratch(self._folder / "draft") as folder:
            written = write_mask(folder / f"label{ending_of(place)}", mask, scan, segments=self._segments)
            if ending_of(written) != ending_of(place):
                raise DataError(
                    "these label values need another format",
                    path=place,
                    found=ending_of(written),
                    expected=ending_of(place),
                    remedy="make a data folder in that format with semivox import",
                )
            content, version = read_bytes(written), sha256_file(written)
        return Draft(place, content, version)

    def keep_earlier(self, case: Case) -> str | None:
        """Copy the label that is there beside the book; returns the copy's name in CASE's folder."""
        place = self.place(case)
        if not place.is_file():
            return None
        if not is_bare(case.name):
            raise DataError("not a name of a folder", path=place, found=repr(case.name)[:200])
        kept = inside(self._folder, "earlier", case.name)
        make_folder(kept)
        number = 1 + max((int(p.name[:4]) for p in kept.iterdir() if p.name[:4].isdigit()), default=0)
        name = f"{number:04d}{ending_of(place)}"
        write_bytes(inside(kept, name), read_bytes(place))
        return name

    def forget_earlier(self, case: Case, name: str | None) -> None:
        """Remove a copy that :meth:`keep_earlier` made."""
        if name is not None:
            remove_file(self._folder, "earlier", case.name, name)

    def former(self, case: Case) -> bytes | None:
        """The bytes of the label that is there; None where there is none."""
        place = self.place(case)
        return read_bytes(place) if place.is_file() else None

    def bring_back(self, case: Case, former: bytes | None, draft: Draft) -> None:
        """What :meth:`former` gave in place of the draft, if that has its place already."""
        if self.version(case) != draft.version:
            return
        if former is None:
            remove_file(draft.place.parent, draft.place.name)
        else:
            write_bytes(draft.place, former)

    def put(self, draft: Draft) -> None:
        """Give the label its place, at once."""
        make_folder(draft.place.parent)
        write_bytes(draft.place, draft.content)
