"""Which cases to import, and in which order: a list file of names, or all of them sorted."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path

from semivox.errors import DataError
from semivox.files import read_text


def read_list(path: Path) -> list[str]:
    """The names of a list file, one a line; empty lines and lines that begin with ``#`` do not count."""
    lines = read_text(Path(path)).splitlines()
    names = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    if not names:
        raise DataError("the list is empty", path=path, expected="one case name a line")
    return names


def choose(
    available: Iterable[str],
    list_file: Path | None,
    source: Path,
    case_of: Callable[[str], str] = lambda entry: entry,
) -> list[str]:
    """The case names to import, in order: the list's, or all ``available`` ones sorted.

    ``case_of`` turns a list's entry into a case name (layouts write suffixes there). Raises
    :class:`DataError` for an entry without a file and for one that stands twice.
    """
    known = set(available)
    if list_file is None:
        return sorted(known)
    chosen: dict[str, str] = {}
    for entry in read_list(list_file):
        name = case_of(entry)
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise DataError(
                f"the list names {entry!r}, which has no file in {source}",
                path=list_file,
                found=f"{len(known)} cases there" + (f", the nearest is {near[0]!r}" if near else ""),
                remedy="correct the name, or take it out of the list",
            )
        if name in chosen:
            raise DataError(
                f"the list names {name!r} twice",
                path=list_file,
                found=f"{chosen[name]!r} and {entry!r}",
                remedy="keep one of them",
            )
        chosen[name] = entry
    return list(chosen)
