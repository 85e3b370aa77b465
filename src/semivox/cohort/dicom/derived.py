"""Objects that are made of a scan: they repeat its patient and study, and refer to its images."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from semivox.cohort.dicom.extra import pydicom_for
from semivox.cohort.dicom.headers import Instance
from semivox.cohort.dicom.series import Stack
from semivox.cohort.dicom.volume import STACK
from semivox.cohort.segments import Segment
from semivox.cohort.volume import Volume
from semivox.errors import DataError

MAY_BE_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate", "StudyTime",
    "AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator", "Manufacturer",
)  # fmt: skip
"""What is repeated of the scan and DICOM lets be empty (type 2)."""
UNICODE = "ISO_IR 192"
LONGEST_TEXT = 64


def stack_behind(like: Volume, path: Path, what: str, segments: Sequence[Segment]) -> Stack:
    """The planes of a scan that was read from DICOM. Raises DataError for others, and without a class."""
    stack = like.source.header.get(STACK)
    if isinstance(stack, Stack) and segments:
        return stack
    raise DataError(
        f"{what} refers to the images of a DICOM series",
        path=like.source.path or path,
        found="a scan of another format" if segments else "no class",
        remedy="give the series, or choose another --format such as seg.nrrd",
    )


def header_of(instance: Instance, path: Path) -> Any:
    """An object of the scan without its pixels, with its text as Unicode: names of classes need not be of the
    letters that the scanner has. What anonymised series lack and may be empty is empty."""
    with instance.place.open_object() as file:
        dataset = pydicom_for(path).dcmread(file, force=True, stop_before_pixels=True)
    dataset.decode()
    dataset.SpecificCharacterSet = UNICODE
    for name in MAY_BE_EMPTY:
        if name not in dataset:
            setattr(dataset, name, "")
    return dataset


@contextmanager
def made_of(stack: Stack, what: str) -> Iterator[None]:
    """What a scan lacks that must be repeated becomes a DataError."""
    try:
        yield
    except (AttributeError, ValueError, TypeError) as error:
        raise DataError(
            f"{stack.series.title}: no {what} of it can be written",
            path=stack.series.root,
            found=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}",
            expected="a complete series with patient, study and frame of reference",
            remedy="use the series as the scanner made it, or choose another --format such as seg.nrrd",
        ) from error


def as_text(name: str) -> str:
    """A name as an element holds it: a backslash would make two values of it, control characters are none."""
    plain = re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", name.replace("\\", "/"))
    return " ".join(plain.split())[:LONGEST_TEXT] or "unnamed"


def own_version() -> str:
    """That of semivox, as objects tell it."""
    try:
        return version("semivox")
    except PackageNotFoundError:
        return "0"
