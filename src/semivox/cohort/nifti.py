"""NIfTI files, also pairs of ``.hdr`` and ``.img``, through nibabel; the header is kept to be given back."""

from __future__ import annotations

import io
import logging
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import nibabel as nib
import numpy as np
from nibabel.volumeutils import apply_read_scaling

from semivox.cohort.claims import check_memory
from semivox.cohort.geometry import Geometry, broken
from semivox.cohort.inflating import HEADER, Inflating
from semivox.cohort.units import mm_per_unit
from semivox.cohort.volume import Source, SpacingStatus, Volume
from semivox.cohort.voxel_block import Block
from semivox.errors import DataError

UNHEARD = logging.Logger("semivox.nifti")  # outside the tree of loggers
UNHEARD.addHandler(logging.NullHandler())


def read(path: Path, label: bool = False) -> Volume:
    """The voxels with scaling applied, channels first; a 4D file's last axis is its channels."""
    pair = path.suffix.lower() == ".hdr"
    voxels = _voxels_of(path) if pair else path
    with voxels.open("rb") as file:
        packed = _is_gzip(file)
        told = _read_header(path) if pair else _told(path, Inflating(file, ahead=HEADER) if packed else file)
        header = told.header
        shape, offset = header.get_data_shape(), int(header.get_data_offset())
        if packed:
            block = Block((voxels,), header.get_data_dtype(), shape, "deflate", skip=offset)
        else:
            block = Block((voxels,), header.get_data_dtype(), shape, "raw", start=offset)
        array = block.read(path, file)
    if not _unscaled(header):
        check_memory(path, 8 * array.size)
        array = apply_read_scaling(array, *header.get_slope_inter()).astype(np.float32, copy=False)
    if told.grid.spacing_status == "unknown":
        header.set_xyzt_units("unknown")  # a mask tells no more than its scan
    grid = told.grid
    source = Source(path, "nifti", {"nifti": header})
    return Volume(_channels_first(path, array), grid.affine, source, grid.spacing_status, grid.placed)


def geometry(path: Path, label: bool = False) -> Geometry:
    """Header only."""
    return _read_header(path).grid


def read_note(path: Path) -> str:
    """The header's free text, ``descrip``."""
    return bytes(_read_header(path).header["descrip"].item()).decode("latin-1")


def affines_of(header: Any) -> dict[str, np.ndarray]:
    """Name -> (4, 4) in mm: "sform" and "qform", those that are filled in; "header" where neither is."""
    found = {}
    if int(header["sform_code"]) != 0:
        found["sform"] = header.get_sform()
    if int(header["qform_code"]) != 0:
        found["qform"] = header.get_qform()
    found = found or {"header": header.get_best_affine()}
    return {name: _in_mm(header, affine) for name, affine in found.items()}


def second_affine(header: Any) -> np.ndarray | None:
    """The qform where the sform is filled in, and read, too; None elsewhere."""
    if int(header["sform_code"]) == 0 or int(header["qform_code"]) == 0:
        return None
    return _in_mm(header, header.get_qform())


def affines_of_file(path: Path) -> dict[str, np.ndarray]:
    """:func:`affines_of` a file's header."""
    return affines_of(_read_header(path).header)


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


class _Told(NamedTuple):
    header: Any
    grid: Geometry


def _voxels_of(header: Path) -> Path:
    """The second file of a pair."""
    endings = (".img", ".img.gz", ".IMG")
    beside = [header.with_suffix(ending) for ending in endings]
    found = next((path for path in beside if path.is_file()), None)
    if found is None:
        raise DataError(
            "a header without its voxels",
            path=header,
            expected=f"{beside[0].name} or {beside[1].name} beside it",
            remedy="copy both files",
        )
    return found


def _is_gzip(file: BinaryIO) -> bool:
    """By the first bytes: names are wrong at times."""
    start = file.read(2)
    file.seek(0)
    return start == b"\x1f\x8b"


def _read_header(path: Path) -> _Told:
    with path.open("rb") as file:
        if _is_gzip(file):
            return _told(path, Inflating(file, ahead=HEADER))
        return _told(path, file)


def _told(path: Path, stream: Any) -> _Told:
    """What the header at the start of a stream says."""
    start = stream.read(540)
    second = 540 in (int.from_bytes(start[:4], "little"), int.from_bytes(start[:4], "big"))
    header_class = nib.Nifti2Header if second else nib.Nifti1Header
    start = start[: header_class.template_dtype.itemsize]
    header = header_class.from_fileobj(io.BytesIO(start), check=False)
    edges = np.array(header["pixdim"][1:4], dtype=np.float64)
    _check_magic(path, bytes(header["magic"].item()))
    header.check_fix(UNHEARD)  # what nibabel mends in a header is judged below
    first = 0 if path.suffix.lower() == ".hdr" else header_class.single_vox_offset
    if header.get_data_offset() < first:  # nibabel takes 0, and the header for voxels
        raise ValueError(f"voxels at byte {header.get_data_offset()} of a header of {first} bytes")
    _check_scalar(path, header)
    shape, channels = _split_shape(path, header.get_data_shape())
    stored = np.dtype(header.get_data_dtype()).newbyteorder("=")
    dtype = stored if _unscaled(header) else np.dtype(np.float32)
    placed = int(header["sform_code"]) != 0 or int(header["qform_code"]) != 0
    status = _spacing_status(header)
    if int(header["sform_code"]) == 0:  # then the lengths count that stand in pixdim; nibabel makes 1 of 0
        lengths = edges[: len(shape)]
        if not placed and not lengths.any():
            status = "unknown"
        elif not (np.isfinite(lengths).all() and lengths.all()):
            raise broken(path, f"voxel edges {', '.join(f'{v:g}' for v in lengths)} in pixdim")
    return _Told(header, Geometry(shape, channels, _affine_mm_of(header), dtype, status, placed))


def _check_magic(path: Path, magic: bytes) -> None:
    """Raise DataError for a pair by another name, and for Analyze."""
    pair, header = magic.startswith(b"ni"), path.suffix.lower() == ".hdr"
    if pair and not header:
        raise DataError(
            "a header whose voxels lie in a second file",
            path=path,
            found="a NIfTI of two files (.hdr, .img)",
            expected="the ending .hdr, and .img beside it",
            remedy="convert it to .nii.gz",
        )
    if header and not pair:
        raise DataError(
            "a header that does not tell which way the axes run",
            path=path,
            found="Analyze 7.5, or another format whose headers end in .hdr",
            expected="a NIfTI pair, which says so in its header",
            remedy="convert it to .nii.gz with the program that wrote it: others mirror it front to back",
        )


def _unscaled(header: Any) -> bool:
    slope, inter = header.get_slope_inter()
    return slope in (None, 1) and inter in (None, 0)


def _affine_mm_of(header: Any) -> np.ndarray:
    """Voxel index to mm. A header that tells nothing has nibabel's radiological axes, a picture's its own,
    as in PNG and TIFF, from which such a file was made."""
    flat = header.get_data_shape()[2:3] in ((), (1,))
    if flat and _spacing_status(header) == "unknown":
        return np.eye(4)
    return _in_mm(header, header.get_best_affine())


def _in_mm(header: Any, affine: np.ndarray) -> np.ndarray:
    """An affine in the header's unit as one in mm; "unknown" is taken as mm."""
    made = np.array(affine, dtype=np.float64)
    made[:3] *= mm_per_unit(header.get_xyzt_units()[0]) or 1.0
    return made


def _spacing_status(header: Any) -> SpacingStatus:
    """Unknown where nothing of it was filled in: no unit, no affine, and every voxel edge 1."""
    told = header.get_xyzt_units()[0] != "unknown" or int(header["sform_code"]) or int(header["qform_code"])
    return "known" if told or any(edge != 1 for edge in header.get_zooms()[:3]) else "unknown"


def _check_scalar(path: Path, header: Any) -> None:
    dtype = header.get_data_dtype()
    if dtype.fields is not None or dtype.kind not in "iuf":
        raise DataError(
            "voxels are not plain numbers",
            path=path,
            found=dtype,
            expected="integers or floats",
            remedy="store colour or complex parts as further channels",
        )


def _split_shape(path: Path, shape: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    while len(shape) > 4 and shape[-1] == 1:
        shape = shape[:-1]
    if min(shape, default=1) < 1:
        raise ValueError(f"axes of lengths {shape}")
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
