"""Medical Segmentation Decathlon: ``dataset.json`` with pairs of image and label -> data folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from semivox.cohort.dataset_json import Declared, label_entries, read_dataset_json
from semivox.cohort.formats import ending_of, read_geometry, read_volume, stem_of, write_volume
from semivox.cohort.importers.hdf5 import no_files
from semivox.cohort.importers.lists import choose
from semivox.cohort.new_folder import new_folder, write_tables
from semivox.errors import DataError


def import_msd(src: Path, dst: Path, list_file: Path | None = None) -> Path:
    """A Decathlon folder -> data folder. 3D files are copied byte for byte; a 4D file becomes one file a
    channel with equal values. The ``test`` images stay out. A list's entry is an image's stem.
    """
    src = Path(src)
    if not (src / "dataset.json").is_file():
        raise no_files(src, "dataset.json, imagesTr/, labelsTr/")
    described = _description(src)
    pairs: dict[str, tuple[Path, Path | None]] = {}
    for image_name, label_name in described.files.pairs or ():
        image = _existing(src, image_name)
        if stem_of(image) in pairs:
            raise DataError("an image stands twice", path=src / "dataset.json", found=image_name)
        pairs[stem_of(image)] = (image, _existing(src, label_name) if label_name else None)
    cases = choose(pairs, list_file, src, stem_of)
    channels = described.files.channels
    with new_folder(Path(dst)) as folder:
        for sub in ("imagesTr", "labelsTr"):
            (folder / sub).mkdir()
        for case in cases:
            image, label = pairs[case]
            _write_image(folder / "imagesTr", case, image, len(channels))
            if label is not None:
                shutil.copyfile(label, folder / "labelsTr" / f"{case}{_nifti(label)}")
        dataset = {
            "name": src.name,
            **described.about,
            "channel_names": {str(i): name for i, name in enumerate(channels)},
            **label_entries(described.classes, described.regions, described.ignore),
            "numTraining": sum(pairs[case][1] is not None for case in cases),
            "file_ending": ".nii.gz",
        }
        write_tables(folder, dataset, [{"case": c, "patient": c} for c in cases], ("case", "patient"))
    return Path(dst)


def _description(src: Path) -> Declared:
    described = read_dataset_json(src / "dataset.json")
    if described.files.pairs is None or not described.files.channels:
        lacking = "training" if described.files.channels else "modality"
        raise DataError(
            "not a Decathlon description",
            path=src / "dataset.json",
            found=f"nothing of {lacking!r}",
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
