"""Which scans a list of paths means: files, folders of images, data folders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from semivox.cohort.case import Case, Naming
from semivox.cohort.dicom.places import holds_dicom, inner_of, is_archive
from semivox.cohort.folder import is_data_folder, naming_of, scan_images
from semivox.cohort.format_table import ENDINGS
from semivox.cohort.formats import ending_of, is_scan
from semivox.cohort.layouts import dicom_files
from semivox.cohort.naming import Files, entries, group_files, image_files
from semivox.cohort.unused import BESIDE
from semivox.errors import DataError
from semivox.files import real_path


@dataclass(frozen=True)
class Scans:
    """``cases`` sorted by name; ``faults``: what is wrong with the names of some; ``left_out``: files in the
    folders that are no scan semivox reads, or end otherwise than their data folder declares; ``notes``: DICOM
    series that are no scans, with the reason."""

    cases: tuple[Case, ...]
    faults: Mapping[str, DataError]
    left_out: tuple[Path, ...]
    notes: tuple[DataError, ...] = ()


def find_scans(paths: Sequence[str | Path], naming: Naming | None = None) -> Scans:
    """The cases that ``paths`` mean, by the rule that makes the cases of a cohort.

    A data folder means its cases in use, with or without a label, whatever their role; never ``imagesTs``
    (give that folder itself). Scans that lie in a data folder's folder of images are named as that layout
    names them, others as ``naming`` says: that of the model's training folder.

    Raises
    ------
    DataError
        A path does not exist, holds no scan, or two cases share a name.
    """
    if not paths:
        raise DataError("no scan to predict", expected="files or folders of scans")
    found: dict[str, Case] = {}
    faults: dict[str, DataError] = {}
    left_out: list[Path] = []
    notes: list[DataError] = []
    for path in map(Path, paths):
        scans = _of(path, naming or Naming())
        for scan in scans.cases:
            other = found.setdefault(scan.name, scan)
            if {real_path(p) for p in other.images} != {real_path(p) for p in scan.images}:
                raise _shared(scan.name, scan.images[0], other.images[0])
        faults |= scans.faults
        left_out += scans.left_out
        notes += scans.notes
    return Scans(tuple(found[name] for name in sorted(found)), faults, tuple(left_out), tuple(notes))


def _of(path: Path, naming: Naming) -> Scans:
    if path.is_file() and is_archive(path) and holds_dicom(path):
        return _of_dicom(path)
    if path.is_file() or (path.is_symlink() and not path.is_dir()):
        return _of_file(path, naming)
    if not path.is_dir():
        raise DataError("no such file or folder", path=path, remedy="check the path")
    if is_data_folder(path):
        cases, faults, found = scan_images(path, naming.files_per_case)
        scans = Scans(cases, faults, tuple(found.unused), tuple(found.notes))
    else:
        files = group_files(image_files(path), naming_in(path, naming), loose=True)
        scans = _as_scans(files, [*(p for p in entries(path) if not _belongs(p)), *_folders(path)])
    if not scans.cases:
        raise DataError(
            "no scan found",
            path=path,
            found=f"{sum(1 for _ in path.iterdir())} other entries",
            expected=f"files ending in {', '.join(ENDINGS)}",
            remedy="give the folder that holds the images itself",
        )
    return scans


def find_series(root: Path) -> Scans:
    """The DICOM series of a folder whose names mean nothing: called by the pseudonym of their patient."""
    return _of_dicom(root, named=False)


def _of_dicom(root: Path, named: bool = True) -> Scans:
    """The series of an archive."""
    found = dicom_files(root, named)
    scans = _as_scans(found.cases, [])
    return replace(scans, notes=tuple(found.notes))


def _of_file(path: Path, naming: Naming) -> Scans:
    """The case that a file is of: its folder tells whether a number is a channel's."""
    if not is_scan(path):
        raise DataError(
            "not a scan that semivox reads", path=path, found=path.name, expected=", ".join(ENDINGS)
        )
    beside = [p for p in image_files(path.parent) if ending_of(p) == ending_of(path)]
    files = group_files({path, *beside}, naming_in(path.parent, naming), loose=True)
    return _as_scans([case for case in files if path in case.images], [])


def naming_in(folder: Path, naming: Naming) -> Naming:
    """How names are read in ``folder``. What a case is made of is the model's to say; where it has one file,
    a data folder's layout says what the number in its name means."""
    if naming.files_per_case != 1:
        return naming
    own = naming_of(folder.absolute())
    return naming if own is None else Naming(own.numbered, naming.files_per_case)


def _as_scans(files: Iterable[Files], left_out: Iterable[Path]) -> Scans:
    cases: dict[str, Files] = {}
    for case in files:
        if case.name in cases:
            raise _shared(case.name, case.images[0], cases[case.name].images[-1])
        cases[case.name] = case
    faults = {case.name: case.faults[0] for case in cases.values() if case.faults}
    return Scans(tuple(Case(c.name, c.images) for c in cases.values()), faults, tuple(left_out))


def _shared(name: str, path: Path, other: Path) -> DataError:
    if path.parent == other.parent:
        return DataError(
            f"two scans share the name {name!r}",
            path=path,
            found=f"also {other.name}",
            remedy="move one of them to another folder",
        )
    return DataError(
        f"two scans share the name {name!r}",
        path=path,
        found=f"also {other}",
        remedy="predict them into two folders, or rename one",
    )


def _folders(path: Path) -> list[Path]:
    """Folders inside that hold no DICOM series: nobody looks into them."""
    return [inner for inner in inner_of(path) if inner.is_dir() and not holds_dicom(inner)]


def _belongs(path: Path) -> bool:
    return is_scan(path) or path.name.lower().endswith(BESIDE)
