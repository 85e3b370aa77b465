"""Which files of a data folder belong to which case, for each of the three layouts. Only names are read."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from semivox.cohort.formats import ending_of, stem_of
from semivox.errors import DataError

CHANNEL = re.compile(r"(.+)_(\d{4})")


@dataclass
class Files:
    """One case's files as found; ``faults`` is what is wrong with their names."""

    name: str
    images: tuple[Path, ...]
    label: Path | None = None
    faults: list[DataError] = field(default_factory=list)


@dataclass
class Found:
    """All cases of a folder in sorted order, label files that no image goes with, and the files' ending."""

    cases: list[Files]
    lone_labels: list[Path]
    file_ending: str


def nnunet_files(root: Path, ending: str | None, channels: int) -> Found:
    """``imagesTr/CASE_0000.ext`` with ``labelsTr/CASE.ext``, and ``imagesUn``. ``channels`` 0: unknown."""
    images = _listing(root / "imagesTr")
    if not (root / "imagesTr").is_dir():
        raise DataError(
            "no folder of images", path=root, found=_names(root), expected="imagesTr/ beside dataset.json",
            remedy="put the scans in imagesTr/ as CASE_0000.nii.gz",
        )  # fmt: skip
    ending = ending or _common_ending(images)
    further = _listing(root / "imagesUn")
    labels = {stem_of(p): p for p in _with_ending(_listing(root / "labelsTr"), ending)}
    training = _grouped(_with_ending(images, ending), channels)
    if not training and images:
        raise DataError(
            "no image has the declared file ending", path=root / "imagesTr", found=images[0].name,
            expected=f"names like CASE_0000{ending}", remedy="correct file_ending in dataset.json",
        )  # fmt: skip
    for case in training:
        case.label = labels.pop(case.name, None)
    unlabeled = _grouped(_with_ending(further, ending), channels)
    cases = _same_count(_without_duplicates([*training, *unlabeled]))
    return Found(cases, sorted(labels.values()), ending)


def pair_files(root: Path, pairs: Sequence[tuple[str, str | None]], channels: int) -> Found:
    """MSD's list of (image, label) paths, and ``imagesUn``. Old nnU-Net lists CASE and stores CASE_0000."""
    cases = []
    for image_name, label_name in pairs:
        image = root / image_name
        name = stem_of(image)
        images: tuple[Path, ...] = (image,)
        if not image.is_file():
            numbered = (
                image.with_name(f"{name}_{i:04d}{ending_of(image) or ''}") for i in range(max(channels, 1))
            )
            images = tuple(p for p in numbered if p.is_file())
        case = Files(name, images, root / label_name if label_name else None)
        if not images:
            case.faults.append(_missing(name, image, "dataset.json lists it under 'training'"))
        if case.label is not None and not case.label.is_file():
            case.faults.append(_missing(name, case.label, "dataset.json lists it under 'training'"))
        cases.append(case)
    ending = ending_of(pairs[0][0]) or ".nii.gz"
    further = _grouped(_with_ending(_listing(root / "imagesUn"), ending), channels)
    cases = _same_count(_without_duplicates(sorted(cases, key=lambda c: c.name) + further))
    used = {case.label for case in cases}
    lone = [p for p in _with_ending(_listing(root / "labelsTr"), ending) if p not in used]
    return Found(cases, lone, ending)


def plain_files(root: Path) -> Found:
    """``images/STEM.ext`` with ``labels/STEM.ext`` (the endings may differ), and ``imagesUn``."""
    images = [*_listing(root / "images"), *_listing(root / "imagesUn")]
    cases = _without_duplicates([Files(stem_of(p), (p,)) for p in images])
    labels: dict[str, list[Path]] = defaultdict(list)
    for path in _listing(root / "labels"):
        labels[stem_of(path)].append(path)
    for case in cases:
        own = labels.pop(case.name, [])
        case.label = own[0] if own else None
        if len(own) > 1:
            case.faults.append(_twice(case.name, own))
    return Found(cases, [p for paths in labels.values() for p in paths], _common_ending(images))


def _grouped(paths: list[Path], channels: int) -> list[Files]:
    """Files CASE_0000, CASE_0001, ... as cases; names without a channel number are one file a case."""
    groups: dict[str, dict[int, Path]] = defaultdict(dict)
    cases = []
    for path in paths:
        match = CHANNEL.fullmatch(stem_of(path))
        if match is None:
            cases.append(Files(stem_of(path), (path,)))
        else:
            groups[match[1]][int(match[2])] = path
    for name, files in groups.items():
        case = Files(name, tuple(files[i] for i in sorted(files)))
        # a single file may hold all channels (RGB picture, 4D NIfTI)
        expected = list(range(channels)) if channels and len(files) > 1 else list(range(max(files) + 1))
        if sorted(files) != expected:
            case.faults.append(
                DataError(
                    f"case {name!r} has other channel files than declared",
                    path=case.images[0].parent,
                    found=", ".join(p.name for p in case.images[:6]) + (" ..." if len(files) > 6 else ""),
                    expected=", ".join(f"{name}_{i:04d}{ending_of(case.images[0])}" for i in expected[:6]),
                    remedy="add the missing files, or name single images CASE_0000",
                )
            )
        cases.append(case)
    return sorted(cases, key=lambda c: c.name)


def _same_count(cases: list[Files]) -> list[Files]:
    """Marks cases with one file where others have several: all channels in one file is all or nobody."""
    most = max((len(case.images) for case in cases if not case.faults), default=1)
    for case in cases:
        if case.images and len(case.images) < most and not case.faults:
            case.faults.append(
                DataError(
                    f"case {case.name!r} lacks channel files",
                    path=case.images[0],
                    found=f"{len(case.images)} file",
                    expected=f"{most} files, as other cases have",
                    remedy="add the missing channels or leave the case out (use=no in cases.csv)",
                )
            )
    return cases


def _without_duplicates(cases: list[Files]) -> list[Files]:
    first: dict[str, Files] = {}
    for case in cases:
        if case.name in first:
            first[case.name].faults.append(_twice(case.name, [*first[case.name].images, *case.images]))
        else:
            first[case.name] = case
    return list(first.values())


def _twice(name: str, paths: Sequence[Path]) -> DataError:
    return DataError(
        f"duplicate name: two files are case {name!r}",
        path=paths[0],
        found=", ".join("/".join(p.parts[-2:]) for p in paths),
        expected="one file a case",
        remedy="rename or remove one",
    )


def _missing(name: str, path: Path, why: str) -> DataError:
    return DataError(
        f"case {name!r}: no such file", path=path, expected=why, remedy="add the file or the entry"
    )


def _listing(folder: Path) -> list[Path]:
    """Readable files in sorted order; hidden ones (macOS leaves ``._name`` copies) are not ours."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = [
            e.name for e in entries if not e.name.startswith(".") and ending_of(e.name) and not e.is_dir()
        ]
    return [folder / name for name in sorted(names)]


def _with_ending(paths: list[Path], ending: str) -> list[Path]:
    return [p for p in paths if ending_of(p) == ending.lower()]


def _common_ending(paths: Sequence[Path]) -> str:
    endings = [ending_of(p) or "" for p in paths]
    return max(sorted(set(endings)), key=endings.count, default=".nii.gz")


def _names(root: Path) -> str:
    names = sorted(os.listdir(root))
    return ", ".join(names[:8]) or "an empty folder"
