"""The numbers of DICOM objects: decoded by numpy (native, RLE) or, in a process of its own, imagecodecs
(JPEG's family), then rescaled.

imagecodecs is installed with semivox and its licences are permissive, so nothing more is needed, and what
else is installed beside pydicom does not change what is read.
"""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from semivox.cohort import claims
from semivox.cohort.claims import check_memory, check_stored
from semivox.cohort.decoding_apart import decode_apart
from semivox.cohort.dicom.extra import pydicom_for
from semivox.cohort.dicom.headers import Instance
from semivox.cohort.dicom.series import Stack
from semivox.errors import DataError

JPEG = "1.2.840.10008.1.2.4."
DECODERS = {
    JPEG + "50": "jpeg8_decode",
    JPEG + "51": "jpeg8_decode",
    JPEG + "57": "ljpeg_decode",
    JPEG + "70": "ljpeg_decode",
    JPEG + "80": "jpegls_decode",
    JPEG + "81": "jpegls_decode",
    JPEG + "90": "jpeg2k_decode",
    JPEG + "91": "jpeg2k_decode",
    JPEG + "201": "htj2k_decode",
    JPEG + "202": "htj2k_decode",
    JPEG + "203": "htj2k_decode",
}
"""Functions of imagecodecs."""
LARGEST = 2**30
"""Larger numbers, with an intercept, would not fit into 32 bits."""
RLE = "1.2.840.10008.1.2.5"
RATIOS = {RLE: 64, JPEG + "50": claims.JPEG, JPEG + "51": claims.JPEG}
"""Bytes that a stored one can become; the other compressions have no bound."""


def voxels_of(stack: Stack) -> np.ndarray:
    """``(1, X, Y, Z)``: rescaled by each plane's own slope and intercept; integers where all slopes are 1."""
    check_memory(stack.series.root, 4 * math.prod(stack.shape))
    array = np.empty(stack.shape[::-1], stack.dtype)  # planes as they come; the transpose is a view
    uses = Counter(plane.instance.uid for plane in stack.planes)
    frames: dict[str, np.ndarray] = {}
    for rows, plane in zip(array, stack.planes, strict=True):
        uid = plane.instance.uid
        if uid not in frames:
            frames[uid] = stored_frames(stack.series.root, plane.instance)
        stored = frames[uid][plane.frame.number]
        if array.dtype.kind == "i":
            rows[...] = stored
            rows += np.int32(plane.frame.intercept)
        else:
            rows[...] = stored * np.float64(plane.frame.slope) + plane.frame.intercept
        uses[uid] -= 1
        if not uses[uid]:
            del frames[uid]
    return array.transpose(2, 1, 0)[None]


def stored_frames(root: Path, instance: Instance) -> np.ndarray:
    """``(frames, rows, columns)``: the numbers as stored.

    Raises DataError where they cannot be decoded; it names the series, not the file, whose name may be the
    patient's.
    """
    try:
        with instance.place.open_object() as file:
            dataset = pydicom_for(root).dcmread(file, force=True)
        _check_claim(instance, dataset)
        frames = _decoded(root, dataset, len(instance.frames))
        if frames.shape != (len(instance.frames), instance.rows, instance.columns):
            raise ValueError(f"pixels of shape {frames.shape}")
        if frames.dtype.itemsize > 2 and np.abs(frames.astype(np.float64)).max(initial=0) > LARGEST:
            raise ValueError(f"numbers beyond {LARGEST}")
    except DataError:
        raise
    except Exception as error:
        number = "" if instance.number is None else f" {instance.number}"
        raise DataError(
            f"series{number} {instance.description!r}: an image cannot be decoded",
            path=root,
            found=f"{type(error).__name__}: {' '.join(str(error).split())[:160]}",
            remedy="copy or export the series again",
        ) from error
    return frames


def _check_claim(instance: Instance, dataset: Any) -> None:
    """Raise ValueError where the stored bytes cannot become the pixels that the header tells of."""
    syntax = str(dataset.file_meta.get("TransferSyntaxUID") or "") if hasattr(dataset, "file_meta") else ""
    ratio = 1 if not syntax.startswith((JPEG, RLE)) else RATIOS.get(syntax)
    if ratio is not None:
        bits = len(instance.frames) * instance.rows * instance.columns * int(dataset.BitsAllocated)
        check_stored(bits // 8, len(dataset.PixelData), ratio)


def _decoded(root: Path, dataset: Any, frames: int) -> np.ndarray:
    syntax = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    if syntax is None or not syntax.is_compressed or syntax == RLE or not syntax.is_encapsulated:
        if syntax is None:
            dataset.file_meta.TransferSyntaxUID = _implied_syntax(dataset)
        array = np.asarray(dataset.pixel_array)
        return array.reshape(frames, *array.shape[-2:])
    decoder = DECODERS.get(str(syntax))
    if decoder is None:
        raise ValueError(f"compressed as {syntax.name}, which is not read")
    from pydicom.encaps import generate_frames

    nbytes = 4 * int(dataset.Rows) * int(dataset.Columns)
    parts = [
        decode_apart(f"imagecodecs:{decoder}", root, nbytes, part)
        for part in generate_frames(dataset.PixelData, number_of_frames=frames)
    ]
    return _as_declared(np.stack(parts[:frames]), int(dataset.BitsStored), bool(dataset.PixelRepresentation))


def _implied_syntax(dataset: Any) -> str:
    """Of an object without a file's header: pydicom knows how it has read it."""
    implicit, little = dataset.original_encoding
    if implicit:
        return "1.2.840.10008.1.2"
    return "1.2.840.10008.1.2.1" if little else "1.2.840.10008.1.2.2"


def _as_declared(array: np.ndarray, bits: int, signed: bool) -> np.ndarray:
    """Codestreams do not always tell the sign: the header does."""
    if signed and array.dtype.kind == "u":
        wide = array.astype(np.int32) & ((1 << bits) - 1)
        return wide - ((wide >> (bits - 1)) << bits)
    if not signed and array.dtype.kind == "i":
        return array.astype(np.int32) & ((1 << bits) - 1)
    return array
