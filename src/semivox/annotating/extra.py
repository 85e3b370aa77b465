"""The packages of the extra ``semivox[annotate]``; a clear line where they lack."""

from __future__ import annotations

from importlib import import_module

from semivox.errors import SettingsError


def server_packages() -> None:
    """Raise SettingsError unless starlette and uvicorn are installed."""
    for name in ("starlette", "uvicorn"):
        try:
            import_module(name)
        except ImportError as error:
            raise SettingsError(
                "the page needs packages that are not installed",
                found=str(error),
                remedy="pip install 'semivox[annotate]'",
            ) from error
