"""``semivox import``: a layout that the field passes around becomes the data folder."""

from __future__ import annotations

from pathlib import Path

from semivox.cohort.importers import LAYOUTS
from semivox.errors import SettingsError


def import_data(layout: str, src: str | Path, dst: str | Path, list_file: str | Path | None = None) -> Path:
    """Turn ``src`` into a data folder ``dst`` and return its path.

    Parameters
    ----------
    layout
        "uamt-h5", "ssl4mis-h5", "pancreas-h5", "msd" or "folders".
    dst
        A new or empty folder; it appears whole or not at all.
    list_file
        One case name a line: which cases, in which order (``cases.csv`` keeps it). None: all, sorted.

    Raises
    ------
    DataError
        ``src`` is not of this layout, a file is broken, a listed name has no file, ``dst`` is occupied.
    SettingsError
        No such layout.
    """
    if layout not in LAYOUTS:
        raise SettingsError("no such layout", found=repr(layout), expected=" or ".join(LAYOUTS))
    return LAYOUTS[layout](Path(src), Path(dst), None if list_file is None else Path(list_file))
