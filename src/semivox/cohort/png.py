"""PNG files: the numbers that are stored, whatever their depth. X is the column, Y the row.

Pillow inflates and unfilters. It stretches 1, 2 and 4 bits to 0..255, which is undone, and cuts several
channels of 16 bits to 8, so those go through imagecodecs. A PNG carries no spacing: its ``pHYs`` chunk is the
resolution of a screen or a printer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from semivox.cohort.claims import DEFLATE, check_memory, check_stored
from semivox.cohort.geometry import Geometry
from semivox.cohort.turned import orientation_in, refuse_turned
from semivox.cohort.volume import Source, Volume
from semivox.errors import DataError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Colour type -> samples of a pixel: grey, colours, palette index, grey and alpha, colours and alpha."""
PALETTE = 3
NOTE = "Description"  # the PNG standard's keyword for such text


@dataclass(frozen=True)
class _Stored:
    """What the chunks before the pixels say; ``colours`` (n, 3) where an index means a colour."""

    size: tuple[int, int]
    depth: int
    colour_type: int
    colours: np.ndarray | None

    @property
    def channels(self) -> int:
        """Without alpha."""
        return 3 if self.colours is not None or self.colour_type in (2, 6) else 1

    @property
    def geometry(self) -> Geometry:
        dtype = np.dtype(np.uint16 if self.depth == 16 else np.uint8)
        return Geometry(self.size, self.channels, np.eye(4), dtype, "unknown", placed=False)


def read(path: Path, label: bool = False) -> Volume:
    """(C, X, Y); alpha is dropped; a palette gives colours in an image and indices in a label."""
    stored = _stored(path, label)
    rows = _samples(path, stored)
    if stored.colours is not None:
        indices = rows[..., 0]
        if indices.max(initial=0) >= len(stored.colours):
            raise DataError(
                "a pixel's colour is not in the palette",
                path=path,
                found=f"index {indices.max()}",
                expected=f"an index below {len(stored.colours)}",
                remedy="export the picture again",
            )
        rows = stored.colours[indices]
    grid = stored.geometry
    array = rows[..., : grid.channels].transpose(2, 1, 0).astype(grid.dtype, copy=False)
    return Volume(
        np.ascontiguousarray(array), grid.affine, Source(path, "png"), grid.spacing_status, placed=False
    )


def geometry(path: Path, label: bool = False) -> Geometry:
    """Header only."""
    return _stored(path, label).geometry


def read_palette(path: Path) -> np.ndarray | None:
    """(n, 3) of uint8, from the header; None where samples are no indices."""
    return _stored(path, label=False).colours


def read_note(path: Path) -> str:
    """The text chunk of a note, or nothing."""
    with Image.open(path, formats=["PNG"]) as picture:
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


def _stored(path: Path, label: bool) -> _Stored:
    with path.open("rb") as file:
        if file.read(8) != SIGNATURE:
            raise ValueError("not a PNG")
        header, palette = None, None
        for name, data in _chunks_before_pixels(file):
            if name == b"IHDR":
                header = struct.unpack(">IIBBBBB", data)
            elif name == b"PLTE":
                palette = np.frombuffer(data, np.uint8).reshape(-1, 3)
            elif name == b"eXIf":
                refuse_turned(path, orientation_in(data))
            elif name == b"acTL" and struct.unpack(">II", data)[0] > 1:
                raise DataError(
                    "an animated PNG holds several pictures",
                    path=path,
                    found=f"{struct.unpack('>II', data)[0]} pictures",
                    expected="one",
                    remedy="save each as a file of its own, or all as one TIFF stack",
                )
    if header is None or header[3] not in SAMPLES or not header[0] or not header[1]:
        raise ValueError("no valid IHDR chunk")
    width, height, depth, colour_type = header[:4]
    if depth not in (1, 2, 4, 8, 16):
        raise ValueError(f"a depth of {depth} bits")
    if colour_type == PALETTE and palette is None:
        raise ValueError("no palette")
    means_colours = colour_type == PALETTE and not label
    return _Stored((width, height), depth, colour_type, palette if means_colours else None)


LONGEST_EXIF = 1 << 16
"""As in JPEG."""


def _chunks_before_pixels(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    while len(start := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", start)
        if name == b"IDAT":
            return
        if name in (b"IHDR", b"PLTE", b"acTL", b"eXIf"):
            if length > (LONGEST_EXIF if name == b"eXIf" else 3 * 256):
                raise ValueError(f"a chunk {name.decode()} of {length} bytes")
            yield name, file.read(length)
        else:
            file.seek(length, 1)
        file.seek(4, 1)  # its checksum
    raise ValueError("no pixels")


def _samples(path: Path, stored: _Stored) -> np.ndarray:
    """(Y, X, samples) as they are stored, alpha too."""
    width, height = stored.size
    bits = width * height * SAMPLES[stored.colour_type] * stored.depth
    check_stored(bits // 8, path.stat().st_size, DEFLATE)
    check_memory(path, width * height * stored.channels * stored.geometry.dtype.itemsize)
    if stored.depth == 16 and SAMPLES[stored.colour_type] > 1:
        import imagecodecs  # here alone, and large

        rows = imagecodecs.png_decode(path.read_bytes())
    else:
        with Image.open(path, formats=["PNG"]) as picture:
            rows = np.asarray(picture)
        if stored.depth < 8 and stored.colour_type != PALETTE and rows.dtype != bool:
            rows = rows // (255 // (2**stored.depth - 1))
    return rows.reshape(height, width, -1)
