"""``images/`` and, a folder a case, masks that may overlap, ``labels/CASE/STRUCTURE.EXT`` -> data folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from semivox.cohort.dataset_json import label_entries
from semivox.cohort.formats import read_geometry, read_label, read_volume, stem_of, write_mask
from semivox.cohort.grid_mismatch import grid_error
from semivox.cohort.importers.folders import channel_names, files_by_stem, one_ending
from semivox.cohort.importers.hdf5 import no_files
from semivox.cohort.importers.lists import choose
from semivox.cohort.mask_names import mask_name
from semivox.cohort.naming import image_files, label_files
from semivox.cohort.new_folder import new_folder, refuse_occupied, write_tables
from semivox.cohort.overlaps import regions_of_masks
from semivox.errors import DataError
from semivox.files import real_path

Structures = Mapping[str, Path]


def import_masks(src: Path, dst: Path, list_file: Path | None = None) -> Path:
    """``SRC/images/CASE.EXT`` and ``SRC/labels/CASE/STRUCTURE.EXT`` -> data folder.

    Of each labelled case every structure has a mask, which is empty where it is not there; other numbers than
    0 mean inside. The masks of a case become one label file. Structures that overlap become regions, a label
    value a combination that occurs; of one that no mask shows ``note`` in ``dataset.json`` tells. Images are
    copied byte for byte; a list's entry is a stem.
    """
    src = Path(src)
    images = files_by_stem(image_files(src / "images"))
    if not images:
        raise no_files(src, "images/CASE.EXT and labels/CASE/STRUCTURE.EXT")
    cases = choose(images, list_file, src, stem_of)
    drawn = _drawn(src, images, cases)
    ending = one_ending([images[case] for case in cases])
    refuse_occupied(Path(dst))
    regions = regions_of_masks(_masks_of(images[case], masks) for case, masks in drawn.items())
    if not regions:
        raise DataError("no mask shows anything", path=src / "labels", found=f"{len(drawn)} labelled cases")
    with new_folder(Path(dst)) as folder:
        for sub in ("imagesTr", "labelsTr"):
            (folder / sub).mkdir()
        for case in cases:
            shutil.copyfile(images[case], folder / "imagesTr" / f"{case}_0000{ending}")
        for case, masks in drawn.items():
            found = _masks_of(images[case], masks)
            nowhere = np.zeros_like(next(iter(found.values())))
            label = regions.label_map([found.get(region.name, nowhere) for region in regions.each])
            write_mask(folder / "labelsTr" / mask_name(case, ending), label, read_volume(images[case]))
        channels = channel_names([images[case] for case in cases])
        dataset: dict[str, Any] = {
            "name": real_path(src).name,
            "channel_names": {str(i): name for i, name in enumerate(channels)},
            **label_entries({}, regions),
            "numTraining": len(drawn),
            "file_ending": ending,
        }
        if any(read_geometry(images[case]).spacing_status != "known" for case in cases):
            dataset["spacing_known"] = False
        shown = regions.names.values()
        if absent := sorted({name for masks in drawn.values() for name in masks} - set(shown)):
            dataset["note"] = f"no mask shows anything of {', '.join(absent)}: they are no classes here"
        write_tables(folder, dataset, [{"case": c, "patient": c} for c in cases], ("case", "patient"))
    return Path(dst)


def _drawn(src: Path, images: Mapping[str, Path], cases: list[str]) -> dict[str, Structures]:
    """Case -> structure -> file, of the cases that have masks, all of them of the same structures."""
    folders = {path.name: path for path in sorted((src / "labels").glob("*")) if path.is_dir()}
    if lost := sorted(set(folders) - set(images)):
        raise DataError(
            "masks without an image",
            path=folders[lost[0]],
            found=f"{len(lost)} such folders",
            expected="an image of the same stem in images/",
            remedy="rename one of the two, or take the folder away",
        )
    found: dict[str, Structures] = {
        case: files_by_stem(label_files(folders[case])) for case in cases if case in folders
    }
    names = sorted({name for own in found.values() for name in own})
    if not names:
        raise no_files(src, "images/CASE.EXT and labels/CASE/STRUCTURE.EXT")
    for case, own in found.items():
        if lacking := [name for name in names if name not in own]:
            raise DataError(
                "a labelled case lacks the mask of a structure",
                path=folders[case],
                found=f"no {', '.join(lacking[:5])}",
                expected=", ".join(names),
                remedy="give an empty mask where it is not there, or leave the case out with --list",
            )
    return found


def _masks_of(image: Path, masks: Structures) -> dict[str, np.ndarray]:
    """Structure -> where it lies, (X, Y[, Z]) boolean, on the image's grid."""
    grid = read_geometry(image)
    return {name: _mask(path, grid, image) for name, path in masks.items()}


def _mask(path: Path, grid: Any, image: Path) -> np.ndarray:
    mask = read_label(path, grid)
    error = grid_error("mask and image lie on different grids", path, mask, image, grid)
    if error is not None:
        raise error
    values = np.unique(mask.array)
    if np.count_nonzero(values) > 1:
        raise DataError(
            "a mask of one structure has one value beside 0",
            path=path,
            found=f"values {', '.join(map(str, values[values != 0][:5]))}",
            expected="0 and another number",
            remedy="import label files of several values with the layout 'folders'",
        )
    inside: np.ndarray = mask.array[0] != 0
    return inside
