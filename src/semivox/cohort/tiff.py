"""TIFF files through tifffile. X is the column, Y the row, Z the page of a stack."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from semivox.cohort.decoding_apart import decode_apart
from semivox.cohort.geometry import Geometry
from semivox.cohort.tiff_pages import alpha_samples, whole_series
from semivox.cohort.tiff_spacing import spacing_note, told_spacing
from semivox.cohort.turned import TAG, refuse_turned
from semivox.cohort.volume import Source, Volume
from semivox.errors import DataError

PLAIN_CODECS = (1, 5, 8, 32946, 32773, 50000, 34925)
"""None, LZW, deflate, PackBits, zstd and LZMA are decoded in this process, others (JPEG, JPEG 2000, ...) in
one of their own."""
logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it warns of is judged here
STACK_AXES = "ZIQTR"  # tifffile's letters for a page axis


def read(path: Path, label: bool = False) -> Volume:
    """(C, X, Y), or (C, X, Y, Z) for a stack of pages: the stored numbers; alpha is dropped."""
    with _open(path) as tiff:
        layout = _layout(path, tiff, label)
        if int(layout.series.keyframe.compression) in PLAIN_CODECS:
            array = layout.series.asarray()
        else:
            array = decode_apart(f"{__name__}:stored", path, layout.series.nbytes)
    grid = layout.grid
    array = array.reshape(layout.squeezed).transpose(layout.to_cxyz)
    array = array[list(layout.channels)] if layout.has_channels else array[None]
    array = np.ascontiguousarray(array).astype(grid.dtype, copy=False)
    if array.shape != (grid.channels, *grid.shape):
        raise ValueError(f"voxels of shape {array.shape}, where the header says {grid.shape}")
    return Volume(array, grid.affine, Source(path, "tiff"), grid.spacing_status, placed=False)


def stored(path: Path) -> np.ndarray:
    """The numbers of a file's one series, decoded here and now."""
    with _open(path) as tiff:
        return np.asarray(whole_series(path, tiff, label=False).asarray())


def geometry(path: Path, label: bool = False) -> Geometry:
    """Header only."""
    with _open(path) as tiff:
        return _layout(path, tiff, label).grid


def read_palette(path: Path) -> np.ndarray | None:
    """(n, 3) of uint8, from the header; None where samples are no indices."""
    with _open(path) as tiff:
        page = whole_series(path, tiff, label=True).keyframe
        table = page.colormap if page.photometric == tifffile.PHOTOMETRIC.PALETTE else None
    if table is None:
        return None
    # 16 bits, of which some writers fill the lower 8 alone
    parts = np.asarray(table if table.max(initial=0) < 256 else table >> 8)
    return np.ascontiguousarray(parts.T.astype(np.uint8))


def read_note(path: Path) -> str:
    """The first page's description."""
    with _open(path) as tiff:
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
        ome=False,  # else the name would decide it, and the description be XML
        **resolution,
    )


def _affine(edges: Sequence[float]) -> np.ndarray:
    return np.diag([*edges, *[1.0] * (4 - len(edges))])


@dataclass(frozen=True)
class _Layout:
    """How a series becomes (C, X, Y[, Z]): drop unit axes, transpose, keep ``channels``, all but alpha."""

    series: tifffile.TiffPageSeries
    squeezed: tuple[int, ...]
    to_cxyz: tuple[int, ...]
    has_channels: bool
    channels: tuple[int, ...]
    grid: Geometry


def _open(path: Path) -> tifffile.TiffFile:
    return tifffile.TiffFile(path, _multifile=False)  # a description may name other files: they stay closed


def _layout(path: Path, tiff: tifffile.TiffFile, label: bool) -> _Layout:
    series = whole_series(path, tiff, label)
    refuse_turned(path, int(series.keyframe.tags.valueof(TAG, 1)))
    kept = [(a, s) for a, s in zip(series.axes, series.shape, strict=True) if s > 1 or a in "XY"]
    letters, squeezed = "".join(a for a, _ in kept), tuple(s for _, s in kept)
    stack = [i for i, letter in enumerate(letters) if letter in STACK_AXES]
    channel = [i for i, letter in enumerate(letters) if letter in "CS"]
    once = letters.count("X") == letters.count("Y") == 1
    if not once or len(stack) > 1 or len(channel) > 1 or len(letters) > 2 + len(stack) + len(channel):
        raise DataError(
            "the axes of this TIFF are not understood",
            path=path,
            found=f"axes {series.axes} of {series.shape}",
            expected="rows and columns, at most one stack axis and one channel axis",
            remedy="save it as one image or one stack",
        )
    to_cxyz = (*channel, letters.index("X"), letters.index("Y"), *stack)
    shape = tuple(squeezed[a] for a in to_cxyz[len(channel) :])
    alpha = alpha_samples(series.keyframe) if "S" in letters else ()
    channels = tuple(c for c in range(squeezed[channel[0]]) if c not in alpha) if channel else (0,)
    edges, status = told_spacing(tiff, len(shape))
    dtype = np.dtype(np.uint8 if series.dtype == bool else series.dtype).newbyteorder("=")
    grid = Geometry(shape, len(channels), _affine(edges), dtype, status, placed=False)
    return _Layout(series, squeezed, to_cxyz, bool(channel), channels, grid)
