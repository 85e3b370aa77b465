"""Which cases to import, and in which order: a list file of names, or all of them sorted."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path

from semivox.cohort.split import listed_names
from semivox.errors import DataError


def choose(
    available: Iterable[str],
    list_file: Path | None,
    source: Path,
    case_of: Callable[[str], str] = lambda entry: entry,
) -> list[str]:
    """The case names to import, in order: the list's, or all ``available`` ones sorted.

    The list is read as that of labelled cases is (:func:`semivox.cohort.split.listed_names`). ``case_of``
    turns an entry that is no case's name into one (layouts write suffixes there). Raises :class:`DataError`
    for a list of nothing, an entry without a file and one that stands twice.
    """
    known = set(available)
    if list_file is None:
        return sorted(known)
    entries = listed_names(Path(list_file), known, case_of)
    if not entries:
        raise DataError("the list is empty", path=list_file, expected="one case name a line")
    chosen: dict[str, str] = {}
    for entry in entries:
        name = entry if entry in known else case_of(entry)
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
