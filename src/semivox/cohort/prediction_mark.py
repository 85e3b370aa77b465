"""The mark of a prediction: a hash of the mask in its own file, which tells a label that nobody edited."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from semivox.cohort.formats import read_label, read_note
from semivox.cohort.regions import NONE, Regions
from semivox.errors import DataError

WORDS = "semivox prediction"


def mark_of(mask: np.ndarray) -> str:
    """The mark of label values ``(X, Y[, Z])``: it depends on shape and values, not on the integer type.

    ``WORDS`` and the first 32 hexadecimal digits of the SHA-256 of the shape as text and the values as 64-bit
    little-endian integers in C order: 51 characters, which fit into every format's free text.
    """
    digest = hashlib.sha256(str(tuple(mask.shape)).encode())
    for plane in mask:  # one at a time: eight bytes a voxel would be the largest array of all
        digest.update(np.ascontiguousarray(plane, dtype="<i8").tobytes())
    return f"{WORDS} {digest.hexdigest()[:32]}"


def is_unedited_prediction(path: str | Path, label: np.ndarray) -> bool:
    """Whether the file's free text is the mark of ``label`` ``(X, Y[, Z])``, its content."""
    note = read_note(path)
    return WORDS in note and mark_of(label) in note


def is_somebodys(path: Path, regions: Regions = NONE) -> bool:
    """Whether a file is there that is no prediction of ours as it was written: a label, a mask that was
    edited, or something else. Outlines (RTSTRUCT), which are not read as labels, are known by their note."""
    if not path.exists():
        return False
    try:
        note = read_note(path)
    except DataError:
        return True
    if WORDS not in note:
        return True
    try:
        return mark_of(read_label(path, regions=regions).array[0]) not in note
    except DataError:
        return False


def undrawn(path: str | Path, label: np.ndarray, ignore: int | None) -> DataError | None:
    """What is wrong where the file is a label to draw in (``rank --slices``) and nobody has: as a prediction
    it is marked, and no prediction holds ``ignore``."""
    if ignore is None or not (label == ignore).any() or not is_unedited_prediction(path, label):
        return None
    return DataError(
        "the label is one to draw in that nobody has edited",
        path=path,
        found="what `rank --slices` wrote, voxel for voxel",
        expected="slices that a person has drawn in",
        remedy="draw in it and save it, or take it out of the labels",
    )
