"""A data folder that appears whole or not at all: written beside its place, then renamed."""

from __future__ import annotations

import contextlib
import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from semivox.errors import DataError
from semivox.files import building, remove_if_empty


@contextlib.contextmanager
def new_folder(destination: Path) -> Iterator[Path]:
    """A temporary folder beside ``destination`` that takes its place when the block ends well.

    When the block raises, nothing is left behind. Raises :class:`DataError` when ``destination`` is a file
    or a folder with something in it, and when the disk refuses (full, read-only, no permission).
    """
    destination = Path(destination)
    refuse_occupied(destination)
    parent = destination.absolute().parent
    made = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    try:
        with building(destination.absolute(), "free disk space or choose another folder") as folder:
            yield folder
            refuse_occupied(destination)
    except BaseException:
        remove_if_empty(made)  # deepest first
        raise


def write_tables(
    folder: Path, dataset: Mapping[str, Any], cases: Sequence[Mapping[str, str]], columns: Sequence[str]
) -> None:
    """Write ``dataset.json`` and ``cases.csv`` (a row a case, in cohort order) into ``folder``."""
    (folder / "dataset.json").write_text(json.dumps(dict(dataset), indent=1) + "\n", encoding="utf-8")
    with (folder / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, fieldnames=list(columns), lineterminator="\n")
        table.writeheader()
        table.writerows(cases)


def refuse_occupied(destination: Path) -> None:
    """Raise :class:`DataError` unless ``destination`` is free: absent, or an empty folder."""
    if destination.is_dir() and not any(destination.iterdir()):
        return
    if destination.exists() or destination.is_symlink():
        raise DataError(
            "the destination exists already and is not empty",
            path=destination,
            expected="a new or an empty folder",
            remedy="give another destination, or move this one away",
        )
