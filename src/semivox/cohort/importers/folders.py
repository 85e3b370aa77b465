"""Two plain folders, ``images/`` and ``labels/`` with equal stems -> data folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from semivox.cohort.dataset_json import label_entries
from semivox.cohort.format_table import DETACHED, ENDINGS
from semivox.cohort.formats import (
    ending_of,
    read_geometry,
    read_label,
    read_planes,
    read_segments,
    stem_of,
)
from semivox.cohort.importers.hdf5 import no_files
from semivox.cohort.importers.lists import choose
from semivox.cohort.layouts import is_label_of
from semivox.cohort.naming import image_files, label_files
from semivox.cohort.new_folder import new_folder, refuse_occupied, write_tables
from semivox.cohort.overlaps import overlap, regions_of_masks
from semivox.cohort.regions import NONE
from semivox.cohort.segments import Segment, named_by_segments
from semivox.errors import DataError
from semivox.files import real_path


def import_folders(src: Path, dst: Path, list_file: Path | None = None) -> Path:
    """``SRC/images/CASE.EXT`` and ``SRC/labels/CASE.EXT`` -> data folder; files are copied byte for byte.

    An image without a label is an unlabelled case. The classes are the values found in the labels, with the
    names of Slicer's segments, else ``class_V``; segments that overlap become regions. All images have one
    ending and one number of channels; labels have an ending that a data folder of such images reads
    (:func:`semivox.cohort.layouts.is_label_of`). A list's entry is a stem.
    """
    src = Path(src)
    images, labels = files_by_stem(image_files(src / "images")), files_by_stem(label_files(src / "labels"))
    if not images:
        raise no_files(src, "images/ and labels/ with files of equal stems")
    cases = choose(images, list_file, src, stem_of)
    if list_file is None and (lost := sorted(set(labels) - set(images))):
        raise DataError(
            "a label without an image",
            path=labels[lost[0]],
            found=f"{len(lost)} such labels",
            expected="an image of the same stem in images/",
            remedy="rename one of the two, or take the label away",
        )
    labels = {case: labels[case] for case in cases if case in labels}
    ending = one_ending([images[case] for case in cases])
    _refuse_other_labels(labels, ending)
    refuse_occupied(Path(dst))
    channels = channel_names([images[case] for case in cases])
    meaning = _meaning(labels)
    with new_folder(Path(dst)) as folder:
        for sub in ("imagesTr", "labelsTr"):
            (folder / sub).mkdir()
        for case in cases:
            shutil.copyfile(images[case], folder / "imagesTr" / f"{case}_0000{ending}")
        for case, path in labels.items():
            shutil.copyfile(path, folder / "labelsTr" / f"{case}{ending_of(path)}")
        dataset: dict[str, Any] = {
            "name": real_path(src).name,
            "channel_names": {str(i): name for i, name in enumerate(channels)},
            **meaning,
            "numTraining": len(labels),
            "file_ending": ending,
        }
        if any(read_geometry(images[case]).spacing_status != "known" for case in cases):
            dataset["spacing_known"] = False
        write_tables(folder, dataset, [{"case": c, "patient": c} for c in cases], ("case", "patient"))
    return Path(dst)


def _meaning(labels: Mapping[str, Path]) -> dict[str, Any]:
    """What ``dataset.json`` says of these label files."""
    if any(_overlap(path) for path in labels.values()):
        if unnamed := [path for path in labels.values() if not read_segments(path)]:
            raise DataError(
                "segments overlap, and another label does not name its segments",
                path=unnamed[0],
                expected="segmentations of the same names, such as .seg.nrrd",
                remedy="save it with segments, or leave the case out with --list",
            )
        return label_entries({}, regions_of_masks(map(_planes, labels.values())))
    values = {int(v) for path in labels.values() for v in np.unique(read_label(path).array)} - {0}
    named = named_by_segments((path, read_segments(path)) for path in labels.values())
    classes = {v: named.get(v, Segment(v, f"class_{v}")).name for v in sorted(values | set(named))}
    return label_entries(classes, NONE)


def _overlap(path: Path) -> bool:
    return bool(read_segments(path)) and overlap(_planes(path))


def _planes(path: Path) -> dict[str, np.ndarray]:
    segments, planes = read_planes(path)
    return {segment.name: plane for segment, plane in zip(segments, planes.array, strict=True)}


def files_by_stem(paths: Iterable[Path]) -> dict[str, Path]:
    """Stem -> file."""
    found: dict[str, Path] = {}
    for path in paths:
        if stem_of(path) in found:
            raise DataError(
                f"two files for the case {stem_of(path)}",
                path=path.parent,
                found=f"{found[stem_of(path)].name} and {path.name}",
                remedy="keep one of them",
            )
        found[stem_of(path)] = path
    return found


def _refuse_other_labels(labels: Mapping[str, Path], ending: str) -> None:
    """Raise DataError for labels that would not be read beside images of this ``ending``."""
    for path in labels.values():
        if ending_of(path) in DETACHED:
            raise _several(path.parent, "headers with detached voxels", path.name)
        if not is_label_of(path, ending):
            raise DataError(
                "the label has another ending than the images",
                path=path,
                found=ending_of(path),
                expected=f"{ending}, as the images, or a format of labels alone such as .seg.nrrd",
                remedy=f"convert the labels to {ending}",
            )


def one_ending(paths: list[Path]) -> str:
    """That of all these images. Raises DataError where there are several, and for headers of other files."""
    endings = sorted({ending_of(path) or "" for path in paths})
    if len(endings) > 1 or endings[0] in DETACHED:
        fault = "the files have several endings" if len(endings) > 1 else "headers with detached voxels"
        raise _several(paths[0].parent.parent, fault, ", ".join(endings))
    return endings[0]


def _several(path: Path, fault: str, found: str) -> DataError:
    return DataError(
        fault,
        path=path,
        found=found,
        expected="one ending for all images, each case one file",
        remedy="convert them to one format, such as .nii.gz or .png",
    )


def channel_names(paths: list[Path]) -> tuple[str, ...]:
    counts = {path: read_geometry(path).channels for path in paths}
    first = counts[paths[0]]
    for path, count in counts.items():
        if count != first:
            raise DataError(
                "the images differ in their channels",
                path=path,
                found=count,
                expected=f"{first}, as in {paths[0].name}",
                remedy="convert them alike, or leave the case out with --list",
            )
    if ENDINGS[one_ending(paths)].colours and first == 3:
        return ("R", "G", "B")
    return tuple("image" if first == 1 else f"channel_{i}" for i in range(first))
