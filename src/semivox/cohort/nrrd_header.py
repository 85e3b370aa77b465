"""What a NRRD's header says of its voxels: a text of few fields, read by its published definition.

Teem, the library behind ITK's reader, is followed in all that files in use have. An axis that its kind calls
a component (vector, colour, list), or that has no direction in the file's space, is the channels.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from semivox.cohort.text_header import Head, real_numbers, whole_numbers
from semivox.cohort.text_layout import Layout
from semivox.cohort.voxel_block import Block, Encoding, beside, numbered
from semivox.errors import DataError

TYPES = {
    "i1": ("signed char", "int8", "int8_t"),
    "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "i4": ("int", "signed int", "int32", "int32_t"),
    "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
    "i8": ("longlong", "long long", "long long int", "signed long long", "signed long long int", "int64",
           "int64_t"),
    "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "f4": ("float",),
    "f8": ("double",),
}  # fmt: skip
DTYPES = {name: code for code, names in TYPES.items() for name in names}
ENCODINGS: dict[str, Encoding] = {
    "raw": "raw", "gz": "deflate", "gzip": "deflate", "bz2": "bzip2", "bzip2": "bzip2", "txt": "text",
    "text": "text", "ascii": "text",
}  # fmt: skip
DOMAINS = ("domain", "space", "time", "???", "none", "")
TO_LPS = {
    "left-posterior-superior": (1, 1), "lps": (1, 1),
    "right-anterior-superior": (-1, -1), "ras": (-1, -1),
    "left-anterior-superior": (1, -1), "las": (1, -1),
}  # fmt: skip
"""Space -> the signs that its first two axes take in left, posterior, superior; others keep theirs."""
SPACES_OF_3 = {*TO_LPS, "scanner-xyz", "3d-right-handed", "3d-left-handed"}


def layout(path: Path, head: Head) -> Layout:
    """Axes, place and voxels. Raises ValueError or DataError where the header is not understood."""
    count = whole_numbers(head.needed("dimension"), 1)[0]
    sizes = tuple(whole_numbers(head.needed("sizes"), count))
    directions, origin = _place(head, count)
    channel = _channel_axis(path, head, count, directions)
    axes = [axis for axis in range(count) if axis != channel]
    columns = [directions[axis] for axis in axes]
    if all(column is None for column in columns):
        edges = real_numbers(head.fields["spacings"], count) if "spacings" in head.fields else [1.0] * count
        told = np.array([edges[axis] if np.isfinite(edges[axis]) else 1.0 for axis in axes[:3]])
        columns = [*np.eye(3)[: len(told)] * told[:, None]]
    if len(axes) > 3 or any(column is None for column in columns):
        raise ValueError(f"{len(axes)} axes in space, of which some have no direction")
    return Layout(sizes, channel, np.array(columns).T, origin, _block(path, head, sizes))


def _place(head: Head, count: int) -> tuple[list[np.ndarray | None], np.ndarray]:
    """A direction in LPS for each axis, None where it has none; and the origin."""
    space = head.fields.get("space", "").lower()
    told = head.get("spacedimension")
    dims = whole_numbers(told, 1)[0] if told is not None else 3 if space in SPACES_OF_3 else 0
    if space and told is None and not dims:
        raise ValueError(f"a space that is not known: {space[:80]!r}")
    if not dims or "spacedirections" not in head.fields:
        return [None] * count, np.zeros(3)
    if dims not in (2, 3):
        raise ValueError(f"a space of {dims} dimensions")
    signs = np.array([*TO_LPS.get(space, (1, 1)), 1.0])
    found = re.findall(r"none|\([^()]*\)", head.fields["spacedirections"])
    if len(found) != count:
        raise ValueError(f"{len(found)} space directions of {count} axes")
    vectors = [None if text == "none" else _vector(text, dims) * signs for text in found]
    origin = _vector(head.fields["spaceorigin"], dims) if "spaceorigin" in head.fields else np.zeros(3)
    return [v if v is None or np.isfinite(v).any() else None for v in vectors], (
        np.where(np.isfinite(origin), origin, 0.0) * signs
    )


def _vector(text: str, dims: int) -> np.ndarray:
    found = re.fullmatch(r"\s*\(([^()]*)\)\s*", text)
    if found is None:
        raise ValueError(f"a vector such as (1,0,0) expected: {text[:80]!r}")
    return np.array([*real_numbers(found[1].replace(",", " "), dims), *[0.0] * (3 - dims)])


def _channel_axis(path: Path, head: Head, count: int, directions: list[np.ndarray | None]) -> int | None:
    kinds = head.fields["kinds"].lower().split() if "kinds" in head.fields else [""] * count
    if len(kinds) != count:
        raise ValueError(f"{len(kinds)} kinds of {count} axes")
    components = [axis for axis, kind in enumerate(kinds) if kind not in DOMAINS]
    if not components and any(d is not None for d in directions):
        components = [axis for axis, direction in enumerate(directions) if direction is None]
    if not components and count == 4:
        components = [kinds.index("time") if "time" in kinds else 3]
    if len(components) > 1:
        raise DataError(
            "has several axes of components",
            path=path,
            found=f"axes {', '.join(map(str, components))} of {count}",
            expected="one of them as channels",
            remedy="write each channel as its own file",
        )
    if components and "matrix" in kinds[components[0]]:
        raise ValueError(f"voxels of kind {kinds[components[0]]}")
    return components[0] if components else None


def _block(path: Path, head: Head, sizes: tuple[int, ...]) -> Block:
    code = DTYPES.get(" ".join(head.needed("type").lower().split()))
    encoding = ENCODINGS.get(head.needed("encoding").lower())
    if code is None or encoding is None:
        raise ValueError(f"type {head.fields['type'][:40]!r} in encoding {head.fields['encoding'][:40]!r}")
    needless = code.endswith("1") or encoding == "text"
    order = head.fields.get("endian", "little" if needless else "").lower()
    if order not in ("little", "big"):
        raise ValueError(f"endian {order[:40]!r}")
    lines, skip = (whole_numbers(head.fields.get(name, "0"), 1)[0] for name in ("lineskip", "byteskip"))
    attached, files = _files(path, head)
    start = -1 if skip < 0 else head.end if attached else 0
    if skip < -1 or lines < 0 or (skip and encoding == "text"):
        raise ValueError(f"line skip {lines}, byte skip {skip}")
    dtype = np.dtype(code).newbyteorder("<" if order == "little" else ">")
    return Block(files, dtype, sizes, encoding, start, lines, max(skip, 0))


def _files(path: Path, head: Head) -> tuple[bool, tuple[Path, ...]]:
    """Whether the voxels follow the header, and the files that hold them."""
    named = head.get("datafile", "datafiles")
    if named is None:
        return True, (path,)
    if head.lists or named.split()[:1] == ["LIST"]:
        return False, beside(path, list(head.lists))
    words = named.split()
    if "%" in named and len(words) >= 4:
        first, last, step = whole_numbers(" ".join(words[1:4]), 3)
        return False, beside(path, numbered(words[0], first, last, step))
    return False, beside(path, [named])
