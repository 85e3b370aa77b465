"""Which files of a data folder belong to which case, for each of the three layouts. Only names are read."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from semivox.cohort.case import Naming
from semivox.cohort.format_table import ENDINGS
from semivox.cohort.formats import ending_of, is_scan, is_there, stem_of
from semivox.cohort.naming import (
    CHANNEL,
    Files,
    duplicate,
    group_files,
    image_files,
    label_files,
    no_file,
    without_duplicates,
)
from semivox.cohort.unused import unused_in
from semivox.errors import DataError, printable

WHOLE = Naming(numbered=False, files_per_case=1)
"""Of plain folders: a file is a case, its stem the name."""


@dataclass
class Found:
    """All cases of a folder in sorted order, label files that no image goes with, the files' ending, how
    names are read, files of the folders that no rule uses, and other findings."""

    cases: list[Files]
    lone_labels: list[Path]
    file_ending: str
    naming: Naming
    unused: list[Path] = field(default_factory=list)
    notes: list[DataError] = field(default_factory=list)


def nnunet_files(root: Path, ending: str | None, channels: int) -> Found:
    """``imagesTr/CASE_0000.ext`` and ``imagesUn`` with ``labelsTr/CASE.ext``. ``channels`` 0: unknown."""
    naming = Naming(numbered=True, files_per_case=channels)
    images, further = image_files(root / "imagesTr"), image_files(root / "imagesUn")
    ending = ending or _common_ending(images or further)
    marks = label_files(root / "labelsTr")
    own = [p for p in marks if is_label_of(p, ending)]
    training = group_files(_with_ending(images, ending), naming)
    if not training and images:
        raise DataError(
            "no image has the declared file ending", path=root / "imagesTr", found=images[0].name,
            expected=f"names like CASE_0000{ending}", remedy="correct file_ending in dataset.json",
        )  # fmt: skip
    unlabeled = group_files(_with_ending(further, ending), naming)
    lone = _with_labels([*training, *unlabeled], own)
    cases = _same_count(without_duplicates([*training, *unlabeled]))
    used = [*_with_ending(images, ending), *_with_ending(further, ending), *own]
    unused = unused_in([root / name for name in ("imagesTr", "imagesUn", "labelsTr")], used)
    return Found(cases, lone, ending, naming, unused)


def pair_files(
    root: Path, pairs: Sequence[tuple[str, str | None]], channels: int, numbered_names: bool | None = None
) -> Found:
    """MSD's list of (image, label) paths, and ``imagesUn``. Old nnU-Net lists CASE and stores CASE_0000.

    ``numbered_names`` None: a list of existing files whose names end in numbers says that these belong to the
    names.
    """
    ending = ending_of(pairs[0][0]) or _common_ending([root / image for image, _ in pairs])
    naming = Naming(numbered=True, files_per_case=channels)
    beside: dict[Path, dict[str, Files]] = {}
    cases, whole = [], False
    for image_name, label_name in pairs:
        image = root / image_name
        name, label = stem_of(image), root / label_name if label_name else None
        case = Files(name, (image,), label)
        if is_there(image):
            whole = whole or CHANNEL.fullmatch(name) is not None
        else:
            if image.parent not in beside:
                stored = group_files(_with_ending(image_files(image.parent), ending), naming)
                beside[image.parent] = {c.name: c for c in without_duplicates(stored)}
            numbered = beside[image.parent].get(name)
            case = Files(name, (), label) if numbered is None else replace(numbered, label=label)
        if not case.images:
            case.faults.append(_missing(name, image, "dataset.json lists it under 'training'"))
        if case.label is not None and not case.label.is_file():
            case.faults.append(_missing(name, case.label, "dataset.json lists it under 'training'"))
        cases.append(case)
    if numbered_names is False or (numbered_names is None and whole and not beside):
        naming = WHOLE
    unlisted = image_files(root / "imagesUn")
    further = group_files(_with_ending(unlisted, ending), naming)
    cases = _same_count(without_duplicates(sorted(cases, key=lambda c: c.name) + further))
    used = {case.label for case in cases}
    marks = label_files(root / "labelsTr")
    lone = [p for p in marks if is_label_of(p, ending) and p not in used]
    listed = [path for case in cases for path in (*case.images, *([case.label] if case.label else []))]
    # what lies elsewhere is listed from there, and is not this folder's to use up
    own = Path(os.path.abspath(root))
    within = {p.parent for p in listed if Path(os.path.abspath(p)).is_relative_to(own)}
    folders = within | {root / name for name in ("imagesTr", "imagesUn", "labelsTr")}
    unused = unused_in(sorted(folders), [*listed, *_with_ending(unlisted, ending), *lone])
    return Found(cases, lone, ending, naming, unused)


def plain_files(root: Path) -> Found:
    """``images/STEM.ext`` with ``labels/STEM.ext`` (the endings may differ), and ``imagesUn``."""
    images = [*image_files(root / "images"), *image_files(root / "imagesUn")]
    cases = without_duplicates(group_files(images, WHOLE))
    labels = label_files(root / "labels")
    lone = _with_labels(cases, labels)
    unused = unused_in([root / name for name in ("images", "imagesUn", "labels")], [*images, *labels])
    return Found(cases, lone, _common_ending(images), WHOLE, unused)


def dicom_files(root: Path, named: bool = True) -> Found:
    """The scans of a folder or archive of DICOM series, without labels; ``named``: its folders' names may be
    theirs. Raises DataError without pydicom."""
    from semivox.cohort.dicom.scans import scans_below

    scans, findings = scans_below(root, named)
    cases = [Files(scan.name, (scan.path,), None, [scan.fault] if scan.fault else []) for scan in scans]
    return Found(without_duplicates(cases), [], ".dcm", WHOLE, notes=findings)


def _with_labels(cases: Sequence[Files], paths: Sequence[Path]) -> list[Path]:
    """Give each case the label of its name; returns those that no case goes with, sorted."""
    labels: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        labels[printable(stem_of(path))].append(path)
    for case in cases:
        own = labels.pop(case.name, [])
        case.label = own[0] if own else None
        case.faults += filter(None, map(no_file, own[:1]))
        if len(own) > 1:
            case.faults.append(duplicate(case.name, own))
    return sorted(p for paths in labels.values() for p in paths)


def is_label_of(path: Path, ending: str) -> bool:
    """Of the folder's own ending, or of a format for labels alone, which no image can have; any, where images
    are of a format that no mask is written in, such as DICOM and JPEG."""
    return ending_of(path) == ending.lower() or not is_scan(path) or not ENDINGS[ending.lower()].written


def _same_count(cases: list[Files]) -> list[Files]:
    """Marks cases with one file where others have several: all channels in one file is all or nobody."""
    most = max((len(case.images) for case in cases if not case.faults), default=1)
    for case in cases:
        if case.images and len(case.images) < most and not case.faults:
            case.faults.append(
                DataError(
                    f"case {case.name!r} lacks channel files",
                    path=case.images[0],
                    found=f"{len(case.images)} file",
                    expected=f"{most} files, as other cases have",
                    remedy="add the missing channels or leave the case out (use=no in cases.csv)",
                )
            )
    return cases


def _missing(name: str, path: Path, why: str) -> DataError:
    return DataError(
        f"case {name!r}: no such file", path=path, expected=why, remedy="add the file or the entry"
    )


def _with_ending(paths: list[Path], ending: str) -> list[Path]:
    """Also folders, which hold a DICOM series: they have none."""
    return [p for p in paths if ending_of(p) in (ending.lower(), None)]


def _common_ending(paths: Sequence[Path]) -> str:
    endings = [ending_of(p) or ".dcm" for p in paths]
    return max(sorted(set(endings)), key=endings.count, default=".nii.gz")
