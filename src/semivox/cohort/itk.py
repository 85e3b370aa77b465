"""NRRD and MetaImage files through SimpleITK, whose arrays are (Z, Y, X) and whose world is LPS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813

from semivox.cohort.geometry import Geometry
from semivox.cohort.text_header import STATUS, told
from semivox.cohort.volume import Source, Volume
from semivox.errors import DataError

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
NOTE = "semivox"
"""The header's key of a note."""
FORMATS = {".nrrd": "nrrd", ".nhdr": "nrrd", ".mha": "mha", ".mhd": "mha"}


def read(path: Path, label: bool = False) -> Volume:
    """The voxels, channels first; a vector image's components, or a fourth axis, are its channels."""
    image = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(image)
    vector = image.GetNumberOfComponentsPerPixel() > 1
    components = np.moveaxis(array, -1, 0) if vector else array[None]  # (C, [T, ][Z, ]Y, X)
    if image.GetDimension() == 4:
        components = _time_as_channels(path, components)
    array = components.transpose(0, *range(components.ndim - 1, 0, -1))
    mm, status, placed = told(path)
    header = _header(image, mm)
    source = Source(path, FORMATS.get(path.suffix.lower(), "nrrd"), header)
    return Volume(np.ascontiguousarray(array), _affine(**header), source, status, placed)


def geometry(path: Path, label: bool = False) -> Geometry:
    """Header only."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    size, channels = reader.GetSize(), reader.GetNumberOfComponents()
    if len(size) == 4:
        size, channels = size[:3], channels * size[3]
    mm, status, placed = told(path)
    affine = _affine(**_header(reader, mm))
    pixel = sitk.Image([1] * 2, reader.GetPixelID(), reader.GetNumberOfComponents())
    return Geometry(tuple(size), channels, affine, sitk.GetArrayViewFromImage(pixel).dtype, status, placed)


def read_note(path: Path) -> str:
    """The note in a header, or nothing."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    return str(reader.GetMetaData(NOTE)) if reader.HasMetaDataKey(NOTE) else ""


def holds(array: np.ndarray) -> bool:
    """Anything."""
    return True


def write(
    path: Path, array: np.ndarray, like: Volume, note: str = "", keys: Mapping[str, str] | None = None
) -> None:
    """Write ``(C, X, Y[, Z])`` compressed; several channels become a vector image. A ``note`` gets a key in
    the header, beside further ``keys``. A 2D image of another plane than x and y becomes a volume of one
    slice, to keep its place."""
    affine = like.affine
    if array.ndim == 3 and not _is_xy(affine):
        array, affine = array[..., None], _with_normal(affine)
    dims = array.ndim - 1
    flipped = array.transpose(0, *range(dims, 0, -1))
    vector = array.shape[0] > 1
    data = np.moveaxis(flipped, 0, -1) if vector else flipped[0]
    image = sitk.GetImageFromArray(np.ascontiguousarray(data), isVector=vector)
    header = like.source.header
    if (
        "direction" in header
        and len(header["spacing"]) == dims
        and np.array_equal(_affine(header["origin"], header["spacing"], header["direction"]), affine)
    ):
        origin, spacing, direction = header["origin"], header["spacing"], header["direction"]
    else:
        lps = LPS_TO_RAS @ affine
        spacing = np.linalg.norm(lps[:3, :dims], axis=0)
        direction = (lps[:dims, :dims] / spacing).ravel()
        origin = lps[:dims, 3]
    image.SetOrigin([float(v) for v in origin])
    image.SetSpacing([float(v) for v in spacing])
    image.SetDirection([float(v) for v in direction])
    for key, text in {**(keys or {}), **({NOTE: note} if note else {})}.items():
        image.SetMetaData(key, text)
    if like.spacing_status != "known":
        image.SetMetaData(STATUS, like.spacing_status)
    sitk.WriteImage(image, str(path), useCompression=True)


def _is_xy(affine: np.ndarray) -> bool:
    """Whether the plane can be told by x and y alone, as a 2D file does."""
    if affine[2, 3]:
        return False
    axes = affine[:3, :2] / np.linalg.norm(affine[:3, :2], axis=0)
    return bool(np.abs(axes[2]).max() < 1e-3 and abs(np.linalg.det(axes[:2])) > 1e-6)


def _with_normal(affine: np.ndarray) -> np.ndarray:
    """With a third axis at a right angle to the first two; as long as the affine's own, or 1."""
    made = affine.copy()
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    length = float(np.linalg.norm(affine[:3, 2]))
    made[:3, 2] = normal / np.linalg.norm(normal) * (length if 0 < length < np.inf else 1.0)
    if made[:3, 2] @ affine[:3, 2] < 0:
        made[:3, 2] *= -1
    return made


def _header(image: Any, mm: float) -> dict[str, Any]:
    """Place, spacing and direction of an image, or of a reader that has read a header, in mm."""
    origin, spacing = ([v * mm for v in values] for values in (image.GetOrigin(), image.GetSpacing()))
    return {"origin": origin, "spacing": spacing, "direction": image.GetDirection()}


def _affine(origin: Any, spacing: Any, direction: Any) -> np.ndarray:
    dims = len(spacing)
    kept = min(dims, 3)
    lps = np.eye(4)
    lps[:kept, :kept] = (np.reshape(direction, (dims, dims)) * np.asarray(spacing))[:kept, :kept]
    lps[:kept, 3] = origin[:kept]
    return np.asarray(LPS_TO_RAS @ lps)


def _time_as_channels(path: Path, components: np.ndarray) -> np.ndarray:
    if components.shape[0] > 1:
        raise DataError(
            "has both a fourth axis and several components",
            path=path,
            found=f"{components.shape[1]} frames of {components.shape[0]} components",
            expected="one of them as channels",
            remedy="write each channel as its own file",
        )
    return components[0]
