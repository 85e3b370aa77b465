"""The packages of the extra ``semivox[dicom]``, imported on first use; a clear line where they lack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from semivox.errors import DataError
from semivox.extras import package_of


def pydicom_for(path: Path) -> Any:
    """pydicom, to read ``path``."""
    return package_of("dicom", "pydicom", "DICOM", DataError, path)


def highdicom_for(path: Path) -> Any:
    """highdicom, to write ``path``."""
    return package_of("dicom", "highdicom", "DICOM", DataError, path)
