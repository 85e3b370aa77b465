"""Where nothing is written: among scans and labels, which would be read together with it, and in a run."""

from __future__ import annotations

import os
from pathlib import Path

from semivox.errors import SettingsError
from semivox.files import real_path

HELD = ("imagesTr", "imagesUn", "imagesTs", "labelsTr", "labelsTs", "images", "labels")
"""Folders of scans and labels in a data folder."""
TABLES = ("dataset.json", "cases.csv")
OF_RUNS = ("config.yaml", "model.json", "ensemble.json")


def refuse_among_scans(place: str | Path, remedy: str, *, file: bool = False) -> None:
    """Raise SettingsError where what is written at ``place`` would lie among scans or labels.

    A folder of outputs is neither a data folder nor one of those in it that hold scans or labels, nor below
    one; beside them, such as ``DATA/run``, it may be. A ``file`` may lie right in a data folder, too, if it
    does not take the place of what describes that.
    """
    path = real_path(place)
    folder = path.parent if file else path
    for lying in (folder, *folder.parents):
        if lying.name in HELD and _is_data_folder(lying.parent):
            raise _refused(path, f"the folder {lying.name} of the data folder {lying.parent}", remedy)
    if _is_data_folder(folder) and not (file and path.name not in TABLES):
        raise _refused(path, "what describes a data folder" if file else "a data folder", remedy)


def refuse_in_run(folder: Path) -> None:
    """Raise SettingsError where ``folder`` is a run, which is no place for masks or other runs."""
    if found := [name for name in OF_RUNS if (folder / name).exists()]:
        raise SettingsError(
            "outputs would lie among the files of a run", path=folder, found=found[0],
            expected="a place of their own", remedy="choose another --out",
        )  # fmt: skip


def _is_data_folder(root: Path) -> bool:
    """By its names alone. Prepared scans lie in a folder ``images`` as well, but each in one of its own."""
    if any((root / name).is_dir() for name in ("imagesTr", "imagesUn")):
        return True
    try:
        with os.scandir(root / "images") as entries:
            return any(entry.is_file() for entry in entries)
    except OSError:
        return False


def _refused(path: Path, found: str, remedy: str) -> SettingsError:
    return SettingsError(
        "outputs would lie among scans and labels", path=path, found=found, expected="a place of their own",
        remedy=remedy,
    )  # fmt: skip
