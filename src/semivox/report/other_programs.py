"""Commands that open a case in the programs people look at scans with."""

from __future__ import annotations

import shlex
from pathlib import Path

SLICER_READS = (".nii.gz", ".nii", ".nrrd", ".mha")
"""Endings that 3D Slicer takes for one volume; a PNG or a DICOM slice would be read as something else."""


def open_commands(scan: Path, mask: Path | None, dims: int) -> list[tuple[str, str]]:
    """(program, command) for a scan in 3D and its mask, if any; none for pictures."""
    if dims != 3:
        return []
    seen = ["itksnap", "-g", str(scan), *(["-s", str(mask)] if mask is not None else [])]
    found = [("ITK-SNAP", shlex.join(seen))]
    if all(path.name.lower().endswith(SLICER_READS) for path in (scan, mask) if path is not None):
        calls = [f"slicer.util.loadVolume({str(scan.absolute())!r})"]
        if mask is not None:
            calls.append(f"slicer.util.loadSegmentation({str(mask.absolute())!r})")
        found.append(("3D Slicer", shlex.join(["Slicer", "--python-code", "; ".join(calls)])))
    return found
