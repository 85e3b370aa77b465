"""Medical Segmentation Decathlon: ``dataset.json`` with pairs of image and label -> data folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from semivox.cohort.formats import ending_of, read_geometry, read_volume, stem_of, write_volume
from semivox.cohort.importers.hdf5 import no_files
from semivox.cohort.importers.lists import choose
from semivox.cohort.new_folder import new_folder, write_tables
from semivox.errors import DataError
from semivox.files import load_json
from semivox.numerals import whole_number


def import_msd(src: Path, dst: Path, list_file: Path | None = None) -> Path:
    """A Decathlon folder -> data folder. 3D files are copied byte for byte; a 4D file becomes one file a
    channel with equal values. The ``test`` images stay out. A list's entry is an image's stem.
    """
    src = Path(src)
    if not (src / "dataset.json").is_file():
        raise no_files(src, "dataset.json, imagesTr/, labelsTr/")
    described = _description(src)
    pairs: dict[str, tuple[Path, Path | None]] = {}
    for pair in described["training"]:
        image = _existing(src, pair["image"])
        label = _existing(src, pair["label"]) if pair.get("label") else None
        if stem_of(image) in pairs:
            raise DataError("an image stands twice", path=src / "dataset.json", found=pair["image"])
        pairs[stem_of(image)] = (image, label)
    cases = choose(pairs, list_file, src, stem_of)
    modality = described["modality"] if "modality" in described else described["channel_names"]
    channels = [str(name) for _, name in sorted(modality.items(), key=lambda item: int(item[0]))]
    with new_folder(Path(dst)) as folder:
        for sub in ("imagesTr", "labelsTr"):
            (folder / sub).mkdir()
        for case in cases:
            image, label = pairs[case]
            _write_image(folder / "imagesTr", case, image, len(channels))
            if label is not None:
                shutil.copyfile(label, folder / "labelsTr" / f"{case}{_nifti(label)}")
        dataset = {
            "name": str(described.get("name", src.name)),
            "channel_names": {str(i): name for i, name in enumerate(channels)},
            "labels": {name: int(value) for value, name in described["labels"].items()},
            "numTraining": sum(pairs[case][1] is not None for case in cases),
            "file_ending": ".nii.gz",
            **{key: described[key] for key in ("licence", "reference") if key in described},
        }
        write_tables(folder, dataset, [{"case": c, "patient": c} for c in cases], ("case", "patient"))
    return Path(dst)


def _description(src: Path) -> Mapping[str, Any]:
    path = src / "dataset.json"
    try:
        described = load_json(path)
    except (OSError, ValueError) as error:
        raise DataError("cannot be read as JSON", path=path, found=error, remedy="copy it again") from error
    understood = (
        isinstance(described, dict)
        and isinstance(modality := described.get("modality", described.get("channel_names")), dict)
        and all(whole_number(key) is not None for key in modality)
        and isinstance(described.get("labels"), dict)
        and all(whole_number(key) is not None for key in described["labels"])
        and isinstance(described.get("training"), list)
        and described["training"]
        and all(isinstance(p, dict) and isinstance(p.get("image"), str) for p in described["training"])
    )
    if not understood:
        raise DataError(
            "not a Decathlon description",
            path=path,
            found=", ".join(described) if isinstance(described, dict) else type(described).__name__,
            expected='"modality" {"0": ...}, "labels" {"0": "background", ...}, '
            '"training" [{"image": ..., "label": ...}]',
            remedy="check that LAYOUT is the layout of this folder",
        )
    return described


def _existing(src: Path, name: str) -> Path:
    path = src / name
    if not path.is_file():
        raise DataError(
            "dataset.json names a file that is not there",
            path=src / "dataset.json",
            found=name,
            remedy="copy the file, or take it out of dataset.json",
        )
    _nifti(path)
    return path


def _nifti(path: Path) -> str:
    if ending_of(path) != ".nii.gz":
        raise DataError("a Decathlon file is .nii.gz", path=path, found=path.name, expected=".nii.gz")
    return ".nii.gz"


def _write_image(folder: Path, case: str, image: Path, channels: int) -> None:
    found = read_geometry(image).channels
    if found != channels:
        raise DataError(
            "the number of channels is not that of dataset.json",
            path=image,
            found=found,
            expected=channels,
            remedy='correct "modality" in dataset.json, or leave the case out with --list',
        )
    if channels == 1:
        shutil.copyfile(image, folder / f"{case}_0000.nii.gz")
        return
    volume = read_volume(image)
    for i in range(channels):
        write_volume(folder / f"{case}_{i:04d}.nii.gz", volume.array[i : i + 1], volume)
