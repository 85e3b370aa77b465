"""Packages of the extras ``semivox[...]``, imported when first wanted; a clear line where they lack."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from semivox.errors import SemivoxError, SettingsError


def package_of(
    extra: str, name: str, what: str, kind: type[SemivoxError] = SettingsError, path: Path | None = None
) -> Any:
    """Package ``name`` of ``semivox[extra]``, imported.

    Raises ``kind`` where it is not installed: ``what`` (said first in the error) needs it, for ``path``.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise kind(
            f"{what} needs packages that are not installed",
            path=path,
            found=str(error),
            remedy=f"pip install 'semivox[{extra}]'",
        ) from error
