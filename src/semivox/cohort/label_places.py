"""Where the label of a case lies, or would lie so that the data folder's rules find it."""

from __future__ import annotations

from pathlib import Path

from semivox.cohort.case import Case, Cohort
from semivox.cohort.dataset_json import read_file_keys
from semivox.cohort.folder import LABELS, layout_of
from semivox.cohort.format_table import DETACHED, ENDINGS
from semivox.cohort.formats import ending_of
from semivox.cohort.mask_names import mask_name
from semivox.errors import DataError
from semivox.files import inside

REMEDY = "make a data folder of it with semivox import, and annotate that"


def label_place(cohort: Cohort, case: Case) -> Path:
    """The file of this case's label; nothing need be there.

    Raises DataError where a label with that name would not be found again, and for formats that no mask is
    written in.
    """
    if case.label is not None:
        ending = ending_of(case.label)
        if ending is None or ending in DETACHED or not ENDINGS[ending].written:
            raise _refused(case.label, "a label in this format cannot be written again", ending)
        return case.label
    layout = _layout(cohort)
    if layout not in LABELS:
        fault = "this layout lists its labels, so a new one would not be found"
        raise _refused(
            cohort.root, fault if layout == "pairs" else "this folder has no place for labels", layout
        )
    scan = _ending(cohort, layout, case)
    if scan in DETACHED:
        raise _refused(case.images[0], "a mask in this format would not be found as a label", scan)
    return inside(cohort.root, LABELS[layout], mask_name(case.name, scan))


def labels_wanted(cohort: Cohort) -> str:
    """In words what makes a label count in this folder, of which some case has an image."""
    layout = _layout(cohort)
    if layout == "pairs":
        return "name them in dataset.json, where 'training' lists each image with its label"
    if layout not in LABELS:
        return REMEDY
    endings = (_ending(cohort, layout, case) for case in cohort.cases if case.images)
    scan = next(endings, cohort.file_ending)
    # a label in two files is found, though none is written
    name = f"CASE{scan}" if scan in DETACHED else mask_name("CASE", scan)
    return f"add label files ({LABELS[layout]}/{name})"


def finds_labels(cohort: Cohort) -> bool:
    """Whether the folder's layout has a place for labels; a tree of DICOM series has none."""
    return _layout(cohort) != "dicom"


def _layout(cohort: Cohort) -> str:
    description = cohort.root / "dataset.json"
    return layout_of(cohort.root, read_file_keys(description) if description.is_file() else None)


def _ending(cohort: Cohort, layout: str, case: Case) -> str | None:
    return cohort.file_ending if layout == "nnunet" else ending_of(case.images[0])


def _refused(path: Path, fault: str, found: object) -> DataError:
    return DataError(fault, path=path, found=found, remedy=REMEDY)
