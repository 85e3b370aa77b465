"""The one rule that says which image files are one case, and what the case is called. Only names are read.

A data folder's layout decides how its names are read (:class:`semivox.cohort.case.Naming`). A model keeps the
naming of its training folder, so loose scans are read as the training scans were.
"""

from __future__ import annotations

import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from semivox.cohort.case import Naming
from semivox.cohort.dicom.places import holds_dicom, inner_of
from semivox.cohort.formats import ending_of, is_scan, stem_of
from semivox.errors import DataError, printable

CHANNEL = re.compile(r"(.+)_(\d{4})")
"""A stem that ends in a channel's number: CASE_0000."""


@dataclass
class Files:
    """One case's files as found; ``faults`` is what is wrong with their names."""

    name: str
    images: tuple[Path, ...]
    label: Path | None = None
    faults: list[DataError] = field(default_factory=list)


def group_files(paths: Iterable[Path], naming: Naming, *, loose: bool = False) -> list[Files]:
    """Image files as cases, sorted by name; two cases of one name are left to the caller.

    In a data folder a wrong set of channel numbers is the case's fault. Scans that are ``loose`` have no such
    contract: there a number that cannot be a channel's (``_0000`` is not there, or a case is one file and
    there are several numbers) belongs to the name.
    """
    cases: list[Files] = []
    groups: dict[tuple[Path, str], dict[int, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(paths):
        match = CHANNEL.fullmatch(stem_of(path)) if naming.numbered else None
        if match is None:
            cases.append(Files(printable(stem_of(path)), (path,)))
        else:
            groups[path.parent, match[1]][int(match[2])].append(path)
    for (_, name), files in groups.items():
        if loose and (0 not in files or (naming.files_per_case == 1 and len(files) > 1)):
            cases += [Files(printable(stem_of(path)), (path,)) for same in files.values() for path in same]
            continue
        name = printable(name)
        cases.append(_case(name, {i: files[i][0] for i in sorted(files)}, naming.files_per_case))
        again = [path for same in files.values() for path in same[1:]]  # the same name with another ending
        cases += [Files(name, (path,)) for path in again]
    for case in cases:
        case.faults += filter(None, map(no_file, case.images))
    return sorted(cases, key=lambda c: c.name)


def no_file(path: Path) -> DataError | None:
    """What keeps a path from being opened at all: a pipe would be waited for without end, a name that is not
    UTF-8 cannot be recorded. None for a file or folder, or what is not there: whoever reads it says so."""
    if printable(path.name) != path.name:
        return DataError("its name is not UTF-8", path=path, found=path.name, remedy="rename it")
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return None
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    kind = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
    return DataError(
        "is no regular file", path=path, found=kind, expected="a file", remedy="take it out of the folder"
    )


def _case(name: str, files: dict[int, Path], channels: int) -> Files:
    case = Files(name, tuple(files.values()))
    # a single file may hold all channels (RGB picture, 4D NIfTI)
    expected = list(range(channels)) if channels and len(files) > 1 else list(range(max(files) + 1))
    if list(files) != expected:
        case.faults.append(
            DataError(
                f"case {name!r} has other channel files than declared",
                path=case.images[0].parent,
                found=", ".join(p.name for p in case.images[:6]) + (" ..." if len(files) > 6 else ""),
                expected=", ".join(f"{name}_{i:04d}{ending_of(case.images[0])}" for i in expected[:6]),
                remedy="add the missing files, or name single images CASE_0000",
            )
        )
    return case


def without_duplicates(cases: Sequence[Files]) -> list[Files]:
    """The cases, each name once; a name that is there twice is the first one's fault."""
    first: dict[str, Files] = {}
    for case in cases:
        if case.name not in first:
            first[case.name] = case
        elif paths := [*first[case.name].images, *case.images]:  # none: listed, and a fault already
            first[case.name].faults.append(duplicate(case.name, paths))
    return list(first.values())


def duplicate(name: str, paths: Sequence[Path]) -> DataError:
    """The fault of files that have one case's name."""
    return DataError(
        f"duplicate name: two files are case {name!r}",
        path=paths[0],
        found=", ".join("/".join(p.parts[-2:]) for p in paths),
        expected="one file a case",
        remedy="rename or remove one",
    )


def image_files(folder: Path) -> list[Path]:
    """Readable scans in sorted order, with folders and archives that hold DICOM objects; hidden ones (macOS
    leaves ``._name`` copies) are not ours.

    A link to a file that is gone is listed: whoever reads it names it.
    """
    inner = inner_of(folder)
    apart = {path.name for path in inner}
    files = [path for path in entries(folder) if is_scan(path) and path.name not in apart]
    return sorted([*files, *filter(holds_dicom, inner)])


def label_files(folder: Path) -> list[Path]:
    """As :func:`image_files`, with the formats that hold labels alone."""
    return [path for path in entries(folder) if ending_of(path) is not None]


def entries(folder: Path) -> list[Path]:
    """Everything in ``folder`` but folders and hidden files, sorted; nothing where it is no folder."""
    return [folder / name for name in names_in(folder)]


def names_in(folder: Path) -> list[str]:
    """The names of its :func:`entries`."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as found:
        files = (e for e in found if not e.is_dir(follow_symlinks=False))
        return sorted(e.name for e in files if not e.name.startswith(".") and not _leads_to_folder(e))


def folders_in(folder: Path) -> list[str]:
    """The names of the folders right in ``folder`` that are not hidden, sorted."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as found:
        return sorted(e.name for e in found if e.is_dir() and not e.name.startswith("."))


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_symlink() and os.path.isdir(entry.path)  # a link to itself does not
