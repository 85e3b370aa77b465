"""Scans, masks and labels as files for other programs, and labels that they send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from semivox.annotating.refusals import NotWanted
from semivox.cohort import ending_of, grid_error, read_geometry, read_label, write_mask, write_volume
from semivox.errors import DataError
from semivox.files import read_bytes, scratch, write_bytes
from semivox.prepare import read_label_on

if TYPE_CHECKING:
    from semivox.annotating.desk import Desk

ENDING = ".nii.gz"
SENT = (".nii.gz", ".nii", ".nrrd", ".seg.nrrd", ".mha")
"""Endings of labels that are taken."""
NOT_LOOKED_AT = ("ignore", "not looked at")
"""What ``ignore`` is called in labels handed out, and on the page. A class of that name comes first."""
PLAIN = (".nii.gz", ".nii", ".nrrd", ".mha")
"""Endings of scans that are handed on as they are; others are written as NIfTI."""


def image_name(desk: Desk, scan: str) -> str:
    """The name under which a scan is handed on."""
    ending = ending_of(desk.case(scan).images[0])
    return scan + (ending if _as_it_is(desk, scan) and ending else ENDING)


def image_file(desk: Desk, scan: str) -> bytes:
    """The scan's own file; of several files, or another format, its channels as one NIfTI."""
    if _as_it_is(desk, scan):
        return read_bytes(desk.case(scan).images[0])
    volume = desk.opened(scan).scan
    with scratch(desk.folder / "handed") as folder:
        return read_bytes(write_volume(folder / f"scan{ENDING}", volume.array, volume, "nii.gz"))


def mask_file(desk: Desk, scan: str) -> bytes:
    """The model's mask as NIfTI, on the scan's own grid."""
    values = desk.predicted(scan)
    with scratch(desk.folder / "handed") as folder:
        return read_bytes(write_mask(folder / f"mask{ENDING}", values, desk.opened(scan).scan, "nii.gz"))


def label_file(desk: Desk, scan: str) -> tuple[bytes, str] | None:
    """The label's own file and its name, or None."""
    place = desk.store.place(desk.case(scan))
    return (read_bytes(place), place.name) if place.is_file() else None


def read_sent(desk: Desk, scan: str, content: bytes, name: str, names: Mapping[int, str]) -> np.ndarray:
    """The values ``(X, Y[, Z])`` of a label that another program has written.

    ``names``: what that program calls its values; they become those of the data folder's classes of these
    names, or ``ignore`` by one of :data:`NOT_LOOKED_AT`. Raises NotWanted where it is no label on the scan's
    grid, or has a class that the folder has not.
    """
    ending = ending_of(name)
    if ending not in SENT:
        raise NotWanted("not a format that a label is taken in", found=name[:80], expected=", ".join(SENT))
    opened = desk.opened(scan)
    with scratch(desk.folder / "sent") as folder:
        path = folder / f"label{ending}"
        write_bytes(path, content)
        try:
            grid = read_geometry(path, label=True)
            error = grid_error(
                "the label does not lie on its image's grid", path, grid, opened.case.images[0], opened.scan
            )
            if error is not None:
                raise error
            if names:
                return _renamed(desk, read_label(path, opened.scan).array[0], names)
            case = replace(opened.case, label=path)
            return read_label_on(case, opened.scan, desk.cohort.values, desk.cohort.ignore)[0]
        except DataError as fault:
            raise NotWanted(
                fault.fault, path=scan, found=fault.found, expected=fault.expected, remedy=fault.remedy
            ) from None


def _renamed(desk: Desk, values: np.ndarray, names: Mapping[int, str]) -> np.ndarray:
    cohort, known = desk.cohort, dict(names)
    own = {name.casefold(): value for value, name in cohort.classes.items()}
    if cohort.ignore is not None:
        own = dict.fromkeys(NOT_LOOKED_AT, cohort.ignore) | own
        known.setdefault(cohort.ignore, NOT_LOOKED_AT[0])  # a client may name the classes alone
    made = np.zeros(values.shape, np.int64)
    for value in np.unique(values).tolist():
        name = known.get(value, "").casefold()
        if value and name not in own:
            raise NotWanted(
                "the label has a class that the data folder has not",
                found=f"{value}: {names.get(value, 'no name')}"[:200],
                expected=", ".join([*cohort.classes.values(), *own.keys() & NOT_LOOKED_AT[:1]]),
                remedy="name the segments as the classes are named",
            )
        if value:
            made[values == value] = own[name]
    return made


def _as_it_is(desk: Desk, scan: str) -> bool:
    images = desk.case(scan).images
    return len(images) == 1 and images[0].is_file() and ending_of(images[0]) in PLAIN
