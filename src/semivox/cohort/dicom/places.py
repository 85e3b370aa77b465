"""Where DICOM objects lie: files in nested folders and in zip archives."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from semivox.cohort.dicom.deflated import check_inflated, check_unpacked
from semivox.cohort.format_table import ENDINGS

SERIES = "@"
"""Begins the last part of a path that means one series of a folder or archive: ``STUDY/@1.2.840...``."""
MAGIC_AT, MAGIC = 128, b"DICM"
BARE = (b"\x08\x00", b"\x02\x00")
"""First group of an object without the preamble that files have."""
OTHERS = tuple(ending for ending, row in ENDINGS.items() if row.name != "dicom")


@dataclass(frozen=True, order=True)
class Place:
    """A file, or a ``member`` of a zip archive."""

    file: Path
    member: str = ""

    @property
    def is_named_so(self) -> bool:
        """Whether the name says that it is DICOM."""
        return (self.member or self.file.name).lower().endswith(".dcm")

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """The bytes, to be read."""
        if not self.member:
            with self.file.open("rb") as file:
                yield file
            return
        with zipfile.ZipFile(self.file) as archive, archive.open(self.member) as file:
            yield file

    @contextmanager
    def open_object(self) -> Iterator[IO[bytes]]:
        """The bytes of an object, for a reader that takes all of them into memory.

        Raises ValueError where few stored bytes would become very many.
        """
        if self.member:
            with zipfile.ZipFile(self.file) as archive:
                packed = archive.getinfo(self.member)
            check_unpacked(packed.file_size, packed.compress_size)
        with self.open() as file:
            check_inflated(file)
            yield file


def root_of(path: Path) -> Path:
    """The folder, archive or file that holds a scan: the path itself but for one series of many."""
    return path.parent if path.name.startswith(SERIES) else path


def inner_of(folder: Path) -> list[Path]:
    """Folders and archives right in a folder, sorted; nothing where it is none."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as found:
        names = [
            e.name
            for e in found
            if not e.name.startswith(".") and (e.is_dir(follow_symlinks=False) or is_archive(e.name))
        ]
    return [folder / name for name in sorted(names)]


def places_at(root: Path) -> list[Place]:
    """What may be a DICOM object right in a folder, in an archive, or the file itself; sorted."""
    if root.is_dir():
        with os.scandir(root) as found:
            names = [e.name for e in found if e.is_file() and _may_be(e.name) and not is_archive(e.name)]
        return [Place(root / name) for name in sorted(names)]
    if is_archive(root):
        with zipfile.ZipFile(root) as archive:
            names = [item.filename for item in archive.infolist() if not item.is_dir()]
        return [Place(root, name) for name in sorted(names) if _may_be(name.rsplit("/", 1)[-1])]
    return [Place(root)]


def stamp_of(root: Path) -> tuple[tuple[str, int, int], ...]:
    """What changes when the files of a folder or archive do."""
    files = _files_below(root) if root.is_dir() else [root]
    return tuple((str(f), (s := f.stat()).st_size, s.st_mtime_ns) for f in files if f.is_file())


def holds_dicom(root: Path) -> bool:
    """Whether any object in a folder and below it, or in an archive, begins as DICOM does."""
    try:
        if any(begins_as_dicom(place) for place in places_at(root)):
            return True
    except (OSError, zipfile.BadZipFile):
        return False
    return any(map(holds_dicom, inner_of(root)))


def begins_as_dicom(place: Place) -> bool:
    """By the first bytes: names of DICOM files often have no ending."""
    return is_beginning(beginning_of(place))


def beginning_of(place: Place) -> bytes | None:
    """The first bytes; None where nobody can read them: in an archive that is encrypted, odd or damaged."""
    try:
        with place.open() as file:
            return file.read(MAGIC_AT + len(MAGIC))
    except Exception:  # decompressors raise nearly anything on broken bytes
        return None


def is_beginning(start: bytes | None) -> bool:
    """Whether first bytes are those of DICOM."""
    if start is None:
        return False
    return start[MAGIC_AT:] == MAGIC or (start[:2] in BARE and start[3:4] == b"\0")


def _files_below(folder: Path) -> list[Path]:
    found = []
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(at, name) for name in sorted(names) if _may_be(name)]
    return found


def is_archive(path: str | Path) -> bool:
    """By its name."""
    return str(path).lower().endswith(".zip")


def _may_be(name: str) -> bool:
    return not name.startswith(".") and name != "DICOMDIR" and not name.lower().endswith(OTHERS)
