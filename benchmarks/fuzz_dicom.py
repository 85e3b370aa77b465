"""Damage to the structure of DICOM objects, for ``fuzz_readers.py``: elements are found by their encoding,
and lengths, kinds (VR), tags and values of some become others.

The lengths of the sequences around a damaged element are mended half of the time, else the damage is theirs,
too.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np

LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT", b"SV", b"UV")
"""Kinds whose length has four bytes, behind two that mean nothing."""
KINDS = (
    *LONG, b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH",
    b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US", b"ZZ", b"\0\0", b"??",
)  # fmt: skip
LENGTHS = (0, 1, 2, 3, 7, 255, 65534, 65535, 2**16, 2**20, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
VALUES = (
    b"", b"0", b"-1", b"1", b"2", b"999999999", b"2147483647", b"1e30", b"-1e30", b"1e-30", b"1e999", b"nan",
    b"inf", b"1\\2", b"1\\2\\3\\4\\5\\6\\7", b"0\\0\\0\\0\\0\\0", b"\\\\\\", b"x", b" ", b"\xff\xfe", b"\0\0",
    b"\xff\xff", b"\0\0\0\0\0\0\xf0\x7f", b"9" * 300, b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.5",
    b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2", b"1.2.3", b"RGB",
    b"PALETTE COLOR", b"YBR_FULL_422", b"ISO_IR 192", b"ISO 2022 IR 87", b"no such charset",
)  # fmt: skip
UNDEFINED = 2**32 - 1
DEEPEST = 20
ITEMS = (b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0")


@dataclass(frozen=True)
class Element:
    """Where it stands in the bytes. ``around``: (place, size) of the lengths of what encloses it."""

    start: int
    length_at: int
    value: int
    end: int
    around: tuple[tuple[int, int], ...]


def elements(
    data: bytes, at: int, end: int, around: tuple[tuple[int, int], ...] = (), depth: int = 0
) -> Iterator[Element]:
    """Those of explicit little-endian bytes, with those inside sequences, as far as they make sense."""
    while at + 8 <= end:
        start, tag, kind = at, data[at : at + 4], data[at + 4 : at + 6]
        if tag in ITEMS:
            length_at, size = at + 4, 4
        elif kind in LONG:
            length_at, size = at + 8, 4
        else:
            length_at, size = at + 6, 2
        length = int.from_bytes(data[length_at : length_at + size], "little")
        value = length_at + size
        undefined = size == 4 and length == UNDEFINED
        stop = end if undefined else min(value + length, end)
        yield Element(start, length_at, value, value if undefined else stop, around)
        if (tag == ITEMS[0] or kind == b"SQ") and depth < DEEPEST:
            enclosing = around if undefined else (*around, (length_at, size))
            yield from elements(data, value, stop, enclosing, depth + 1)
            if undefined:
                return  # what follows was found inside
        at = value if undefined else stop


def damaged_object(rng: np.random.Generator, data: bytes) -> bytes:
    """An object with one to three elements damaged."""
    for _ in range(rng.integers(1, 4)):
        found = list(elements(data, 132, len(data)))
        if not found:
            return data
        one, other = (found[rng.integers(len(found))] for _ in range(2))
        data = _damaged(rng, data, one, other)
    return data


def _damaged(rng: np.random.Generator, data: bytes, one: Element, other: Element) -> bytes:
    whole = data[one.start : one.end]
    match rng.integers(9):
        case 0:
            size = one.value - one.length_at
            length = int(LENGTHS[rng.integers(len(LENGTHS))]) % 2 ** (8 * size)
            return data[: one.length_at] + length.to_bytes(size, "little") + data[one.value :]
        case 1:
            kind = KINDS[rng.integers(len(KINDS))]
            return data[: one.start + 4] + kind + data[one.start + 6 :]
        case 2:
            made = b""
        case 3:
            made = whole + whole
        case 4:
            made = data[other.start : other.start + 4] + whole[4:]
        case 5:
            made = _private(rng) + whole
        case 6:
            made = whole + data[other.start : other.end]
        case 7:
            made = _sequences(int(rng.integers(1, 3000)))
        case _:
            value = VALUES[rng.integers(len(VALUES))]
            value += b" " * (len(value) % 2)
            size = one.value - one.length_at
            made = data[one.start : one.length_at] + len(value).to_bytes(size, "little") + value
    if rng.integers(2):
        data = _lengthened(data, one, len(made) - len(whole))
    return data[: one.start] + made + data[one.end :]


def _lengthened(data: bytes, one: Element, by: int) -> bytes:
    """With the lengths of all that encloses an element as they are when it has grown."""
    made = bytearray(data)
    for at, size in one.around:
        length = int.from_bytes(made[at : at + size], "little") + by
        made[at : at + size] = (length % 2 ** (8 * size)).to_bytes(size, "little")
    return bytes(made)


def _private(rng: np.random.Generator) -> bytes:
    """An element of an odd group, of any kind and content."""
    kind, content = KINDS[rng.integers(len(KINDS))], rng.bytes(int(rng.integers(0, 64)))
    group = int(rng.choice([1, 0x0009, 0x0029, 0x7FE1, 0xFFFF]))
    head = struct.pack("<HH", group, int(rng.choice([0x0010, 0x1001, 0xFFFF]))) + kind
    long = kind in LONG
    return head + struct.pack("<HI" if long else "<H", *([0] if long else []), len(content)) + content


def _sequences(depth: int) -> bytes:
    """Sequences in sequences, none of which ends."""
    one = (
        struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, UNDEFINED) + ITEMS[0] + struct.pack("<I", UNDEFINED)
    )
    return one * depth


def damaged_archive(rng: np.random.Generator, data: bytes) -> bytes:
    """An archive of objects of which one is damaged; its checksum is right."""
    made = io.BytesIO()
    try:
        with ZipFile(io.BytesIO(data)) as archive, ZipFile(made, "w") as target:
            names: list[Any] = archive.namelist()
            chosen = rng.integers(len(names))
            for number, name in enumerate(names):
                content = archive.read(name)
                target.writestr(name, damaged_object(rng, content) if number == chosen else content)
    except (BadZipFile, ValueError):
        return data
    return made.getvalue()
