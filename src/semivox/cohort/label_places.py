"""Where the label of a case lies, or would lie so that the data folder's rules find it."""

from __future__ import annotations

from pathlib import Path

from semivox.cohort.case import Case, Cohort
from semivox.cohort.dataset_json import read_file_keys
from semivox.cohort.folder import layout_of
from semivox.cohort.format_table import DETACHED, ENDINGS, mask_ending
from semivox.cohort.formats import ending_of
from semivox.errors import DataError
from semivox.files import inside

LABELS = {"nnunet": "labelsTr", "plain": "labels"}
"""The folder of labels of a layout that finds labels by their names."""
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
    description = cohort.root / "dataset.json"
    layout = layout_of(cohort.root, read_file_keys(description) if description.is_file() else None)
    if layout not in LABELS:
        fault = "this layout lists its labels, so a new one would not be found"
        raise _refused(
            cohort.root, fault if layout == "pairs" else "this folder has no place for labels", layout
        )
    scan = cohort.file_ending if layout == "nnunet" else ending_of(case.images[0])
    if scan in DETACHED:
        raise _refused(case.images[0], "a mask in this format would not be found as a label", scan)
    return inside(cohort.root, LABELS[layout], case.name + mask_ending(scan))


def _refused(path: Path, fault: str, found: object) -> DataError:
    return DataError(fault, path=path, found=found, remedy=REMEDY)
