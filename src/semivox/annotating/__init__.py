"""Looking at scans and correcting their masks in a browser: a local server, its book, and one page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semivox.lazy import attach

if TYPE_CHECKING:
    from semivox.annotating.desk import Desk
    from semivox.annotating.extra import server_packages
    from semivox.annotating.guard import Address
    from semivox.annotating.jobs import Length
    from semivox.annotating.server import listening, serve

__all__ = ["Address", "Desk", "Length", "listening", "serve", "server_packages"]

__getattr__, __dir__ = attach(__name__)
