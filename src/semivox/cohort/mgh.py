"""FreeSurfer's MGH files, ``.mgz`` and ``.mgh``, through nibabel. They are read; masks are written as NIfTI,
which FreeSurfer reads too: MGH has no place for a note and few integer types."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.freesurfer import MGHImage

from semivox.cohort.geometry import Geometry
from semivox.cohort.volume import Source, Volume
from semivox.errors import DataError

HEADER = 284
"""Bytes of the header."""


def read(path: Path, label: bool = False) -> Volume:
    """The voxels, channels first: a file's frames are its channels."""
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        content = gzip.decompress(content)
    grid = _grid(path, content)
    voxels = np.asanyarray(MGHImage.from_stream(io.BytesIO(content)).dataobj)
    array = voxels.astype(grid.dtype, copy=False).reshape(*grid.shape, grid.channels)
    return Volume(np.ascontiguousarray(np.moveaxis(array, -1, 0)), grid.affine, Source(path, "mgh"))


def geometry(path: Path, label: bool = False) -> Geometry:
    """Header only."""
    with path.open("rb") as file:
        start = file.read(2)
        file.seek(0)
        if start != b"\x1f\x8b":
            return _grid(path, file.read(HEADER))
        with gzip.GzipFile(fileobj=file) as inflated:
            return _grid(path, inflated.read(HEADER))


def read_note(path: Path) -> str:
    """Nothing: there is no free text."""
    return ""


def holds(array: np.ndarray) -> bool:
    """Nothing is written in this format."""
    return False


def _grid(path: Path, content: bytes) -> Geometry:
    header: Any = MGHImage.header_class.from_fileobj(io.BytesIO(content[:HEADER]))
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
    return Geometry(shape[:3], shape[3], np.array(header.get_affine(), np.float64), dtype)
