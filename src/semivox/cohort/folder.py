"""From a data folder to a cohort: which cases there are, in which order, and what their labels mean."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from semivox.cohort.case import Case, Cohort, Naming
from semivox.cohort.cases_csv import Row, in_order, read_cases_csv
from semivox.cohort.dataset_json import Declared, FileKeys, example, read_dataset_json, read_file_keys
from semivox.cohort.dicom.places import holds_dicom, is_archive
from semivox.cohort.formats import is_dicom, read_geometry, read_label, read_segments, stem_of
from semivox.cohort.labeled_set import LabeledSet
from semivox.cohort.layouts import WHOLE, Found, dicom_files, nnunet_files, pair_files, plain_files
from semivox.cohort.naming import Files, image_files
from semivox.cohort.segments import Segment, named_by_segments
from semivox.cohort.split import split_cohort
from semivox.cohort.unused import core_of, unread_labels, unused_findings
from semivox.errors import DataError

FOLDERS = ("imagesTr", "imagesUn", "images", "imagesTs")
"""Of images, in a data folder."""
LABELS = {"nnunet": "labelsTr", "plain": "labels"}
"""The folder of labels of a layout that finds labels by their names."""
MOST_CLASSES = 64  # a label with more values than this is a grey image, or numbered instances


@dataclass(frozen=True)
class Scan:
    """A cohort with what is wrong about its files' names: (case name or "", fault). No voxel was read."""

    cohort: Cohort
    errors: tuple[tuple[str, DataError], ...]
    warnings: tuple[tuple[str, DataError], ...]


def load_cohort(root: str | Path, labeled: LabeledSet | None = None) -> Cohort:
    """The cases of a data folder, in the order of ``cases.csv`` and then of their names.

    Three layouts are read: nnU-Net's (``imagesTr``, ``labelsTr``), MSD's (pairs in ``dataset.json``) and two
    plain folders (``images``, ``labels``). No voxel and no label is read, with one exception: plain folders
    without ``dataset.json`` say nowhere which classes there are, so the label files of the labelled cases
    are opened for their values; ``labeled`` (as for ``split_cohort``) says which these are. Where no case is
    labelled, there are no classes yet.

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


def scan_folder(root: str | Path, labeled: LabeledSet | None = None) -> Scan:
    """As :func:`load_cohort`, but faults of single cases are collected; such cases stay in the cohort."""
    root = Path(root)
    if not root.is_dir() and not is_archive(root):
        raise DataError("no such folder", path=root, remedy="give the folder that holds dataset.json")
    description = root / "dataset.json"
    declared = read_dataset_json(description) if description.is_file() else None
    keys = None if declared is None else declared.files
    layout = layout_of(root, keys)
    _refuse_other_layouts(root, layout, declared)
    found = _found(root, keys)
    if not found.cases:
        raise DataError(
            "no images", path=root, expected="at least one case", remedy="see the data folder's docs"
        )
    inferred = _inferred(declared)
    table = root / "cases.csv"
    if declared is None and layout == "dicom":
        declared, inferred = Declared(FileKeys(), {}, None), frozenset({"channels", "classes"})
    if declared is None:
        # the order comes first: it says which label files may be opened for the classes
        rows = read_cases_csv(table, None) if table.is_file() else None
        order = _ordered(table, rows, found)[0]
        segments = _inferred_classes(root, order, labeled, found.file_ending)
        if segments and all(segment.name != f"class_{value}" for value, segment in segments.items()):
            inferred = frozenset({"channels"})
        declared = Declared(
            FileKeys(),
            {value: segment.name for value, segment in segments.items()},
            None,
            colours={s.name: s.colour for s in segments.values() if s.colour},
            codes={s.name: asdict(s.code) for s in segments.values() if s.code},
        )
    rows = read_cases_csv(table, declared.structures, declared.regions) if table.is_file() else None
    cases, errors, warnings = _ordered(table, rows, found)
    warnings += tuple(("", fault) for fault in unread_labels(root, LABELS.get(layout)))
    cohort = Cohort(
        root=root,
        cases=cases,
        channels=declared.files.channels or _channels_of(cases),
        classes=declared.classes,
        regions=declared.regions,
        ignore=declared.ignore,
        file_ending=declared.files.file_ending or found.file_ending,
        may_be_empty=declared.may_be_empty,
        spacing_known=declared.spacing_known,
        codes=declared.codes,
        colours=declared.colours,
        naming=replace(found.naming, files_per_case=max((len(c.images) for c in cases), default=1)),
        inferred=inferred,
        left_out=tuple(fault for case, fault in warnings if not case),
    )
    return Scan(cohort, errors, warnings)


def scan_images(root: Path, files_per_case: int = 0) -> tuple[tuple[Case, ...], dict[str, DataError], Found]:
    """The cases in use of a data folder whose labels need mean nothing: in cohort order, and what is wrong
    with the names of some. ``files_per_case`` where no dataset.json tells (0: unknown).

    Raises DataError for a dataset.json or cases.csv that cannot be understood.
    """
    table = root / "cases.csv"
    found = _found(root, _file_keys(root), files_per_case)
    rows = read_cases_csv(table, None) if table.is_file() else None
    cases, errors, _ = _ordered(table, rows, found)
    return cases, {case: fault for case, fault in reversed(errors) if case}, found


def is_data_folder(root: Path) -> bool:
    """Whether ``root`` has one of the layouts, with or without labels."""
    if any((root / name).is_dir() for name in ("imagesTr", "imagesUn", "images")):
        return True
    return layout_of(root, _file_keys_if_any(root)) in ("pairs", "dicom")


def naming_of(folder: Path) -> Naming | None:
    """How names are read in ``folder``, one of the folders of images of a data folder; None: it is none."""
    if folder.name not in FOLDERS:
        return None
    root = folder.parent
    keys = _file_keys_if_any(root)
    layout = layout_of(root, keys)
    if layout == "pairs":
        return _found(root, keys).naming
    if layout == "plain":
        return WHOLE
    return None if folder.name == "images" else Naming(numbered=True)


def _file_keys(root: Path) -> FileKeys | None:
    description = root / "dataset.json"
    return read_file_keys(description) if description.is_file() else None


def _file_keys_if_any(root: Path) -> FileKeys | None:
    """None also for a dataset.json of another kind: nobody has said that ``root`` is a data folder."""
    with contextlib.suppress(DataError):
        return _file_keys(root)
    return None


def layout_of(root: Path, keys: FileKeys | None) -> Literal["pairs", "plain", "nnunet", "dicom"]:
    """The one place where a folder's layout is decided."""
    if keys is not None and keys.pairs is not None:
        return "pairs"
    if keys is None and not any((root / name).is_dir() for name in FOLDERS) and _is_dicom(root):
        return "dicom"
    return "plain" if (root / "images").is_dir() and not (root / "imagesTr").is_dir() else "nnunet"


def _is_dicom(root: Path) -> bool:
    """Whether DICOM series are all the scans there are."""
    if root.name in FOLDERS or any(path.is_file() and not is_dicom(path) for path in image_files(root)):
        return False
    return holds_dicom(root)


def _refuse_other_layouts(root: Path, layout: str, declared: Declared | None) -> None:
    if layout != "nnunet":
        return
    if declared is None:
        found = nnunet_files(root, None, 0)
        raise DataError(
            "not a data folder",
            path=root,
            found="no dataset.json and no images/",
            expected="dataset.json with imagesTr/ and labelsTr/, or images/ and labels/",
            remedy=_a_description(found.cases, found.file_ending),
        )
    if not (root / "imagesTr").is_dir():
        raise DataError(
            "no folder of images",
            path=root,
            found=", ".join(sorted(os.listdir(root))[:8]),
            expected="imagesTr/ beside dataset.json",
            remedy="put the scans in imagesTr/ as CASE_0000.nii.gz",
        )


def _found(root: Path, keys: FileKeys | None, files_per_case: int = 0) -> Found:
    channels = files_per_case if keys is None else len(keys.channels) or files_per_case
    match layout_of(root, keys):
        case "plain":
            return plain_files(root)
        case "dicom":
            return dicom_files(root)
        case "pairs":
            assert keys is not None
            assert keys.pairs is not None
            return pair_files(root, keys.pairs, len(keys.channels), keys.numbered)
        case _:
            return nnunet_files(root, None if keys is None else keys.file_ending, channels)


def _inferred(declared: Declared | None) -> frozenset[str]:
    if declared is None:
        return frozenset({"channels", "classes"})
    return declared.inferred | (frozenset() if declared.files.channels else {"channels"})


Faults = tuple[tuple[str, DataError], ...]


def _ordered(
    table: Path, rows: Iterable[Row] | None, found: Found
) -> tuple[tuple[Case, ...], Faults, Faults]:
    """Cases in use in cohort order, their errors, and the folder's warnings."""
    files = {case.name: case for case in found.cases}
    rows_given = rows is not None
    rows = list(rows or [])
    listed = {row.case for row in rows}
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
    errors += [("", fault) for fault in _misnamed(table, rows, files)]
    used = in_order(rows, files)
    cases = tuple(_case(files[row.case], row) for row in used)
    for row in used:
        errors += [(row.case, fault) for fault in files[row.case].faults]
        if rows_given and row.case not in listed:
            text = "not listed in cases.csv; it comes after the listed cases, as a patient of its own"
            warnings.append((row.case, DataError(text, path=table, remedy="add a line for it")))
    left_out = unused_findings(found.unused, found.lone_labels, found.cases, found.file_ending)
    warnings += [("", fault) for fault in (*left_out, *found.notes)]
    return cases, tuple(errors), tuple(warnings)


def _misnamed(table: Path, rows: Iterable[Row], files: Mapping[str, Files]) -> Iterator[DataError]:
    """Lines that leave out a case by another name than its own: it would be used all the same."""
    idle = [row for row in rows if not row.use and row.case not in files]
    if not idle:
        return
    unlisted = {core_of(name): name for name in set(files) - {row.case for row in rows}}
    for row in idle:
        meant = unlisted.get(core_of(stem_of(row.case)))
        if meant is not None:
            yield DataError(
                "a line leaves out a case by a name that is not its own",
                path=table,
                found=row.case,
                expected=f"{meant}, if that is the case",
                remedy=f"write {meant}, or take the line out",
            )


def _case(files: Files, row: Row) -> Case:
    patient = row.patient
    if patient == files.name and files.images and is_dicom(files.images[0]):
        from semivox.cohort.dicom.scans import patient_of

        patient = patient_of(files.images[0]) or patient
    return Case(files.name, files.images, files.label, patient, row.annotated, row.role)


def _inferred_classes(
    root: Path, cases: tuple[Case, ...], labeled: LabeledSet | None, ending: str
) -> dict[int, Segment]:
    """Every value other than 0 in the labelled cases' labels, with the name that their segments give it, else
    ``class_VALUE``; none where no case has a label yet. ``ending``: of the images."""
    labels = [case.label for case in split_cohort(Cohort(root, cases, (), {}), labeled).labeled]
    values: set[int] = set()
    named: list[tuple[Path, tuple[Segment, ...]]] = []
    unread: list[DataError] = []
    for label in filter(None, labels):
        try:
            values |= {int(v) for v in np.unique(read_label(label).array)}
            named.append((label, read_segments(label)))
        except DataError as error:  # check names it
            unread.append(error)
    segments = named_by_segments(named)
    values = (values | set(segments)) - {0}
    if not values and unread:  # the reason why no class is known, and its remedy
        raise unread[0]
    if labels and not values:
        raise DataError(
            "the labels hold nothing but background",
            path=root / LABELS["plain"],
            found=f"{len(labels)} label file(s) with no value beside 0",
            expected="at least one that shows what is to be found",
            remedy=f"draw one, or {_a_description(cases, ending)}",
        )
    if len(values) > MOST_CLASSES:
        raise DataError(
            "the label files do not tell the classes",
            path=root / LABELS["plain"],
            found=f"{len(values)} values beside 0",
            expected=f"1 to {MOST_CLASSES}",
            remedy=_a_description(cases, ending),
        )
    return {v: segments.get(v, Segment(v, f"class_{v}")) for v in sorted(values)}


def _a_description(cases: Iterable[Case | Files], ending: str) -> str:
    """The remedy where a folder needs one: of its own images, so that it can be copied."""
    return f"write a dataset.json such as {example(_channels_of(cases), ending)}"


def _channels_of(cases: Iterable[Case | Files]) -> tuple[str, ...]:
    """Names for channels that nobody declared, from the header of the first case that can be read: of DICOM
    the modality, by which CT is known."""
    for case in cases:
        try:
            if case.images and all(map(is_dicom, case.images)):
                return _modalities(case)
            number = sum(read_geometry(path).channels for path in case.images)
        except DataError:
            continue
        if number:
            return tuple(f"channel_{i}" for i in range(number))
    return ("channel_0",)


def _modalities(case: Case | Files) -> tuple[str, ...]:
    from semivox.cohort.dicom.volume import modality_of

    names = [modality_of(path) or f"channel_{i}" for i, path in enumerate(case.images)]
    return tuple(n if names.count(n) == 1 else f"{n}_{i}" for i, n in enumerate(names))
