"""Data folders by nnU-Net's names: below ``nnUNet_raw``, ``Dataset004_Heart`` or ``4`` stands for one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from semivox.errors import DataError
from semivox.numerals import whole_number

VARIABLE = "nnUNet_raw"
NAME = re.compile(r"Dataset([0-9]{3,18})_.+", re.DOTALL)
SHOWN = 5


def folder_taken(given: str | Path) -> tuple[str | Path, str]:
    """What a data folder that was ``given`` means, and a line that tells so ("" where nothing was looked up).

    What exists under this name, as seen from the current folder, wins over what nnU-Net calls so.

    Raises DataError where the name or number fits no folder below ``nnUNet_raw``, or several.
    """
    raw, word = os.environ.get(VARIABLE), str(given)
    number = whole_number(word) if word.isdigit() else None
    if not raw or (number is None and not NAME.fullmatch(word)):
        return given, ""
    if os.path.lexists(word):
        return given, f"{word}: the one in the current folder is taken, not a folder below {VARIABLE}"
    folders = _folders(Path(raw))
    fitting = [name for name in folders if (name == word if number is None else folders[name] == number)]
    if len(fitting) == 1:
        return Path(raw, fitting[0]), f"{word}: {Path(raw, fitting[0])} is taken, by {VARIABLE}"
    if fitting:
        raise DataError(
            f"several data folders have the number {number}",
            path=raw,
            found=_listed(fitting),
            expected="one",
            remedy="give the whole name",
        )
    raise DataError(
        f"no data folder {word} here, and none of this {'name' if number is None else 'number'} "
        f"below {VARIABLE}",
        path=raw,
        found=_listed(folders) or "none",
        expected="a folder such as Dataset004_Heart",
        remedy=f"check the name, or give the path of the folder; {VARIABLE} is a variable of the environment",
    )


def _folders(raw: Path) -> dict[str, int]:
    """Name -> number, sorted."""
    try:
        with os.scandir(raw) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
    except OSError as error:
        raise DataError(
            f"{VARIABLE} is no folder that can be read",
            path=raw,
            found=error.strerror,
            remedy=f"set {VARIABLE} to the folder of nnU-Net's data folders, or unset it",
        ) from error
    return {name: int(match[1]) for name in names if (match := NAME.fullmatch(name))}


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:SHOWN]) + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")
