"""What the directories of a TIFF promise, and whether the file keeps it, before anything is decoded.

A decoder reads what is there. It takes a stack that was cut after its third page for three pages, fills what
is missing with zeros, and turns colours it has no name for into numbers. Here such files are refused.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any, Literal

import tifffile

from semivox.cohort.claims import DEFLATE, JPEG, check_memory, check_stored
from semivox.errors import DataError

MOST_PAGES = 1 << 20
PLAIN = (0, 1, 2, 3, 4, 5, 34892)  # white or black as 0, RGB, palette, mask, separations, linear raw
"""Photometric interpretations whose samples are the stored numbers; a palette's are its indices."""
YCBCR = 6
JPEGS = (6, 7, 33007)
"""Compressions whose decoder turns YCbCr into red, green and blue."""
RATIO = {1: 1, 5: 2560, 8: DEFLATE, 32946: DEFLATE, 32773: 64, **dict.fromkeys(JPEGS, JPEG)}
"""How many bytes a stored byte can stand for at most, with none, LZW, deflate, PackBits and JPEG."""
RATIO_OF_OTHERS = 1 << 17
LOSSY = {
    **dict.fromkeys(JPEGS, "JPEG"), 34892: "JPEG", 22610: "JPEG XR", 34934: "JPEG XR", 33003: "JPEG 2000",
    33004: "JPEG 2000", 33005: "JPEG 2000", 34712: "JPEG 2000", 34887: "LERC", 34927: "WebP", 50001: "WebP",
    50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
"""Compressions that may change numbers."""


def whole_series(path: Path, tiff: tifffile.TiffFile, label: bool) -> tifffile.TiffPageSeries:
    """The one series of an open file, all of whose pages lie in the file and are stored as plain numbers.

    Raises
    ------
    ValueError
        The file was cut.
    DataError
        It holds several pictures, or is stored in a way of which no numbers can be told.
    """
    _check_chain(tiff)
    series = [one for one in tiff.series if not (one.keyframe.is_reduced or one.keyframe.is_mask)]
    if len(series) != 1:
        raise DataError(
            "a TIFF of several pictures",
            path=path,
            found=f"{len(series)} of shapes {', '.join(str(one.shape) for one in series[:4])}",
            expected="one picture, or one stack of equal pages",
            remedy="save each as a file of its own",
        )
    _check_described(path, tiff, series[0])
    _check_stored(path, series[0].keyframe, label)
    _check_claims(path, tiff, series[0])
    _check_data(tiff, series[0])
    return series[0]


def alpha_samples(page: tifffile.TiffPage) -> tuple[int, ...]:
    """Which samples of a pixel are alpha (ExtraSamples 1, 2); one of unspecified meaning is a channel."""
    extra = tuple(int(kind) for kind in page.extrasamples)
    first = page.samplesperpixel - len(extra)
    return tuple(first + i for i, kind in enumerate(extra) if kind in (1, 2))


def _check_chain(tiff: tifffile.TiffFile) -> None:
    """Each directory names the place of the next; the last one names 0."""
    form, file = tiff.tiff, tiff.filehandle
    order: Literal["little", "big"] = "little" if form.byteorder == "<" else "big"
    seen: set[int] = set()
    file.seek(8 if form.is_bigtiff else 4)
    place = int.from_bytes(file.read(form.offsetsize), order)
    while place:
        if place in seen or len(seen) == MOST_PAGES:
            raise ValueError(f"the directories of its pages run in a circle at byte {place}")
        seen.add(place)
        file.seek(place)
        entries = int.from_bytes(file.read(form.tagnosize), order)
        file.seek(place + form.tagnosize + entries * form.tagsize)
        following = file.read(form.offsetsize)
        if len(following) < form.offsetsize:
            raise ValueError(f"the directory of page {len(seen)} lies beyond the end of the file")
        place = int.from_bytes(following, order)
    if not seen:
        raise ValueError("no page")


def _check_data(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """Every strip and tile lies in the file."""
    size = tiff.filehandle.size
    if series.dataoffset is not None:  # one block, of which the first page's directory tells only a part
        if series.dataoffset + series.nbytes > size:
            raise ValueError(f"{size - series.dataoffset} of {series.nbytes} bytes of its voxels")
        return
    for number, page in enumerate(series, 1):
        if page is None:
            raise ValueError(f"page {number} of {len(series)} is missing")
        for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
            if not offset or not count or offset + count > size:
                raise ValueError(f"a part of page {number} of {len(series)} is missing")


def _check_claims(path: Path, tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """The file can hold its numbers, and the memory them and a piece of a page, as large as it is stored."""
    page = series.keyframe
    piece = math.prod(page.chunks) * page.dtype.itemsize
    bits = min(page.bitspersample, 8 * page.dtype.itemsize)
    ratio = RATIO.get(int(page.compression), RATIO_OF_OTHERS)
    check_stored(series.size * bits // 8, tiff.filehandle.size, ratio)
    check_memory(path, max(series.nbytes, piece))


def _check_described(path: Path, tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> None:
    """An OME description that could not be followed may tell of planes in other files."""
    if not tiff.is_ome or series.kind == "ome":
        return
    try:
        root = ElementTree.fromstring(tiff.ome_metadata or "")
        pixels = next(e for e in root.iter() if e.tag.rpartition("}")[2] == "Pixels")
        told = 1
        for letter in "XYZCT":
            told *= int(pixels.get(f"Size{letter}", "1"))
    except (ElementTree.ParseError, StopIteration, ValueError):
        return
    if told != series.size:
        raise DataError(
            "a part of an image: its OME description tells of more than the file holds",
            path=path,
            found=f"{series.size} numbers",
            expected=f"{told}",
            remedy="save the whole image as one file",
        )


def _check_stored(path: Path, page: tifffile.TiffPage, label: bool) -> None:
    compression, colours = int(page.compression), int(page.photometric)
    try:
        tifffile.TIFF.DECOMPRESSORS[compression]
    except KeyError:
        raise _not_read(path, "compression", _named(tifffile.COMPRESSION, compression)) from None
    if label and compression in LOSSY:
        raise DataError(
            "a label is stored with a compression that may change its values",
            path=path,
            found=f"compression {LOSSY[compression]}",
            expected="LZW, deflate, zstd, PackBits or none",
            remedy="export the label again from its source without loss",
        )
    if colours not in PLAIN and not (colours == YCBCR and compression in JPEGS):
        raise _not_read(path, "photometric interpretation", _named(tifffile.PHOTOMETRIC, colours))
    for name in ("BitsPerSample", "SampleFormat"):
        tag = page.tags.get(name)
        if tag is not None and isinstance(tag.value, tuple) and len(set(tag.value)) > 1:
            raise _not_read(path, name, tag.value)
    if page.dtype is None or page.dtype.kind not in "biuf":
        raise _not_read(path, "type of number", f"{page.sampleformat}, {page.bitspersample} bits")


def _named(names: Any, code: int) -> str:
    try:
        return f"{code} ({names(code).name})"
    except ValueError:
        return str(code)


def _not_read(path: Path, what: str, found: object) -> DataError:
    return DataError(
        f"a TIFF of a {what} that is not read",
        path=path,
        found=found,
        expected="grey levels, indices or red, green and blue; integers or floats; a common compression",
        remedy="save it as grey levels or RGB, with LZW or deflate compression or none",
    )
