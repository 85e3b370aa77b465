"""What a header claims, held against the file and this machine before memory is asked for.

A few bytes can claim any size, so nothing is allocated that the stored bytes could not fill.
"""

from __future__ import annotations

from pathlib import Path

from semivox.errors import DataError
from semivox.machine import case_bytes

SPARE = 4096
"""Bytes that may follow the voxels: some programs pad a file to a whole page."""
DEFLATE = 1032
"""Bytes that one byte of a deflate stream can stand for at most: 258 in two bits."""
BZIP2 = 45899235 // 45
"""The same for bzip2: its densest block is 45 bytes."""
JPEG = 2048
"""The same for JPEG: a bit at least of each block of 64 samples, and blocks of colour that cover four."""
SMALL = 1 << 26
"""Claims up to this are never held against the memory: asking the system takes longer than reading them."""


def check_stored(claimed: int, stored: int, ratio: int = 1) -> None:
    """Raise ValueError where ``stored`` bytes cannot become ``claimed`` ones, ``ratio`` of each at most."""
    if claimed > stored * ratio:
        held = f"{stored}" if ratio == 1 else f"at most {stored * ratio} (compressed to {stored})"
        raise ValueError(f"the header tells of {claimed} bytes of voxels, the file holds {held}")


def check_memory(path: Path | None, claimed: int) -> None:
    """Raise DataError where an array of ``claimed`` bytes and a copy of it are more than a case may take."""
    if claimed <= SMALL:
        return
    limit = case_bytes()
    if 2 * claimed > limit:
        raise DataError(
            "larger than the memory that is free for one scan",
            path=path,
            found=f"{gib(claimed)} of voxels, and as much again to work on them",
            expected=f"{gib(limit)} in all",
            remedy="cut or resample the scan, free memory, or allow more with SEMIVOX_CASE_MEMORY=24GiB; "
            "if the scan is small, its header is damaged",
        )


def surplus(path: Path, claimed: int, spare: int) -> DataError:
    """The error for a file that goes on after its voxels."""
    return DataError(
        "the file holds more than its header tells of",
        path=path,
        found=f"more than {spare} bytes after the {claimed} bytes of its voxels",
        expected="the voxels and nothing after them",
        remedy="copy or export the file again: its header is damaged, or something was appended to it",
    )


def gib(number: float) -> str:
    """Bytes for people."""
    return f"{number / 2**30:.1f} GiB"
