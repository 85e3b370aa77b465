"""What a file is by its first bytes: names are wrong at times."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

STARTS = {
    b"\x89PNG\r\n\x1a\n": ".png",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
    b"II+\0": ".tif",
    b"MM\0+": ".tif",
    b"NRRD000": ".nrrd",
    b"ObjectType": ".mha",
    b"NDims": ".mha",
    b"\xff\xd8\xff": ".jpg",
    b"BM": ".bmp",
    b"\x89HDF\r\n\x1a\n": ".h5",
    b"PK\x03\x04": ".zip",
}
NIFTI = (b"n+1\0", b"n+2\0\r\n\x1a\n")


def format_by_content(path: Path) -> str | None:
    """The ending that a file's first bytes ask for; None where they are none that we know."""
    try:
        with path.open("rb") as file:
            start = file.read(352)
            if start.startswith(b"\x1f\x8b"):
                file.seek(0)
                with gzip.GzipFile(fileobj=file) as inflated:
                    return ".nii.gz" if _is_nifti(inflated.read(352)) else None
    except (OSError, EOFError, zlib.error):
        return None
    if _is_nifti(start):
        return ".nii"
    if start[128:132] == b"DICM":
        return ".dcm"
    return next((ending for magic, ending in STARTS.items() if start.startswith(magic)), None)


def _is_nifti(start: bytes) -> bool:
    return start[344:348] == NIFTI[0] or start[4:12] == NIFTI[1]
