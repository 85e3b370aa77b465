"""The packages of the extra ``semivox[export]``; a clear line where they lack."""

from __future__ import annotations

from typing import Any

from semivox.extras import package_of


def packages_for(kind: str, *names: str) -> list[Any]:
    """The packages ``names``, imported, to export a run as ``kind``. Raises SettingsError where one lacks."""
    return [package_of("export", name, f"--to {kind}") for name in names]
