"""TIFF files through tifffile. X is the column, Y the row, Z the page of a stack."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageSequence

from semivox.cohort.geometry import Geometry
from semivox.cohort.png import pixels
from semivox.cohort.tiff_spacing import spacing_note, told_spacing
from semivox.cohort.volume import Source, Volume
from semivox.errors import DataError

STACK_AXES = "ZIQTR"  # tifffile's letters for a page axis


def read(path: Path, label: bool = False) -> Volume:
    """(C, X, Y), or (C, X, Y, Z) for a stack of pages; alpha is dropped."""
    try:
        with tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            axes, array = series.axes, series.asarray()
            order = _tiff_order(path, axes, array.shape)
            edges, status = told_spacing(tiff, order.dims)
    except ValueError as error:
        if "imagecodecs" not in str(error):
            raise
        # Pillow brings its own LZW and JPEG decoders
        with Image.open(path) as picture:
            pages = [pixels(page, label=True) for page in ImageSequence.Iterator(picture)]
        array = pages[0] if len(pages) == 1 else np.stack(pages)
        axes = ("I" if len(pages) > 1 else "") + "YX" + ("S" if pages[0].ndim == 3 else "")
        order = _tiff_order(path, axes, array.shape)
        with tifffile.TiffFile(path) as tiff:
            edges, status = told_spacing(tiff, order.dims)
    array = array.reshape(order.squeezed).transpose(order.to_cxyz)
    if order.has_channels:
        array = _without_alpha(array, axes)
    else:
        array = array[None]
    return Volume(np.ascontiguousarray(array), _affine(edges), Source(path, "tiff"), status)


def geometry(path: Path, label: bool = False) -> Geometry:
    """Header only."""
    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        order = _tiff_order(path, series.axes, series.shape)
        shape = tuple(order.squeezed[a] for a in order.to_cxyz)
        edges, status = told_spacing(tiff, order.dims)
        affine = _affine(edges)
        if not order.has_channels:
            return Geometry(shape, 1, affine, np.dtype(series.dtype), status)
        channels = 3 if shape[0] == 4 and "S" in series.axes else shape[0]
        return Geometry(shape[1:], channels, affine, np.dtype(series.dtype), status)


def read_note(path: Path) -> str:
    """The first page's description."""
    with tifffile.TiffFile(path) as tiff:
        return str(tiff.pages[0].description)


def holds(array: np.ndarray) -> bool:
    """Anything."""
    return True


def write(path: Path, array: np.ndarray, like: Volume, note: str = "") -> None:
    """Write (C, X, Y[, Z]) with deflate compression; several channels become an axis C before Y. A ``note``
    becomes the description. Spacing is kept, place and direction are not."""
    spacing, resolution = spacing_note(like)
    axes = "CXYZ"[: array.ndim]
    stored = "ZCYX" if array.ndim == 4 else "CYX"
    data = array.transpose([axes.index(letter) for letter in stored])
    if array.shape[0] == 1:
        data = data.squeeze(stored.index("C"))
        stored = stored.replace("C", "")
    tifffile.imwrite(
        path,
        np.ascontiguousarray(data),
        photometric="minisblack",
        compression="zlib",
        metadata={"axes": stored, **spacing},
        description=note or None,
        **resolution,
    )


def _affine(edges: Sequence[float]) -> np.ndarray:
    return np.diag([*edges, *[1.0] * (4 - len(edges))])


class _Order:
    """How a TIFF series' axes become (C, X, Y[, Z]): drop unit axes, then transpose."""

    def __init__(self, letters: str, shape: tuple[int, ...]) -> None:
        self.squeezed = shape
        self.has_channels = any(letter in "CS" for letter in letters)
        channel = [i for i, letter in enumerate(letters) if letter in "CS"]
        stack = [i for i, letter in enumerate(letters) if letter in STACK_AXES]
        self.dims = 2 + len(stack)
        self.to_cxyz = (*channel, letters.index("X"), letters.index("Y"), *stack)


def _tiff_order(path: Path, axes: str, shape: tuple[int, ...]) -> _Order:
    kept = [(a, s) for a, s in zip(axes, shape, strict=True) if s > 1 or a in "XY"]
    letters = "".join(a for a, _ in kept)
    order_ok = letters.count("X") == letters.count("Y") == 1
    stack = sum(letters.count(a) for a in STACK_AXES)
    if (
        not order_ok
        or stack > 1
        or letters.count("C") + letters.count("S") > 1
        or len(letters) > 2 + stack + 1
    ):
        raise DataError(
            "the axes of this TIFF are not understood",
            path=path,
            found=f"axes {axes} of {shape}",
            expected="rows and columns, at most one stack axis and one channel axis",
            remedy="save it as one image or one stack",
        )
    return _Order(letters, tuple(s for _, s in kept))


def _without_alpha(array: np.ndarray, axes: str) -> np.ndarray:
    return array[:3] if array.shape[0] == 4 and "S" in axes else array
