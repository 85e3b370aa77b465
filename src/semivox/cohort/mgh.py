"""FreeSurfer's MGH files, ``.mgz`` and ``.mgh``, through nibabel. They are read; masks are written as NIfTI,
which FreeSurfer reads too: MGH has no place for a note and few integer types."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.freesurfer.mghformat import MGHHeader

from semivox.cohort.geometry import Geometry
from semivox.cohort.inflating import Inflating
from semivox.cohort.volume import Source, Volume
from semivox.cohort.voxel_block import Block
from semivox.errors import DataError

HEADER = 284
"""Bytes of the header."""
FOOTER = 1 << 24
"""Bytes that may follow the voxels: the scan's parameters, colour tables, the history of commands."""


def read(path: Path, label: bool = False) -> Volume:
    """The voxels, channels first: a file's frames are its channels."""
    packed, grid = _grid(path)
    sizes, stored = (*grid.shape, grid.channels), grid.dtype.newbyteorder(">")
    if packed:
        block = Block((path,), stored, sizes, "deflate", skip=HEADER, spare=FOOTER)
    else:
        block = Block((path,), stored, sizes, "raw", start=HEADER, spare=FOOTER)
    array = np.ascontiguousarray(np.moveaxis(block.read(path), -1, 0))
    return Volume(array, grid.affine, Source(path, "mgh"))


def geometry(path: Path, label: bool = False) -> Geometry:
    """Header only."""
    return _grid(path)[1]


def read_note(path: Path) -> str:
    """Nothing: there is no free text."""
    return ""


def holds(array: np.ndarray) -> bool:
    """Nothing is written in this format."""
    return False


def _grid(path: Path) -> tuple[bool, Geometry]:
    """Whether the file is compressed, and its grid."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        content = (Inflating(file) if packed else file).read(HEADER)
    header: Any = MGHHeader.from_fileobj(io.BytesIO(content))
    told = int.from_bytes(content[28:30], "big")  # nibabel makes up directions where it is 0
    if told != 1:
        raise DataError(
            "the header does not tell which way the axes run",
            path=path,
            found=f"goodRASFlag {told}",
            expected="1, with the directions of the axes",
            remedy="convert the scanner's original anew with mri_convert, or leave the case out",
        )
    shape = tuple(int(n) for n in header["dims"])
    dtype = np.dtype(header.get_data_dtype()).newbyteorder("=")
    return packed, Geometry(shape[:3], shape[3], np.array(header.get_affine(), np.float64), dtype)
