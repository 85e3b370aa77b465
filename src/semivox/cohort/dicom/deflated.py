"""Objects whose bytes are compressed as a whole: what they become is counted before pydicom makes it."""

from __future__ import annotations

import zlib
from typing import IO

from semivox.cohort.claims import SMALL

SYNTAX = b"1.2.840.10008.1.2.1.99"
PREAMBLE, MAGIC = 128, b"DICM"
META, TRANSFER_SYNTAX = b"\x02\x00", b"\x02\x00\x10\x00"
LONG = (b"OB", b"OW", b"OF", b"SQ", b"UT", b"UN", b"UC", b"UR")
HEAD, PIECE = 1 << 16, 1 << 20
RATIO = 16
"""Of larger ones at most: masks pack better, scans never so well."""


def check_unpacked(size: int, stored: int) -> None:
    """Raise ValueError where ``stored`` bytes become more than an object of images has reason to."""
    if size > SMALL + RATIO * stored:
        raise ValueError(f"{stored} compressed bytes become {size} or more, as those of images do not")


def check_inflated(file: IO[bytes]) -> None:
    """:func:`check_unpacked` for an object that is deflated; ``file`` stands at its start again."""
    begins = _deflated_from(file.read(HEAD))
    if begins is not None:
        file.seek(begins)
        inflater, size, stored = zlib.decompressobj(-zlib.MAX_WBITS), 0, 0
        while not inflater.eof and (piece := inflater.unconsumed_tail or file.read(PIECE)):
            stored += 0 if inflater.unconsumed_tail else len(piece)
            size += len(inflater.decompress(piece, PIECE))
            check_unpacked(size, stored)
    file.seek(0)


def _deflated_from(head: bytes) -> int | None:
    """Where the compressed bytes begin; None for other objects. Elements of the second group are read as they
    stand, whatever length the group claims."""
    at, syntax = (PREAMBLE + len(MAGIC) if head[PREAMBLE:].startswith(MAGIC) else 0), b""
    while head[at : at + 2] == META:
        long = head[at + 4 : at + 6] in LONG
        value = at + (12 if long else 8)
        end = value + int.from_bytes(head[at + 8 if long else at + 6 : value], "little")
        if head[at : at + 4] == TRANSFER_SYNTAX:
            syntax = head[value:end].strip(b"\0 ")
        at = end
        if at >= HEAD:
            raise ValueError("the second group of its elements does not end")
    return at if syntax == SYNTAX else None
