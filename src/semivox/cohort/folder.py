"""From a data folder to a cohort: which cases there are, in which order, and what their labels mean."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from semivox.cohort.case import Case, Cohort
from semivox.cohort.cases_csv import Row, read_cases_csv
from semivox.cohort.dataset_json import EXAMPLE, Declared, read_dataset_json
from semivox.cohort.formats import read_geometry, read_label
from semivox.cohort.layouts import Files, Found, nnunet_files, pair_files, plain_files
from semivox.cohort.split import split_cohort
from semivox.errors import DataError

MOST_CLASSES = 64  # a label with more values than this is a grey image, or numbered instances


@dataclass(frozen=True)
class Scan:
    """A cohort with what is wrong about its files' names: (case name or "", fault). No voxel was read."""

    cohort: Cohort
    errors: tuple[tuple[str, DataError], ...]
    warnings: tuple[tuple[str, DataError], ...]


def load_cohort(root: str | Path, labeled: str | None = None) -> Cohort:
    """The cases of a data folder, in the order of ``cases.csv`` and then of their names.

    Three layouts are read: nnU-Net's (``imagesTr``, ``labelsTr``), MSD's (pairs in ``dataset.json``) and two
    plain folders (``images``, ``labels``). No voxel and no label is read, with one exception: plain folders
    without ``dataset.json`` say nowhere which classes there are, so the label files of the labelled cases
    are opened for their values; ``labeled`` (as for ``split_cohort``) says which these are.

    Raises
    ------
    DataError
        The folder is not a data folder, or a file that it must have is missing.
    """
    scan = scan_folder(root, labeled)
    if scan.errors:
        first = scan.errors[0][1]
        others = len(scan.errors) - 1
        if others:
            remedy = f"{first.remedy or 'mend it'} ({others} more faults: semivox check lists all)"
            raise DataError(
                first.fault, path=first.path, found=first.found, expected=first.expected, remedy=remedy
            )
        raise first
    return scan.cohort


def scan_folder(root: str | Path, labeled: str | None = None) -> Scan:
    """As :func:`load_cohort`, but faults of single cases are collected; such cases stay in the cohort."""
    root = Path(root)
    if not root.is_dir():
        raise DataError("no such folder", path=root, remedy="give the folder that holds dataset.json")
    declared, found = _layout(root)
    if not found.cases:
        raise DataError(
            "no images", path=root, expected="at least one case", remedy="see the data folder's docs"
        )
    table = root / "cases.csv"
    if declared is None:
        # the order comes first: it says which label files may be opened for the classes
        rows = read_cases_csv(table, None) if table.is_file() else None
        order = _ordered(table, rows, found)[0]
        classes = _inferred_classes(root, order, labeled)
        declared = Declared(_channels_of(order), classes, None, found.file_ending, None)
    rows = read_cases_csv(table, declared.classes) if table.is_file() else None
    cases, errors, warnings = _ordered(table, rows, found)
    cohort = Cohort(
        root=root,
        cases=cases,
        channels=declared.channels or _channels_of(cases),
        classes=declared.classes,
        ignore=declared.ignore,
        file_ending=declared.file_ending or found.file_ending,
        may_be_empty=declared.may_be_empty,
        spacing_known=declared.spacing_known,
        codes=declared.codes,
        colours=declared.colours,
    )
    return Scan(cohort, errors, warnings)


def _layout(root: Path) -> tuple[Declared | None, Found]:
    description = root / "dataset.json"
    declared = read_dataset_json(description) if description.is_file() else None
    if declared is not None and declared.pairs is not None:
        return declared, pair_files(root, declared.pairs, len(declared.channels))
    if (root / "images").is_dir() and not (root / "imagesTr").is_dir():
        return declared, plain_files(root)
    if declared is None:
        raise DataError(
            "not a data folder",
            path=root,
            found="no dataset.json and no images/",
            expected="dataset.json with imagesTr/ and labelsTr/, or images/ and labels/",
            remedy=f"write a dataset.json such as {EXAMPLE}",
        )
    return declared, nnunet_files(root, declared.file_ending, len(declared.channels))


Faults = tuple[tuple[str, DataError], ...]


def _ordered(
    table: Path, rows: Iterable[Row] | None, found: Found
) -> tuple[tuple[Case, ...], Faults, Faults]:
    """Cases in use in cohort order, their errors, and the folder's warnings."""
    files = {case.name: case for case in found.cases}
    rows_given = rows is not None
    rows = list(rows or [])
    listed = {row.case for row in rows}
    cases: list[Case] = []
    errors: list[tuple[str, DataError]] = []
    warnings: list[tuple[str, DataError]] = []
    missing = [row.case for row in rows if row.use and row.case not in files]
    if missing:
        fault = DataError(
            f"{len(missing)} listed case(s) have no image",
            path=table,
            found=", ".join(missing[:5]) + (" ..." if len(missing) > 5 else ""),
            expected="an image for every case in use",
            remedy="add the images, or set use=no",
        )
        errors.append(("", fault))
    for row in rows:
        if row.use and row.case in files:
            cases.append(_case(files[row.case], row))
            errors += [(row.case, fault) for fault in files[row.case].faults]
    unlisted = [name for name in files if name not in listed]
    for name in unlisted:
        cases.append(_case(files[name], Row(name, name, None, "", True)))
        errors += [(name, fault) for fault in files[name].faults]
        if rows_given:
            text = "not listed in cases.csv; it comes after the listed cases, as a patient of its own"
            warnings.append((name, DataError(text, path=table, remedy="add a line for it")))
    for label in found.lone_labels:
        warnings.append(("", DataError("a label without an image", path=label, remedy="add the image")))
    return tuple(cases), tuple(errors), tuple(warnings)


def _case(files: Files, row: Row) -> Case:
    return Case(files.name, files.images, files.label, row.patient, row.annotated, row.role)


def _inferred_classes(root: Path, cases: tuple[Case, ...], labeled: str | None) -> dict[int, str]:
    """Every value other than 0 in the labelled cases' labels, named ``class_VALUE``."""
    cohort = Cohort(root, cases, (), {})
    values: set[int] = set()
    for case in split_cohort(cohort, labeled).labeled:
        assert case.label is not None
        try:
            values |= {int(v) for v in np.unique(read_label(case.label).array)}
        except DataError:
            continue  # check names it
    values.discard(0)
    if not values or len(values) > MOST_CLASSES:
        raise DataError(
            "the label files do not tell the classes",
            path=root / "labels",
            found=f"{len(values)} values beside 0",
            expected=f"1 to {MOST_CLASSES}",
            remedy=f"write a dataset.json such as {EXAMPLE}",
        )
    return {value: f"class_{value}" for value in sorted(values)}


def _channels_of(cases: Iterable[Case]) -> tuple[str, ...]:
    """Names for channels that nobody declared, from the header of the first case that can be read."""
    for case in cases:
        try:
            number = sum(read_geometry(path).channels for path in case.images)
        except DataError:
            continue
        if number:
            return tuple(f"channel_{i}" for i in range(number))
    return ("channel_0",)
