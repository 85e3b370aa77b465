"""Scans on an object store, ``s3://bucket/folder``, and masks back to it: all else sees folders of its own
machine. Nothing here runs, and no network is asked, unless a user gives a URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from semivox.lazy import attach

if TYPE_CHECKING:
    from semivox.remote.address import is_url
    from semivox.remote.copies import mirrored, refuse_in_copy, written_to

__all__ = ["is_url", "mirrored", "refuse_in_copy", "written_to"]
__getattr__, __dir__ = attach(__name__)
