"""What the HDF5 layouts share: reading ``image`` and ``label`` of a file, and writing the data folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from semivox.cohort.formats import write_mask, write_volume
from semivox.cohort.new_folder import new_folder, refuse_occupied, write_tables
from semivox.cohort.volume import Volume
from semivox.errors import DataError

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Hdf5Layout:
    """What a layout's files mean: their classes and the size of a voxel, which HDF5 does not carry."""

    name: str
    channel: str
    classes: Mapping[str, int]
    spacing_mm: tuple[float, float, float]
    spacing_known: bool
    note: str


def read_pair(path: Path, classes: Mapping[str, int], ndim: int) -> Pair:
    """``image`` (float32) and ``label`` (uint8) of one file, both of ``ndim`` axes and one shape.

    Raises
    ------
    DataError
        The file is truncated or no HDF5, lacks a dataset, the shapes differ, or the label holds fractions
        or values outside ``classes``.
    """
    try:
        with h5py.File(path, "r") as file:
            found = sorted(file.keys())
            for name in ("image", "label"):
                if not isinstance(file.get(name), h5py.Dataset) or file[name].dtype.kind not in "iufb":
                    raise DataError(
                        f"no dataset of numbers named {name!r}",
                        path=path,
                        found=f"{', '.join(found) or 'nothing'}",
                        expected="datasets 'image' and 'label'",
                        remedy="check that LAYOUT is the layout of these files",
                    )
            image, label = np.asarray(file["image"][()]), np.asarray(file["label"][()])
    except (OSError, RuntimeError, KeyError) as error:  # h5py raises any of these on damaged bytes
        raise DataError(
            "unreadable or truncated file",
            path=path,
            found=f"{error} ({path.stat().st_size if path.is_file() else 'no'} bytes)",
            expected="a whole HDF5 file",
            remedy="copy it again, or leave the case out with --list",
        ) from error
    if image.ndim != ndim or image.shape != label.shape or image.size == 0:
        raise DataError(
            "image and label do not fit",
            path=path,
            found=f"image {image.shape}, label {label.shape}",
            expected=f"one shape with {ndim} axes",
            remedy="leave the case out with --list",
        )
    return image.astype(np.float32), _label_values(path, label, classes)


def write_hdf5_cohort(
    destination: Path,
    layout: Hdf5Layout,
    cases: Sequence[str],
    read: Callable[[str], Pair],
    patient_of: Callable[[str], str] = lambda case: case,
) -> Path:
    """Write the data folder, case by case; ``read(case)`` gives its image and label ``(X, Y, Z)``."""
    refuse_occupied(destination)
    affine = np.diag([*layout.spacing_mm, 1.0])
    with new_folder(destination) as folder:
        for case in cases:
            image, label = read(case)
            grid = Volume(image[None], affine)
            write_volume(folder / "imagesTr" / f"{case}_0000.nii.gz", grid.array, grid)
            write_mask(folder / "labelsTr" / f"{case}.nii.gz", label, grid)
        dataset: dict[str, Any] = {
            "name": layout.name,
            "channel_names": {"0": layout.channel},
            "labels": {"background": 0, **layout.classes},
            "numTraining": len(cases),
            "file_ending": ".nii.gz",
            "note": layout.note,
        }
        if not layout.spacing_known:
            dataset["spacing_known"] = False
        rows = [{"case": case, "patient": patient_of(case)} for case in cases]
        write_tables(folder, dataset, rows, ("case", "patient"))
    return Path(destination)


def _label_values(path: Path, label: np.ndarray, classes: Mapping[str, int]) -> np.ndarray:
    values = np.unique(label)
    if not np.isin(values, [0, *classes.values()]).all():
        fractions = not np.isfinite(values).all() or (values != np.rint(values)).any()
        shown = ", ".join(f"{value:g}" for value in values[:8]) + (" ..." if len(values) > 8 else "")
        names = ", ".join(f"{value} ({name})" for name, value in {"background": 0, **classes}.items())
        raise DataError(
            "the label's values are not whole numbers" if fractions else "a label value without a name",
            path=path,
            found=shown,
            expected=names,
            remedy="export the label without interpolation"
            if fractions
            else "check that LAYOUT is the layout of these files, or leave the case out with --list",
        )
    return label.astype(np.uint8)


def no_files(source: Path, expected: str) -> DataError:
    """The error of a source folder in which a layout finds nothing."""
    inside = sorted(p.name for p in source.iterdir())[:6] if source.is_dir() else []
    return DataError(
        "nothing of this layout is here" if source.is_dir() else "no such folder",
        path=source,
        found=", ".join(inside) or None,
        expected=expected,
        remedy="give the folder that holds these files, or another LAYOUT",
    )
