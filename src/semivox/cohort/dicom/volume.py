"""A DICOM series as a volume: a folder, an archive, a multi-frame file, or one series of many."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from semivox.cohort.dicom.headers import Instance, instances_in
from semivox.cohort.dicom.pixels import voxels_of
from semivox.cohort.dicom.places import Place, root_of
from semivox.cohort.dicom.series import Stack, only_scan_at, stack_of
from semivox.cohort.geometry import Geometry
from semivox.cohort.volume import NOTES, Source, Volume
from semivox.errors import DataError

STACK = "stack"
"""Key of the source's header: the planes that the volume was made of."""


def read(path: Path, label: bool = False) -> Volume:
    """The voxels, ``(1, X, Y, Z)``: X is the column, Y the row, Z along the planes' normal."""
    _refuse_label(path, label)
    stack = stack_of(only_scan_at(path))
    source = Source(path, "dicom", {STACK: stack, NOTES: (*stack.notes, *_unread(path))})
    return Volume(voxels_of(stack), stack.affine, source)


def _unread(path: Path) -> tuple[str, ...]:
    """Of a folder or archive of this scan alone: where it holds others too, that is told of it as a whole."""
    unread = instances_in(path)[1] if root_of(path) == path else 0
    told = (
        f"{unread} file(s) of DICOM beside its images cannot be read, so it may lack its first or last planes"
    )
    return (told,) if unread else ()


def geometry(path: Path, label: bool = False) -> Geometry:
    """Headers only."""
    _refuse_label(path, label)
    stack = stack_of(only_scan_at(path))
    return Geometry(stack.shape, 1, stack.affine, stack.dtype)


def read_note(path: Path) -> str:
    """Nothing: masks are not written as scans."""
    return ""


def holds(array: np.ndarray) -> bool:
    """Nothing is written in this format."""
    return False


def modality_of(path: Path) -> str:
    """What made the scan: "CT", "MR" ... Raises DataError where there is no scan."""
    return only_scan_at(path).first.modality


def objects_of(path: Path) -> list[Place]:
    """Where the objects of the scan lie, sorted."""
    return sorted(instance.place for instance in only_scan_at(path).instances)


def instances_of(stack: Stack) -> list[Instance]:
    """The objects that a volume was made of, in the order of their first planes."""
    return list({plane.instance.uid: plane.instance for plane in stack.planes}.values())


def _refuse_label(path: Path, label: bool) -> None:
    if label:
        raise DataError(
            "a label cannot be read from DICOM images",
            path=path,
            expected="a DICOM segmentation named CASE.seg.dcm, or another format of labels",
            remedy="rename it if it is a segmentation (SEG), else export the label as .seg.nrrd or .nii.gz",
        )
