"""What identifies a case: the voxels and the grid that its files decode to, whatever format keeps them.

A scan that was compressed anew, renamed or converted is the same case where its values are and its grid reads
the same; a detached header (.mhd, .nhdr) counts with the voxels that its reader finds. Runs of earlier
versions recorded a hash of the files' bytes instead, so whoever compares with a record accepts both
(:func:`is_recorded`).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from semivox.cohort.case import Case
from semivox.cohort.dicom.places import root_of, stamp_of
from semivox.cohort.format_table import DETACHED
from semivox.cohort.formats import is_dicom, read_case, read_volume, smallest_integer
from semivox.cohort.hashing import sha256_file
from semivox.cohort.volume import Volume
from semivox.errors import DataError
from semivox.files import real_path

STEP_MM = 1.0318e-4
"""Affines are compared in such steps: formats round them differently. No round number, so that values people
choose do not lie on the border of two steps."""
SETTLED_SECONDS = 2.0
"""A file younger than this may change again without its time of change telling."""

Stamp = tuple[tuple[str, int, int, int], ...]
_known: dict[Stamp, str] = {}


def case_identity(case: Case, volume: Volume | None = None) -> str:
    """64 hexadecimal digits. ``volume``: the case as read, if it has been; else it is read, once a process
    while its files stay the same.

    Raises DataError where it cannot be read.
    """
    stamp = _stamp(case.images)
    if stamp is not None and stamp in _known:
        return _known[stamp]
    found = identity_of(read_case(case) if volume is None else volume)
    if stamp is not None and stamp == _stamp(case.images):
        _known[stamp] = found
    return found


def identity_of(volume: Volume) -> str:
    """Of a volume in memory."""
    array = _canonical(volume.array)
    dims = volume.dims
    grid = np.hstack([volume.affine[:dims, :dims], volume.affine[:dims, 3:]])
    steps = np.rint(grid / STEP_MM).astype(np.int64)
    digest = hashlib.sha256(f"{array.shape} {array.dtype.str} {steps.tolist()}".encode())
    digest.update(array.data)
    return digest.hexdigest()


def quick_sha256(case: Case) -> str | None:
    """:func:`files_sha256` where no file has to be decoded for it: equal bytes are an equal case."""
    return None if any(p.suffix.lower() in DETACHED for p in case.images) else files_sha256(case)


def is_recorded(case: Case, recorded: Collection[str]) -> bool:
    """Whether the case is one of those whose identities, or files' hashes, are ``recorded``. It is decoded
    only where its files do not tell. Raises DataError where it cannot be read."""
    return files_sha256(case) in recorded or case_identity(case) in recorded


def files_sha256(case: Case) -> str:
    """SHA-256 of a case's image: of its file, or of its files' hashes in channel order. What the store is
    addressed by, since its draws derive from it, and what earlier versions recorded."""
    return _joined([_hash(path) for path in case.images])


def label_sha256(case: Case) -> str:
    """SHA-256 of a case's label file; empty for a case without one."""
    return _hash(case.label) if case.label is not None else ""


def _joined(hashes: Sequence[str]) -> str:
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _canonical(array: np.ndarray) -> np.ndarray:
    """Equal values as equal bytes: whole numbers in the smallest integer type, others in the smallest float
    type that holds them, little-endian, in C order."""
    if array.dtype.kind == "f" and _is_whole(array.reshape(-1)[:1000]) and _is_whole(array):
        array = array.astype(np.int64)
    dtype = array.dtype
    if dtype.kind in "iub":
        low, high = int(array.min(initial=0)), int(array.max(initial=0))
        dtype = dtype if high > np.iinfo(np.int64).max else smallest_integer(low, high)
    elif dtype.itemsize > 4:
        with np.errstate(over="ignore"):
            single = array.astype(np.float32)
        array = single if np.array_equal(single, array, equal_nan=True) else array
        dtype = array.dtype
    else:
        dtype = np.dtype(np.float32)
    plain = np.ascontiguousarray(array, dtype.newbyteorder("<"))
    return plain + np.float32(0) if dtype.kind == "f" else plain  # -0 is 0


def _is_whole(array: np.ndarray) -> bool:
    most = float(np.abs(array).max(initial=0))
    return bool(most < 2**53 and (array == np.rint(array)).all())  # both false for NaN and infinity


def _stamp(paths: Sequence[Path]) -> Stamp | None:
    """What changes when the files do; None where that cannot be told: they were changed just now, or their
    voxels lie elsewhere."""
    stats = []
    for path in paths:
        if is_dicom(path):
            stats += [(file, size, changed, 0) for file, size, changed in stamp_of(root_of(path))]
            stats.append((path.name, 0, 0, 0))
            continue
        try:
            status = path.stat()
        except OSError:
            return None
        changed = max(status.st_mtime, status.st_ctime)
        if path.suffix.lower() in DETACHED or time.time() - changed < SETTLED_SECONDS:
            return None
        stats.append((str(real_path(path)), status.st_size, status.st_mtime_ns, status.st_ctime_ns))
    return tuple(stats)


def _hash(path: Path) -> str:
    if is_dicom(path):
        return _hash_of_objects(path)
    if path.suffix.lower() in DETACHED:
        volume = read_volume(path)
        voxels = hashlib.sha256(volume.array.tobytes() + str(volume.array.dtype).encode()).hexdigest()
        return hashlib.sha256(f"{sha256_file(path)}{voxels}".encode()).hexdigest()
    try:
        return sha256_file(path)
    except OSError as error:
        raise DataError(
            "cannot be read", path=path, found=error.strerror, remedy="see `semivox check`"
        ) from None


def _hash_of_objects(path: Path) -> str:
    """Of the objects of a DICOM scan, wherever they lie and whatever their files are called."""
    from semivox.cohort.dicom.volume import objects_of

    hashes = []
    for place in objects_of(path):
        with place.open() as file:
            hashes.append(hashlib.sha256(file.read()).hexdigest())
    return hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()
