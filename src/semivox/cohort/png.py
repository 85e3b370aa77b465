"""PNG files through Pillow. X is the column, Y the row.

A PNG carries no spacing: its ``pHYs`` chunk is the resolution of a screen or a printer.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from semivox.cohort.geometry import Geometry
from semivox.cohort.volume import Source, Volume

CHANNELS_OF_MODE = {"RGB": 3, "RGBA": 3, "CMYK": 3, "YCbCr": 3, "P": 3, "PA": 3}
NOTE = "Description"  # the PNG standard's keyword for such text


def read(path: Path, label: bool = False) -> Volume:
    """(C, X, Y); alpha is dropped; a palette gives colours in an image and indices in a label."""
    with Image.open(path) as picture:
        rows = pixels(picture, label)
    array = rows.T[None] if rows.ndim == 2 else rows.transpose(2, 1, 0)
    return Volume(np.ascontiguousarray(array), np.eye(4), Source(path, "png"), "unknown")


def geometry(path: Path, label: bool = False) -> Geometry:
    """Header only."""
    with Image.open(path) as picture:
        channels = 1 if label and picture.mode == "P" else CHANNELS_OF_MODE.get(picture.mode, 1)
        dtype = np.dtype({"I": np.int32, "F": np.float32}.get(picture.mode[:2].rstrip(";"), np.uint8))
        if picture.mode.startswith("I;16"):
            dtype = np.dtype(np.uint16)
        return Geometry(picture.size, channels, np.eye(4), dtype, "unknown")


def read_note(path: Path) -> str:
    """The text chunk of a note, or nothing."""
    with Image.open(path) as picture:
        return str(picture.info.get(NOTE, ""))


def holds(array: np.ndarray) -> bool:
    """(C, X, Y) of uint8 with 1 or 3 channels, or of uint16 with one."""
    if array.ndim != 3:
        return False
    return (array.dtype == np.uint8 and array.shape[0] in (1, 3)) or (
        array.dtype == np.uint16 and array.shape[0] == 1
    )


def write(path: Path, array: np.ndarray, like: Volume, note: str = "") -> None:
    """Write (C, X, Y) where it :func:`holds` it; a ``note`` becomes a text chunk."""
    rows = array.transpose(2, 1, 0)  # (Y, X, C)
    picture = Image.fromarray(np.ascontiguousarray(rows[..., 0] if array.shape[0] == 1 else rows))
    texts = PngInfo()
    if note:
        texts.add_text(NOTE, note)
    picture.save(path, "PNG", pnginfo=texts)


def pixels(picture: Image.Image, label: bool) -> np.ndarray:
    """(Y, X) or (Y, X, 3)."""
    if picture.mode == "1":
        return np.asarray(picture).astype(np.uint8)
    if picture.mode in CHANNELS_OF_MODE and picture.mode != "RGB" and not (label and picture.mode == "P"):
        picture = picture.convert("RGB")
    elif picture.mode == "LA":
        picture = picture.convert("L")
    return np.asarray(picture)
