"""Reading and writing scans, labels and maps of every format; a broken file is always a DataError."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from semivox.cohort.case import Case
from semivox.cohort.dicom.places import SERIES, root_of, stamp_of
from semivox.cohort.first_bytes import format_by_content
from semivox.cohort.format_table import BY_NAME, DETACHED, ENDINGS, Format, ending_in
from semivox.cohort.geometry import Geometry, Positioned, broken, broken_geometry, padded_onto, same_shape
from semivox.cohort.grid_mismatch import grid_error
from semivox.cohort.mask_names import ending_for, with_ending
from semivox.cohort.regions import NONE, Regions
from semivox.cohort.segments import Segment, folded, refuse_other_values, unnamed_segments
from semivox.cohort.volume import Source, Volume
from semivox.errors import DataError
from semivox.files import replacing

HIGHEST = 2**53
"""Label values above it are no longer exact in a float."""

T = TypeVar("T")


def ending_of(path: str | Path) -> str | None:
    """The ending of a name that we can read (``.nii.gz`` is one), or None; upper case is accepted."""
    return ending_in(_as_path(path).name)


def _as_path(path: str | Path) -> Path:
    """The same path where it is one: to make one anew is slow where there are thousands."""
    return path if isinstance(path, Path) else Path(path)


def stem_of(path: str | Path) -> str:
    """The name without a readable ending."""
    name = _as_path(path).name
    return name[: len(name) - len(ending_of(name) or "")]


def read_volume(path: str | Path) -> Volume:
    """Read an image: ``(C, X, Y[, Z])`` in the file's own axes, with its RAS+ affine in mm.

    A 4D NIfTI's last axis is its channels. In 2D, X is the column and Y the row. Where a file does not tell
    its spacing, ``spacing_status`` says so and the affine's lengths are no millimetres.

    Raises
    ------
    DataError
        The file is missing, truncated, of another kind than its ending says, or not understood.
    """
    return _read(_as_path(path), label=False)


def read_geometry(path: str | Path, label: bool = False) -> Geometry:
    """Shape, channels, affine and dtype from the header alone; ``label`` reads a palette PNG as indices."""
    path = _as_path(path)
    codec = _format_of(path).codec
    grid = _reading(path, lambda p: codec.geometry(p, label))
    _refuse_broken(path, grid)
    return grid


def read_note(path: str | Path) -> str:
    """The free text of a file's header, where predictions are marked; "" where there is none."""
    path = _as_path(path)
    return _reading(path, _format_of(path).codec.read_note)


def read_case(case: Case) -> Volume:
    """All channels of a case, stacked in the order of its files.

    Raises
    ------
    DataError
        As :func:`read_volume`, or two channel files lie on different grids.
    """
    volumes = [read_volume(path) for path in case.images]
    first = volumes[0]
    for path, volume in zip(case.images[1:], volumes[1:], strict=True):
        error = grid_error("channel files lie on different grids", path, volume, case.images[0], first)
        if error is not None:
            raise error
    if len(volumes) == 1:
        return first
    return replace(first, array=np.concatenate([_shaped(v, first.shape).array for v in volumes]))


def read_segments(path: str | Path) -> tuple[Segment, ...]:
    """The names that a label's own header gives to its values; none in formats that keep no names."""
    path = _as_path(path)
    codec = _format_of(path).label_codec
    return () if codec is None else _reading(path, codec.read_segments)


def read_palette(path: str | Path) -> np.ndarray | None:
    """The colours of a label whose samples are indices of a palette, (n, 3) of uint8; None elsewhere."""
    path = _as_path(path)
    codec = _format_of(path).palette_codec
    return None if codec is None else _reading(path, codec.read_palette)


def is_there(path: str | Path) -> bool:
    """Whether a file, or the folder or archive of a DICOM series, exists."""
    root = root_of(_as_path(path))
    return root.is_file() or (root.is_dir() and _format_of(_as_path(path)).name == "dicom")


def size_of(path: str | Path) -> int:
    """Bytes of a file, or of all that lies where a DICOM series does."""
    return sum(size for _, size, _ in stamp_of(root_of(_as_path(path))))


def is_dicom(path: str | Path) -> bool:
    """Whether a path means a DICOM series: by its name, or since it is a folder."""
    return _is_series(_as_path(path)) or ending_of(path) in BY_NAME["dicom"].endings


def scan_ending(path: str | Path) -> str | None:
    """The ending of a scan's file; None of DICOM, where a folder's name may look as if it had one."""
    return None if is_dicom(path) else ending_of(path)


def _is_series(path: Path) -> bool:
    """Whether a path means a DICOM series and is no single file."""
    return path.name.startswith(SERIES) or path.is_dir()


def is_scan(path: str | Path) -> bool:
    """Whether the name's ending is that of a format for scans: not for labels alone."""
    ending = ending_of(path)
    return ending is not None and not ENDINGS[ending].names


def read_label(
    path: str | Path,
    like: Positioned | None = None,
    classes: Mapping[int, str] | None = None,
    regions: Regions = NONE,
) -> Volume:
    """A label: one channel, integer dtype. Whole numbers stored as floats are accepted.

    ``like``: the grid of its image. A label that differs from its shape by trailing axes of length 1 alone is
    given it, and a segmentation that holds a part of the grid alone is background elsewhere.
    ``classes``: what its values must mean where the file itself names them. ``regions``: segments that are
    called so are taken for them, whatever their values; they may overlap.

    Raises
    ------
    DataError
        As :func:`read_volume`, or several channels, values that are not whole numbers, or names that
        contradict ``classes``.
    """
    path = _as_path(path)
    named = read_segments(path) if classes is not None or regions else ()
    if classes is not None:
        refuse_other_values(path, named, classes)
    volume = _regions_by_name(path, regions) if are_regions(named, regions) else _read(path, label=True)
    array = volume.array
    if volume.channels != 1:
        raise DataError(
            "a label has one channel",
            path=path,
            found=f"{volume.channels} channels",
            expected="one label value a voxel",
            remedy="store label values, not colours or one-hot planes",
        )
    if array.dtype.kind == "f":
        whole = np.rint(array)
        if not np.isfinite(array).all() or np.abs(array - whole).max(initial=0) > 1e-3:
            bad = array[~(np.abs(array - whole) <= 1e-3)]  # NaN and infinity too
            raise DataError(
                "a label's values are whole numbers",
                path=path,
                found=f"{bad.size} voxels such as {bad.flat[0]:g}",
                expected="integers, or floats without a fraction",
                remedy="save the label without interpolation",
            )
        low, high = (int(whole.min(initial=0)), int(whole.max(initial=0)))
        if max(-low, high) > HIGHEST:
            raise DataError(
                "a label value is too large",
                path=path,
                found=f"{high if high > HIGHEST else low:.3g}",
                expected=f"values up to {HIGHEST}",
                remedy="save the label with whole numbers 0, 1, 2, ...",
            )
        array = whole.astype(smallest_integer(low, high))
    volume = replace(volume, array=array)
    if like is None:
        return volume
    if ENDINGS[ending_of(path) or ""].names:
        volume = padded_onto(volume, like)
    return _shaped(volume, like.shape)


def read_planes(path: str | Path) -> tuple[Sequence[Segment], Volume]:
    """The segments of a label that names them, and where each lies in a boolean channel of its own."""
    path = _as_path(path)
    codec = _format_of(path).label_codec
    assert codec is not None
    segments, planes = _reading(path, codec.read_planes)
    _refuse_broken(path, planes)
    return segments, planes


def are_regions(segments: Sequence[Segment], regions: Regions) -> bool:
    """Whether a file's segments are drawn regions: all of them are called as regions are."""
    known = {folded(name) for name in regions.names.values()}
    return bool(segments) and all(folded(segment.name) in known for segment in segments)


def _regions_by_name(path: Path, regions: Regions) -> Volume:
    segments, planes = read_planes(path)
    nowhere = np.zeros(planes.shape, bool)
    drawn = {folded(s.name): plane for s, plane in zip(segments, planes.array, strict=True)}
    present = [drawn.get(folded(region.name), nowhere) for region in regions.each]
    return replace(planes, array=regions.label_map(present)[None])


def _shaped(volume: Volume, shape: Sequence[int]) -> Volume:
    if not same_shape(volume.shape, shape):
        return volume
    array = volume.array.reshape(volume.channels, *shape)
    # a 2D file may know nothing of the third axis
    return replace(volume, array=array, placed=volume.placed and volume.dims == array.ndim - 1)


def write_mask(
    path: str | Path,
    mask: np.ndarray,
    like: Volume,
    format: str = "same",
    note: str = "",
    segments: Sequence[Segment] | None = None,
) -> Path:
    """Write label values ``(X, Y[, Z])`` on the grid of ``like``; returns the path written.

    ``path`` is a name that somebody chose; that of a case, whose dots are its own, comes from
    :func:`semivox.cohort.mask_names.mask_name`. ``format`` is one of ``WRITABLE``: "same" keeps an ending
    that ``path`` has, else takes that of ``like``'s file (a detached ``.mhd`` becomes ``.mha``). Other
    formats put theirs in its place. The integer type is the smallest that holds the values.
    ``note``: a short text for the file's header. ``segments``: names of the values, for formats that keep
    them (None: the values that are there, without names of their own). The file appears whole or not at all.
    """
    return _write(_as_path(path), _stored(mask), like, format, note, segments)


def mask_place(path: str | Path, mask: np.ndarray, like: Volume, format: str = "same") -> Path:
    """The file that :func:`write_mask` would write: of another name than ``path`` where the format is none
    that holds this mask."""
    return _place(_as_path(path), _stored(mask), like.source, format)


def _stored(mask: np.ndarray) -> np.ndarray:
    """A mask (X, Y[, Z]) as it is written: one channel, the smallest type."""
    mask = np.asarray(mask)
    if mask.dtype.kind not in "iub":
        raise ValueError(f"a mask holds integers, not {mask.dtype}")
    low, high = (int(mask.min(initial=0)), int(mask.max(initial=0)))
    return mask.astype(smallest_integer(low, high), copy=False)[None]


def write_volume(path: str | Path, array: np.ndarray, like: Volume, format: str = "same") -> Path:
    """Write a map ``(C, X, Y[, Z])`` on the grid of ``like``; as :func:`write_mask`, but floats become a TIFF
    where "same" means PNG. Half precision is widened to float32."""
    array = np.asarray(array)
    if array.dtype == np.float16:
        array = array.astype(np.float32)
    if array.dtype.kind in "ib":
        array = array.astype(smallest_integer(int(array.min(initial=0)), int(array.max(initial=0))))
    return _write(_as_path(path), array, like, format)


def smallest_integer(low: int, high: int) -> np.dtype:
    """uint8, uint16, int16, int32 or int64: the first that holds ``low`` .. ``high``."""
    for dtype in (np.uint8, np.uint16, np.int16, np.int32, np.int64):
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    raise ValueError(f"no integer type holds {low} .. {high}")


def _write(
    path: Path,
    array: np.ndarray,
    like: Volume,
    format: str,
    note: str = "",
    segments: Sequence[Segment] | None = None,
) -> Path:
    if tuple(array.shape[1:]) != like.shape:
        raise ValueError(f"the array has shape {array.shape[1:]}, the scan {like.shape}")
    target = _place(path, array, like.source, format)
    row = _format_of(target)
    codec = row.label_codec
    with replacing(target) as temporary:
        if codec is None:
            row.codec.write(temporary, array, like, note)
        else:
            named = unnamed_segments(np.unique(array).tolist()) if segments is None else segments
            codec.write_segments(temporary, array, like, named, note)
    return target


def _place(path: Path, array: np.ndarray, source: Source, format: str) -> Path:
    """``path`` with the ending of ``format``, or that of the scan's file, or of a format that holds ``array``
    where that does not."""
    ending, asked = ending_of(path), ending_for(format)
    wanted = ending or (scan_ending(source.path) if source.path is not None else None) or ".nii.gz"
    if asked is not None or wanted in DETACHED:
        path = path.with_name(stem_of(path) + (asked or DETACHED[wanted]))
    elif not ending:
        path = path.with_name(path.name + wanted)
    row = _format_of(path)
    while row.instead is not None and not row.codec.holds(array):
        row = BY_NAME[row.instead]
        path = path.with_name(with_ending(stem_of(path), row.endings[0]))
    return path


def _read(path: Path, label: bool) -> Volume:
    codec = _format_of(path).codec
    volume = _reading(path, lambda p: codec.read(p, label))
    _refuse_broken(path, volume)
    return volume


def _refuse_broken(path: Path, grid: Positioned) -> None:
    what = broken_geometry(grid.affine, len(grid.shape))
    if what is not None:
        raise broken(path, what)


def _format_of(path: Path) -> Format:
    if _is_series(path):
        return BY_NAME["dicom"]
    ending = ending_of(path)
    if ending is None:
        raise DataError(
            "not a format that semivox reads",
            path=path,
            found=path.name,
            expected=", ".join(ENDINGS),
            remedy="convert it to one of these",
        )
    return ENDINGS[ending]


def _reading(path: Path, reader: Callable[[Path], T]) -> T:
    if not is_there(path):
        raise DataError("no such file", path=path, remedy="check the name, or leave the case out")
    try:
        return reader(path)
    except DataError:
        raise
    except Exception as error:  # decoders raise nearly anything on broken bytes
        if _is_series(path):
            raise _unreadable(path, error) from error
        real = format_by_content(path)
        own = ENDINGS[ending_of(path) or ""].endings
        if real is not None and real not in own and not path.name.lower().endswith(real):
            raise DataError(
                "the name's ending does not fit the content",
                path=path,
                found=f"the first bytes of a {real} file",
                expected=f"a {ending_of(path)} file",
                remedy=f"rename it to {stem_of(path)}{real}" if real in ENDINGS else "convert it",
            ) from error
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    size = f"{size_of(path)} bytes"
    if isinstance(error, MemoryError):
        return DataError(
            "the memory is not enough to read this file",
            path=path,
            found=f"{size}; {error}",
            remedy="free memory, or cut the scan; if it is small, its header is damaged",
        )
    said = " ".join(str(error).split()).replace(str(path), path.name)[:200]
    return DataError(
        "unreadable or truncated file",
        path=path,
        found=f"{type(error).__name__}: {said} ({size})",
        expected=f"a whole {ending_of(path) or 'series'} file",
        remedy="copy or export the file again, or leave the case out (use=no in cases.csv)",
    )
