"""Where prepared data lie, and the keys they lie under."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semivox import disk
from semivox.errors import DataError, DiskFault
from semivox.files import real_path, told
from semivox.machine import user_cache
from semivox.output_places import refuse_among_scans


def cache_folder(data: str | Path, cache: str | Path | None = None) -> Path:
    """The folder for prepared data, created: ``cache``, else ``SEMIVOX_CACHE``, else ``DATA/.semivox``.

    Where the data folder cannot be written to, a folder of the user's own cache directory takes its place.
    """
    chosen = cache or os.environ.get("SEMIVOX_CACHE")
    if chosen:
        folder = Path(chosen).expanduser()
        refuse_among_scans(folder, "give another folder with --cache or SEMIVOX_CACHE")
        _refuse_unwritable(folder, "the cache folder cannot be written to")
        return real_path(folder)
    own = real_path(data) / ".semivox"
    if _unwritable(own) is None:
        return own
    name = hashlib.sha256(os.fsencode(own.parent)).hexdigest()[:16]
    folder = user_cache() / "semivox" / f"{own.parent.name}-{name}"
    _refuse_unwritable(folder, "no folder for prepared data can be written to")
    return folder


def digest(fields: Mapping[str, Any]) -> str:
    """A short stable key for a set of named values."""
    text = json.dumps(fields, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _refuse_unwritable(folder: Path, fault: str) -> None:
    found = _unwritable(folder)
    if found is not None:
        remedy = "give another folder with --cache or SEMIVOX_CACHE"
        raise DataError(fault, path=folder, found=found, remedy=remedy)


def _unwritable(folder: Path) -> str | None:
    """Why this user cannot write to ``folder`` (made if need be), or None. Raises DiskFault where the disk is
    full or fails: gigabytes are not for another folder then, without a word."""
    try:
        with told(folder, "free disk space, or give another folder with --cache or SEMIVOX_CACHE"):
            disk.make_folder(folder)
            disk.try_file(folder)
    except DiskFault:
        raise
    except DataError as error:
        return str(error.found)
    return None
