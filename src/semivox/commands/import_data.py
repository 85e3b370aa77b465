"""``semivox import``: a layout that the field passes around becomes the data folder."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from semivox.errors import SettingsError
from semivox.options import Command, Flag, Positional, from_options

Layout = Literal["uamt-h5", "ssl4mis-h5", "pancreas-h5", "msd", "folders", "masks", "dicom"]


@dataclass(frozen=True)
class ImportOptions:
    """What to import."""

    layout: Annotated[Layout | str, Positional("LAYOUT")]
    """Layout of SRC: uamt-h5, ssl4mis-h5, pancreas-h5, msd, folders, masks or dicom."""
    src: Annotated[str | Path, Positional("SRC", url="read")]
    """The folder to import; of DICOM also a zip."""
    dst: Annotated[str | Path, Positional("DST", writes="folder")]
    """A new or empty folder; it appears whole or not at all."""
    list_file: Annotated[str | Path | None, Flag("FILE", flag="--list", default="all, sorted")] = None
    """Names of the cases to import, one a line, in this order (``cases.csv`` keeps it)."""


@from_options(ImportOptions)
def import_data(options: ImportOptions) -> Path:
    """Turn a layout that others use into a data folder, and return its path.

    Raises
    ------
    DataError
        ``src`` is not of this layout, a file is broken, a listed name has no file, ``dst`` is occupied.
    SettingsError
        No such layout.
    """
    from semivox.cohort.importers import LAYOUTS

    if options.layout not in LAYOUTS:
        raise SettingsError("no such layout", found=repr(options.layout), expected=" or ".join(LAYOUTS))
    names = None if options.list_file is None else Path(options.list_file)
    return LAYOUTS[options.layout](Path(options.src), Path(options.dst), names)


def main(given: ImportOptions) -> int:
    """Import, and say what there is to know of it and what comes next."""
    from semivox.contents import Imported
    from semivox.files import read_json

    made = import_data.of(given)
    if note := read_json(made / "dataset.json", kind=Imported).get("note"):
        print(f"note: {note}")
    print(f"{made}; next: {shlex.join(['semivox', 'check', str(given.dst)])}")
    return 0


COMMAND = Command(
    ImportOptions,
    main,
    ("semivox import msd Task04_Hippocampus my_scans", "semivox import dicom from_the_scanner my_scans"),
)
