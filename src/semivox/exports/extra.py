"""The packages of the extra ``semivox[export]``; a clear line where they lack."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from semivox.errors import SettingsError


def packages_for(kind: str, *names: str) -> list[Any]:
    """The packages ``names``, imported, to export a run as ``kind``. Raises SettingsError where one lacks."""
    found = []
    for name in names:
        try:
            found.append(import_module(name))
        except ImportError as error:
            raise SettingsError(
                f"--to {kind} needs packages that are not installed",
                found=str(error),
                remedy="pip install 'semivox[export]'",
            ) from error
    return found
