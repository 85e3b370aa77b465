"""Pictures that ask to be shown turned: viewers do so, and a label that is drawn there lies otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from semivox.errors import DataError

TAG = 274
"""Of TIFF and of Exif, which is one inside other files."""


def refuse_turned(path: Path, orientation: int) -> None:
    """Raise DataError where ``orientation`` (1: as stored) is another one."""
    if orientation != 1:
        raise DataError(
            "a picture that viewers turn",
            path=path,
            found=f"orientation {orientation} in its header",
            expected="a picture that is shown as it is stored",
            remedy="save it turned, without that entry: else a label drawn on it lies otherwise",
        )


def orientation_in(exif: bytes) -> int:
    """The orientation in Exif's first directory; 1 where there is none."""
    order: Literal["little", "big"] = "little" if exif[:2] == b"II" else "big"
    at = int.from_bytes(exif[4:8], order)
    count = int.from_bytes(exif[at : at + 2], order)
    for i in range(min(count, 1000)):
        entry = exif[at + 2 + 12 * i : at + 14 + 12 * i]
        if int.from_bytes(entry[:2], order) == TAG:
            found = int.from_bytes(entry[8:10], order)
            return found if 1 <= found <= 8 else 1
    return 1
