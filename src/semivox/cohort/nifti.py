"""NIfTI files: ``.nii`` and ``.nii.gz`` through nibabel; the header is kept to be given back."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from semivox.cohort.geometry import Geometry
from semivox.cohort.units import mm_per_unit
from semivox.cohort.volume import Source, SpacingStatus, Volume
from semivox.errors import DataError


def read(path: Path, label: bool = False) -> Volume:
    """The voxels with scaling applied, channels first; a 4D file's last axis is its channels."""
    if path.name.lower().endswith(".gz"):
        # inflated in one go: nibabel stops at the last voxel and would never see a wrong checksum
        image = _image_class(data := gzip.decompress(path.read_bytes())).from_bytes(data)
    else:
        image = nib.load(path, mmap=False)
    _check_scalar(path, image)
    array = np.asarray(image.dataobj, dtype=None if _unscaled(image) else np.float32)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    header = {"nifti": image.header.copy()}
    source = Source(path, "nifti", header)
    return Volume(_channels_first(path, array), _affine_mm(image), source, _spacing_status(image.header))


def geometry(path: Path, label: bool = False) -> Geometry:
    """Header only."""
    image = nib.load(path)
    _check_scalar(path, image)
    shape, channels = _split_shape(path, image.shape)
    stored = np.dtype(image.get_data_dtype()).newbyteorder("=")
    dtype = stored if _unscaled(image) else np.dtype(np.float32)
    return Geometry(shape, channels, _affine_mm(image), dtype, _spacing_status(image.header))


def read_note(path: Path) -> str:
    """The header's free text, ``descrip``."""
    return bytes(nib.load(path).header["descrip"].item()).decode("latin-1")


def holds(array: np.ndarray) -> bool:
    """Anything."""
    return True


def write(path: Path, array: np.ndarray, like: Volume, note: str = "") -> None:
    """Write ``(C, X, Y[, Z])``; the grid fields of ``like``'s header are kept bit for bit if it has one. A
    ``note`` of at most 79 characters becomes the header's free text."""
    data = array[0] if array.shape[0] == 1 else _channels_last(array)
    kept: Any = like.source.header.get("nifti")
    if kept is not None and np.array_equal(_affine_mm_of(kept), like.affine):
        header = kept.copy()
        # what follows describes the image, not its grid; extensions may even name the patient
        header.extensions.clear()
        header["cal_min"] = header["cal_max"] = 0
        header["intent_code"] = 0
        header["intent_name"] = b""
        header.set_data_dtype(data.dtype)
        header.set_data_shape(data.shape)
        image_class = nib.Nifti2Image if int(header["sizeof_hdr"]) == 540 else nib.Nifti1Image
        image = image_class(data, None, header)
    elif like.spacing_status != "known":
        image = nib.Nifti1Image(data, None, dtype=data.dtype)  # edges of 1, and neither affine nor unit
    else:
        image = nib.Nifti1Image(data, like.affine, dtype=data.dtype)
        image.header.set_xyzt_units("mm")
        image.set_sform(like.affine, code=1)
        axes = like.affine[:3, :3] / np.linalg.norm(like.affine[:3, :3], axis=0)
        image.set_qform(like.affine, code=int(np.allclose(axes.T @ axes, np.eye(3), atol=1e-6)))
    if note:
        image.header["descrip"] = note.encode("ascii")
    nib.save(image, path)


def _unscaled(image: Any) -> bool:
    return bool(image.dataobj.slope == 1 and image.dataobj.inter == 0)


def _image_class(data: bytes) -> Any:
    is_second = 540 in (int.from_bytes(data[:4], "little"), int.from_bytes(data[:4], "big"))
    return nib.Nifti2Image if is_second else nib.Nifti1Image


def _affine_mm(image: Any) -> np.ndarray:
    return _affine_mm_of(image.header)


def _affine_mm_of(header: Any) -> np.ndarray:
    affine = np.array(header.get_best_affine(), dtype=np.float64)
    affine[:3] *= mm_per_unit(header.get_xyzt_units()[0]) or 1.0  # "unknown" is taken as mm
    return affine


def _spacing_status(header: Any) -> SpacingStatus:
    """Unknown where nothing of it was filled in: no unit, no affine, and every voxel edge 1."""
    told = header.get_xyzt_units()[0] != "unknown" or int(header["sform_code"]) or int(header["qform_code"])
    return "known" if told or any(edge != 1 for edge in header.get_zooms()[:3]) else "unknown"


def _check_scalar(path: Path, image: Any) -> None:
    if not isinstance(image, nib.Nifti1Pair):
        raise DataError("not a NIfTI file", path=path, found=type(image).__name__, expected="NIfTI-1 or -2")
    dtype = image.get_data_dtype()
    if dtype.fields is not None or dtype.kind not in "iuf":
        raise DataError(
            "voxels are not plain numbers",
            path=path,
            found=dtype,
            expected="integers or floats",
            remedy="store colour or complex parts as further channels",
        )


def _split_shape(path: Path, shape: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    if len(shape) == 5 and shape[3] == 1:  # NIfTI's place for vectors
        return tuple(shape[:3]), int(shape[4])
    if len(shape) in (2, 3, 4):
        return tuple(shape[:3]), int(shape[3]) if len(shape) == 4 else 1
    raise DataError("wrong number of axes", path=path, found=f"shape {shape}", expected="2, 3 or 4 axes")


def _channels_first(path: Path, array: np.ndarray) -> np.ndarray:
    shape, channels = _split_shape(path, array.shape)
    if array.ndim <= 3:
        return array[None]
    return np.moveaxis(array.reshape(*shape, channels), -1, 0)


def _channels_last(array: np.ndarray) -> np.ndarray:
    data = np.moveaxis(array, 0, -1)
    return data if array.ndim == 4 else data[:, :, None, :]  # 2D: channels stay NIfTI's fourth axis
