"""JPEG pictures: grey or colour, of 8 bits, as images only, for what is stored is not what was drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np

from semivox.cohort.claims import JPEG, check_memory, check_stored
from semivox.cohort.geometry import Geometry
from semivox.cohort.turned import orientation_in, refuse_turned
from semivox.cohort.volume import Source, Volume
from semivox.errors import DataError

FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""Markers of a frame's header."""
LONE = {0x01, *range(0xD0, 0xD9)}
"""Markers without a length."""


@dataclass(frozen=True)
class _Header:
    bits: int
    rows: int
    columns: int
    samples: int
    turned: int
    """Exif's orientation; 1: as stored."""


def read(path: Path, label: bool = False) -> Volume:
    """(C, X, Y): grey, or red, green and blue."""
    content = path.read_bytes()
    grid = _grid(path, content, label)
    claimed = math.prod(grid.shape) * grid.channels
    check_stored(claimed, len(content), JPEG)
    check_memory(path, claimed)
    rows = imagecodecs.jpeg8_decode(content)
    array = (rows[..., None] if rows.ndim == 2 else rows).transpose(2, 1, 0)
    if array.shape != (grid.channels, *grid.shape):
        raise ValueError(f"pixels of shape {array.shape}, where the header says {grid.shape}")
    return Volume(
        np.ascontiguousarray(array), grid.affine, Source(path, "jpeg"), grid.spacing_status, placed=False
    )


def geometry(path: Path, label: bool = False) -> Geometry:
    """From the headers alone."""
    return _grid(path, path.read_bytes(), label)


def read_note(path: Path) -> str:
    """Nothing: no label is read from a JPEG."""
    return ""


def holds(array: np.ndarray) -> bool:
    """Nothing is written in this format."""
    return False


def _grid(path: Path, content: bytes, label: bool) -> Geometry:
    if label:
        remedy = "draw it anew, or export it as PNG, TIFF or NIfTI: rounding would hide what is wrong"
        raise _refused(path, "JPEG changes the numbers that it stores", "a label in JPEG", remedy)
    header = _header(content)
    if header.bits != 8 or header.samples not in (1, 3):
        found = f"{header.samples} samples of {header.bits} bits"
        raise _refused(
            path, "a kind of JPEG that is not read", found, "export it as PNG or TIFF, grey or RGB"
        )
    refuse_turned(path, header.turned)
    shape = (header.columns, header.rows)
    return Geometry(shape, header.samples, np.eye(4), np.dtype(np.uint8), "unknown", placed=False)


def _refused(path: Path, fault: str, found: str, remedy: str) -> DataError:
    return DataError(
        fault, path=path, found=found, expected="grey or RGB of 8 bits, as an image", remedy=remedy
    )


def _header(content: bytes) -> _Header:
    """Walks the segments up to the frame's header. Raises ValueError where there is none."""
    if content[:2] != b"\xff\xd8":
        raise ValueError("no JPEG")
    at, turned = 2, 1
    while at + 4 <= len(content):
        if content[at] != 0xFF:
            raise ValueError(f"no marker at byte {at}")
        marker = content[at + 1]
        if marker == 0xFF or marker in LONE:  # a fill byte, or a marker alone
            at += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        body = content[at + 4 : at + 2 + length]
        if marker in FRAMES and len(body) >= 6:
            rows, columns = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            return _Header(body[0], rows, columns, body[5], turned)
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            turned = orientation_in(body[6:])
        at += 2 + length
    raise ValueError("a JPEG without a frame")
