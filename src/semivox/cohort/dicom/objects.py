"""Single DICOM objects: which one a file holds, and whether two files hold the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from semivox.cohort.dicom.extra import pydicom_for
from semivox.cohort.dicom.places import MAGIC, MAGIC_AT, Place

COMPARED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
MEANING = {
    0x0028: "pixel format", 0x0062: "segments", 0x3006: "structures", 0x5200: "frames",
}  # fmt: skip
"""Groups of elements that a mask is made of. Servers may correct who the patient is, but not these."""
PIXELS = "PixelData"


def identity_of_object(path: Path) -> tuple[str, str, str]:
    """The UIDs of study, series and object that a file says it holds; "" for what it does not say."""
    pydicom = pydicom_for(path)
    names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    try:
        with path.open("rb") as file:
            if file.read(MAGIC_AT + len(MAGIC))[MAGIC_AT:] != MAGIC:
                return "", "", ""
        with Place(path).open_object() as file:
            dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(names))
        study, series, uid = (str(dataset.get(name) or "") for name in names)
    except Exception:  # the decoder raises nearly anything on broken bytes
        return "", "", ""
    return study, series, uid


def differing_objects(path: Path, other: Path) -> str:
    """What of a mask's meaning differs between two files, in a word; "" where nothing does."""
    pydicom = pydicom_for(path)
    try:
        with Place(path).open_object() as own, Place(other).open_object() as foreign:
            ours, theirs = pydicom.dcmread(own), pydicom.dcmread(foreign)
        for name in COMPARED:
            if ours.get(name) != theirs.get(name):
                return name
        for group, word in MEANING.items():
            if ours.group_dataset(group) != theirs.group_dataset(group):
                return word
        return "" if _same_pixels(ours, theirs) else "pixels"
    except Exception as error:
        return f"content, which cannot be read ({type(error).__name__})"


def _same_pixels(ours: Any, theirs: Any) -> bool:
    """Byte by byte, or as numbers where a server has compressed them."""
    if PIXELS not in ours or PIXELS not in theirs:
        return PIXELS not in ours and PIXELS not in theirs
    if ours.file_meta.TransferSyntaxUID == theirs.file_meta.TransferSyntaxUID:
        return bool(ours.PixelData == theirs.PixelData)
    return bool((ours.pixel_array == theirs.pixel_array).all())
