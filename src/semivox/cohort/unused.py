"""Files in the folders of images and labels that no rule of the layout uses, with the name that each may have
been meant to have."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from semivox.cohort.case import Cohort
from semivox.cohort.formats import ending_of, stem_of
from semivox.cohort.naming import Files, folders_in, label_files, names_in
from semivox.errors import DataError, printable

BEFORE = re.compile(r"^(?:seg|segmentation|mask|label|labels|gt)[_.-]")
MORE = re.compile(r"(?:[_.-](?:\d{4}|seg|segmentation|mask|label|labels|gt))+$")
"""What people add to the name of a case when they name its label."""
VOXELS = (".img", ".img.gz", ".raw", ".zraw", ".raw.gz")
BESIDE = (*VOXELS, ".json", ".csv", ".txt", ".md", ".html", ".yaml", ".yml", ".pdf")
"""Endings of what may lie among scans and is none: descriptions, and the voxels of detached headers."""
LONE, UNREAD = "a label without an image", "a folder of labels that nothing here reads"
"""Faults of labels that lie there, and count for no case."""
LIKE_LABELS = re.compile(r"(?:labels?|masks?|seg(?:mentation)?s?|gt|ground_?truths?)(?:tr)?", re.IGNORECASE)
"""Names that people give to a folder of labels."""
SHOWN = 5
SAME = ({".nii", ".nii.gz"}, {".tif", ".tiff"}, {".jpg", ".jpeg"})
"""Endings of one format: the file's first bytes say how it is packed."""


def unused_in(folders: Sequence[Path], used: Sequence[Path]) -> list[Path]:
    """What lies in ``folders`` and is neither hidden nor of ``used`` nor ``BESIDE`` them, such as a pipe; of
    folders of images and labels also the folders in them."""
    known = set(map(os.path.split, used))
    found = []
    for folder in folders:
        at = os.path.dirname(folder / "name")  # as the parts of ``known`` are written
        names = (name for name in names_in(folder) if (at, name) not in known)
        found += [folder / name for name in names if not name.lower().endswith(BESIDE)]
        if folder.name.startswith(("images", "labels")):
            inner = (folder / name for name in folders_in(folder) if (at, name) not in known)
            found += [path for path in inner if not any(map(_is_in(path), used))]
    return found


def _is_in(folder: Path) -> Callable[[Path], bool]:
    start = os.path.join(folder, "")
    return lambda path: str(path).startswith(start)


def unused_findings(
    unused: Sequence[Path], lone_labels: Sequence[Path], cases: Sequence[Files], ending: str
) -> Iterator[DataError]:
    """A warning for each label without an image, and one for the other unused files of a folder; those that
    another name would give a use are told it."""
    if not unused and not lone_labels:
        return
    wanting = {core_of(case.name): case.name for case in cases if case.label is None}
    for label in lone_labels:
        meant = _meant(label, wanting, ending_of(label) or ending)  # its own is one that the layout reads
        remedy = "add the image" if meant is None else f"rename {label.name} to {meant}"
        yield DataError(LONE, path=label, remedy=remedy)
    folders: dict[Path, list[Path]] = {}
    for path in unused:
        folders.setdefault(path.parent, []).append(path)
    for folder, paths in folders.items():
        names = [printable(path.name) + ("/" if path.is_dir() else "") for path in paths]
        renames = [f"{path.name} to {meant}" for path in paths if (meant := _meant(path, wanting, ending))]
        yield DataError(
            f"{len(names)} file(s) that nothing here uses are left out",
            path=folder,
            found=", ".join(names[:SHOWN]) + (" ..." if len(names) > SHOWN else ""),
            expected=f"names that end in {ending}",
            remedy=f"rename {', '.join(renames[:SHOWN])}"
            if renames
            else "convert them, or take them out of the folder",
        )


def unread_labels(root: Path, read: str | None) -> Iterator[DataError]:
    """A warning for each folder of ``root`` that looks like one of labels and is not ``read``, the one that
    its layout reads (None: there is none). One with a ``dataset.json`` of its own is another thing, such as
    what ``predict`` wrote."""
    if read is None:
        return
    own = root / read
    taken = own.is_dir()
    for name in folders_in(root):
        folder = root / name
        if not LIKE_LABELS.fullmatch(name) or (taken and folder.samefile(own)):
            continue
        files = label_files(folder)
        if files and not (folder / "dataset.json").exists():
            yield DataError(
                UNREAD,
                path=folder,
                found=f"{len(files)} file(s) such as {printable(files[0].name)}",
                expected=f"labels in {read}/",
                remedy=f"move its files into {read}/" if taken else f"rename {name}/ to {read}/",
            )


def labels_left_out(cohort: Cohort) -> list[DataError]:
    """Which of the cohort's warnings tell of labels that lie there and count for no case."""
    return [fault for fault in cohort.left_out if fault.fault in (LONE, UNREAD)]


def core_of(name: str) -> str:
    """A name without what does not tell cases apart."""
    plain = unicodedata.normalize("NFC", name).casefold().strip()
    return MORE.sub("", BEFORE.sub("", plain)).strip()


def _meant(path: Path, wanting: dict[str, str], ending: str) -> str | None:
    """The name that a file of a label's folder had to have to be used; None where there is none, or a file of
    that name is there already."""
    own = ending_of(path)
    if own is None or (own != ending and {own, ending} not in SAME):
        return None
    if "label" not in path.parent.name.lower():  # an image: the same name with the folder's ending
        meant = f"{stem_of(path)}{ending}"
    elif (case := wanting.get(core_of(stem_of(path)))) is not None:
        meant = f"{case}{ending}"
    else:
        return None
    return None if meant == path.name or (path.parent / meant).exists() else meant
