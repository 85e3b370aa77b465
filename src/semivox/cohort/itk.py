"""NRRD and MetaImage files. Their headers are read here, word by word, and the voxels behind them as plain
numbers: SimpleITK's readers can end the process on a damaged header. It writes the files; its arrays are
(Z, Y, X) and its world is LPS."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from semivox.cohort import metaimage_header, nrrd_header
from semivox.cohort.geometry import Geometry
from semivox.cohort.text_header import STATUS, Head, read_head, told
from semivox.cohort.text_layout import Layout, itk_header
from semivox.cohort.volume import Source, Volume

NOTE = "semivox"
"""The header's key of a note."""


def read(path: Path, label: bool = False) -> Volume:
    """The voxels, channels first; components, or a fourth axis, are the channels."""
    head = _head(path)
    layout = _layout(path, head)
    array = np.ascontiguousarray(layout.channels_first(layout.block.read(path)))
    mm, status, placed = told(head)
    return Volume(array, layout.affine(mm), Source(path, head.kind), status, placed)


def geometry(path: Path, label: bool = False) -> Geometry:
    """Header only."""
    head = _head(path)
    layout = _layout(path, head)
    mm, status, placed = told(head)
    dtype = layout.block.dtype.newbyteorder("=")
    return Geometry(layout.shape, layout.channels, layout.affine(mm), dtype, status, placed)


def read_note(path: Path) -> str:
    """The note in a header, or nothing."""
    return _head(path).fields.get(NOTE, "")


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
    import SimpleITK as sitk  # noqa: N813 - slow to import, and only masks need it

    dims = array.ndim - 1
    flipped = array.transpose(0, *range(dims, 0, -1))
    vector = array.shape[0] > 1
    data = np.moveaxis(flipped, 0, -1) if vector else flipped[0]
    image = sitk.GetImageFromArray(np.ascontiguousarray(data), isVector=vector)
    header = itk_header(affine, dims)
    image.SetOrigin(header["origin"])
    image.SetSpacing(header["spacing"])
    image.SetDirection(header["direction"])
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


def _head(path: Path) -> Head:
    """Of a file that is what its name says."""
    head = read_head(path)
    if (head.kind == "nrrd") != (path.suffix.lower() in (".nrrd", ".nhdr")):
        raise ValueError(f"a file of another format: {head.kind}")
    return head


def _layout(path: Path, head: Head) -> Layout:
    return (nrrd_header if head.kind == "nrrd" else metaimage_header).layout(path, head)
