"""Which scans a list of paths means: files, folders of images, data folders."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from semivox.cohort import ENDINGS, ending_of, sha256_file, stem_of
from semivox.errors import DataError

DATA_FOLDERS = ("imagesTr", "imagesUn")
CHANNEL = re.compile(r"(.+)_(\d{4})")


@dataclass(frozen=True)
class ScanFiles:
    """One case to predict: its name and the files of its channels, in order."""

    name: str
    paths: tuple[Path, ...]

    def sha256(self) -> str:
        """Of the one file, or of the hashes of several; a detached header's voxel files count too."""
        files = [file for path in self.paths for file in (path, *_detached(path))]
        hashes = [sha256_file(file) for file in files]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def find_scans(paths: Sequence[str | Path]) -> tuple[ScanFiles, ...]:
    """The cases that ``paths`` mean, sorted by name.

    A folder with ``imagesTr`` or ``imagesUn`` is a data folder: the images of both are taken, never
    ``imagesTs`` (give that folder itself). ``CASE_0000``, ``CASE_0001``, ... are the channels of one case.

    Raises
    ------
    DataError
        A path does not exist, holds no scan, or two cases share a name.
    """
    scans: dict[str, ScanFiles] = {}
    if not paths:
        raise DataError("no scan to predict", expected="files or folders of scans")
    for path in map(Path, paths):
        for scan in _of(path):
            other = scans.setdefault(scan.name, scan)
            if {p.resolve() for p in other.paths} != {p.resolve() for p in scan.paths}:
                raise DataError(
                    f"two scans share the name {scan.name!r}",
                    path=scan.paths[0],
                    found=f"also {other.paths[0]}",
                    remedy="predict them into two folders, or rename one",
                )
    return tuple(scans[name] for name in sorted(scans))


def _of(path: Path) -> list[ScanFiles]:
    if path.is_file():
        if ending_of(path) is None:
            raise DataError(
                "not a scan that semivox reads", path=path, found=path.name, expected=", ".join(ENDINGS)
            )
        match = CHANNEL.fullmatch(stem_of(path))
        siblings = path.parent.glob(f"{_escape(match[1])}_[0-9][0-9][0-9][0-9]*") if match else []
        found = _grouped([path, *siblings])
        return [scan for scan in found if path in scan.paths]
    if not path.is_dir():
        raise DataError("no such file or folder", path=path, remedy="check the path")
    parts = [path / name for name in DATA_FOLDERS if (path / name).is_dir()]
    scans = [scan for folder in parts or [path] for scan in _grouped(folder.iterdir())]
    if not scans:
        raise DataError(
            "no scan found",
            path=path,
            found=f"{sum(1 for _ in path.iterdir())} other entries",
            expected=f"files ending in {', '.join(ENDINGS)}",
            remedy="give the folder that holds the images itself",
        )
    return scans


def _grouped(files: Iterable[Path]) -> list[ScanFiles]:
    """Image files -> cases. A number counts as a channel only where ``_0000`` of that name is there."""
    images = sorted(
        {f for f in files if f.is_file() and ending_of(f) is not None and not f.name.startswith(".")}
    )
    firsts = {stem_of(f)[: -len("_0000")] for f in images if stem_of(f).endswith("_0000")}
    cases: dict[str, list[Path]] = {}
    for file in images:
        match = CHANNEL.fullmatch(stem_of(file))
        name = match[1] if match and match[1] in firsts else stem_of(file)
        channels = cases.setdefault(name, [])
        if stem_of(file) in map(stem_of, channels):
            raise DataError(
                f"two scans share the name {name!r}",
                path=file,
                found=f"also {channels[-1].name}",
                remedy="move one of them to another folder",
            )
        channels.append(file)
    return [ScanFiles(name, tuple(paths)) for name, paths in cases.items()]


def _detached(path: Path) -> list[Path]:
    """Voxel files beside a detached header (.mhd, .nhdr)."""
    if ending_of(path) not in (".mhd", ".nhdr"):
        return []
    return sorted(f for f in path.parent.glob(f"{_escape(stem_of(path))}.*raw*") if f.is_file())


def _escape(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)
