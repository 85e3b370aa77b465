"""The packages of the extra ``semivox[dicom]``, imported on first use; a clear line where they lack."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from semivox.errors import DataError


def pydicom_for(path: Path) -> Any:
    """pydicom, to read ``path``."""
    return _imported("pydicom", path)


def highdicom_for(path: Path) -> Any:
    """highdicom, to write ``path``."""
    return _imported("highdicom", path)


def _imported(name: str, path: Path) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise DataError(
            "DICOM needs packages that are not installed",
            path=path,
            found=str(error),
            remedy="pip install 'semivox[dicom]'",
        ) from error
