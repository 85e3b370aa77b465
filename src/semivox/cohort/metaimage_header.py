"""What a MetaImage's header says of its voxels: a text of few fields, read by its published definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from semivox.cohort.text_header import Head, real_numbers, whole_numbers
from semivox.cohort.text_layout import Layout
from semivox.cohort.voxel_block import Block, Encoding, beside, numbered
from semivox.errors import DataError

DTYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4",
    "MET_UINT": "u4", "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8",
    "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
"""MET_LONG has four bytes, as in MetaIO."""
ORIGINS = ("origin", "position", "offset")
MATRICES = ("transformmatrix", "rotation", "orientation")


def layout(path: Path, head: Head) -> Layout:
    """Axes, place and voxels. Raises ValueError or DataError where the header is not understood."""
    if head.fields.get("objecttype", "Image").lower() != "image":
        raise ValueError(f"ObjectType {head.fields['objecttype'][:40]!r}")
    dims = whole_numbers(head.needed("ndims"), 1)[0]
    if dims not in (2, 3, 4):
        raise ValueError(f"NDims {dims}")
    extents = whole_numbers(head.needed("dimsize"), dims)
    channels = whole_numbers(head.fields.get("elementnumberofchannels", "1"), 1)[0]
    if dims == 4 and channels != 1:
        raise DataError(
            "has both a fourth axis and several components",
            path=path,
            found=f"{extents[3]} frames of {channels} components",
            expected="one of them as channels",
            remedy="write each channel as its own file",
        )
    sizes = tuple(extents) if channels == 1 else (channels, *extents)
    channel = 3 if dims == 4 else None if channels == 1 else 0
    columns, origin = _place(head, dims)
    return Layout(sizes, channel, columns, origin, _block(path, head, sizes))


def _place(head: Head, dims: int) -> tuple[np.ndarray, np.ndarray]:
    """A column a spatial axis, in LPS, and the origin."""
    kept = min(dims, 3)
    edges = head.get("elementspacing", "elementsize")
    spacing = real_numbers(edges, dims) if edges is not None else [1.0] * dims
    matrix, place = head.get(*MATRICES), head.get(*ORIGINS)
    rows = np.reshape(real_numbers(matrix, dims * dims) if matrix is not None else np.eye(dims), (dims, dims))
    origin = real_numbers(place, dims) if place is not None else [0.0] * dims
    columns = np.zeros((3, kept))
    columns[:kept] = (rows.T * spacing)[:kept, :kept]  # a row of the file is the direction of an axis
    return columns, np.array([*origin[:kept], *[0.0] * (3 - kept)])


def _block(path: Path, head: Head, sizes: tuple[int, ...]) -> Block:
    kind = head.needed("elementtype")
    if kind not in DTYPES:
        raise ValueError(f"ElementType {kind[:40]!r}")
    big = _is_true(head, "binarydatabyteordermsb", "elementbyteordermsb")
    encoding: Encoding = "raw"
    if not _is_true(head, "binarydata"):
        encoding = "text"
    elif _is_true(head, "compresseddata"):
        encoding = "deflate"
    skip = whole_numbers(head.fields.get("headersize", "0"), 1)[0]
    attached, files = _files(path, head)
    start = skip if skip else head.end if attached else 0
    if skip < -1 or (skip < 0 and encoding != "raw"):
        raise ValueError(f"HeaderSize {skip}")
    return Block(files, np.dtype(DTYPES[kind]).newbyteorder(">" if big else "<"), sizes, encoding, start)


def _is_true(head: Head, *names: str) -> bool:
    value = (head.get(*names) or "False").lower()
    if value not in ("true", "false", "1", "0", "t", "f", "yes", "no"):
        raise ValueError(f"{names[0]} {value[:40]!r}")
    return value[0] in "t1y"


def _files(path: Path, head: Head) -> tuple[bool, tuple[Path, ...]]:
    """Whether the voxels follow the header, and the files that hold them."""
    named = head.fields["elementdatafile"]
    words = named.split()
    if named.lower() == "local":
        return True, (path,)
    if words[:1] == ["LIST"]:
        return False, beside(path, list(head.lists))
    if "%" in named and len(words) in (3, 4):
        first, last, step = whole_numbers(" ".join([*words[1:], "1"][:3]), 3)
        return False, beside(path, numbered(words[0], first, last, step))
    return False, beside(path, [named])
