"""The packages of the extra ``semivox[annotate]``; a clear line where they lack."""

from __future__ import annotations

from semivox.extras import package_of


def server_packages() -> None:
    """Raise SettingsError unless starlette and uvicorn are installed."""
    for name in ("starlette", "uvicorn"):
        package_of("annotate", name, "the page")
