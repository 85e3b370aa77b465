"""``.rtstruct.dcm``: structure sets (RTSTRUCT) for planning systems; written, and never read as a label.

A class is a structure, an outline a closed contour in the plane of an image. Contours have no voxels, and
which voxels one means depends on the program that reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from semivox.cohort.dicom.contours import outlines
from semivox.cohort.dicom.derived import as_text, header_of, made_of, own_version, stack_behind
from semivox.cohort.dicom.extra import pydicom_for
from semivox.cohort.dicom.places import Place
from semivox.cohort.dicom.series import Plane, Stack
from semivox.cohort.dicom.volume import instances_of
from semivox.cohort.geometry import Geometry
from semivox.cohort.segments import Segment, parts_of
from semivox.cohort.volume import Volume
from semivox.errors import DataError

STRUCTURES = "1.2.840.10008.5.1.4.1.1.481.3"
STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"
"""Retired, and still what the reference to a study asks for."""
REPEATED = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID", "StudyDate",
    "StudyTime", "AccessionNumber", "ReferringPhysicianName", "FrameOfReferenceUID",
    "PositionReferenceIndicator",
)  # fmt: skip
SERIES_NUMBER = 901


def read(path: Path, label: bool = False) -> Volume:
    """Raises DataError."""
    raise _not_read(path)


def geometry(path: Path, label: bool = False) -> Geometry:
    """Raises DataError."""
    raise _not_read(path)


def read_note(path: Path) -> str:
    """The description of the structure set."""
    with Place(path).open_object() as file:
        dataset = pydicom_for(path).dcmread(file, specific_tags=["StructureSetDescription"])
    return str(dataset.get("StructureSetDescription") or "")


def read_segments(path: Path) -> tuple[Segment, ...]:
    """Raises DataError."""
    raise _not_read(path)


def read_planes(path: Path) -> tuple[Sequence[Segment], Volume]:
    """Raises DataError."""
    raise _not_read(path)


def holds(array: np.ndarray) -> bool:
    """One channel of whole numbers from 0, in 3D."""
    return array.ndim == 4 and array.shape[0] == 1 and array.dtype.kind in "ub"


def write_segments(
    path: Path, array: np.ndarray, like: Volume, segments: Sequence[Segment], note: str = ""
) -> None:
    """Write label values ``(1, X, Y, Z)`` of a scan that was read from DICOM as closed contours.

    Every call makes a new object (a fresh SOPInstanceUID) in a new series of the scan's study.

    Raises DataError where the scan was not DICOM, or lacks what a structure set must repeat of it.
    """
    stack = stack_behind(like, path, "a structure set", segments)
    pydicom = pydicom_for(path)
    contours = [_contours(pydicom, stack, segment.inside(array[0])) for segment in segments]
    numbered = list(enumerate(segments, start=1))
    with made_of(stack, "structure set"):
        dataset = _head(pydicom, stack, path, note)
        frame = str(dataset.FrameOfReferenceUID)
        dataset.ReferencedFrameOfReferenceSequence = [_references(pydicom, stack, frame)]
        dataset.StructureSetROISequence = [_structure(pydicom, i, s, frame) for i, s in numbered]
        dataset.ROIContourSequence = [_drawn(pydicom, i, s, contours[i - 1]) for i, s in numbered]
        dataset.RTROIObservationsSequence = [_observed(pydicom, i, s) for i, s in numbered]
        dataset.save_as(path, enforce_file_format=True)


def _head(pydicom: Any, stack: Stack, path: Path, note: str) -> Any:
    """Patient and study of the scan, a series and an object of its own."""
    source, now = header_of(stack.planes[0].instance, path), datetime.now()
    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    # lengths of 4 bytes: in explicit syntax a contour of some thousand points is too long for its type
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
    for name in ("SpecificCharacterSet", *REPEATED):
        setattr(dataset, name, getattr(source, name))
    dataset.SOPClassUID, dataset.SOPInstanceUID = STRUCTURES, pydicom.uid.generate_uid()
    dataset.SeriesInstanceUID, dataset.SeriesNumber = pydicom.uid.generate_uid(), SERIES_NUMBER
    dataset.Modality, dataset.InstanceNumber, dataset.OperatorsName = "RTSTRUCT", 1, ""
    dataset.SeriesDescription = "semivox structures"
    dataset.Manufacturer = dataset.ManufacturerModelName = "semivox"
    dataset.SoftwareVersions = own_version()
    dataset.StructureSetLabel = "semivox"
    if note:
        dataset.StructureSetDescription = note
    dataset.StructureSetDate, dataset.StructureSetTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    dataset.ApprovalStatus = "UNAPPROVED"
    return dataset


def _references(pydicom: Any, stack: Stack, frame: str) -> Any:
    """Frame of reference, study, series, and all images of the scan."""
    first = stack.series.first
    series = _of(
        pydicom,
        SeriesInstanceUID=first.series,
        ContourImageSequence=[
            _of(pydicom, ReferencedSOPClassUID=i.sop_class, ReferencedSOPInstanceUID=i.uid)
            for i in instances_of(stack)
        ],
    )
    study = _of(
        pydicom,
        ReferencedSOPClassUID=STUDY_CLASS,
        ReferencedSOPInstanceUID=first.study,
        RTReferencedSeriesSequence=[series],
    )
    return _of(pydicom, FrameOfReferenceUID=frame, RTReferencedStudySequence=[study])


def _structure(pydicom: Any, number: int, segment: Segment, frame: str) -> Any:
    return _of(
        pydicom,
        ROINumber=number,
        ReferencedFrameOfReferenceUID=frame,
        ROIName=as_text(segment.name),
        ROIDescription=f"semivox label value {segment.value}",
        ROIGenerationAlgorithm="AUTOMATIC",
    )


def _drawn(pydicom: Any, number: int, segment: Segment, contours: list[Any]) -> Any:
    drawn = _of(pydicom, ReferencedROINumber=number)
    if segment.colour:
        drawn.ROIDisplayColor = [round(255 * part) for part in parts_of(segment.colour)]
    if contours:  # a class that the scan does not have is a structure without contours
        drawn.ContourSequence = contours
    return drawn


def _observed(pydicom: Any, number: int, segment: Segment) -> Any:
    observed = _of(
        pydicom,
        ObservationNumber=number,
        ReferencedROINumber=number,
        RTROIInterpretedType="",
        ROIInterpreter="",
    )
    if segment.code:
        observed.RTROIIdentificationCodeSequence = [
            _of(
                pydicom,
                CodeValue=segment.code.value,
                CodingSchemeDesignator=segment.code.scheme,
                CodeMeaning=as_text(segment.code.meaning),
            )
        ]
    return observed


def _contours(pydicom: Any, stack: Stack, mask: np.ndarray) -> list[Any]:
    """Of a structure ``(X, Y, Z)``, plane by plane."""
    found: list[Any] = []
    for number in np.flatnonzero(mask.any((0, 1))).tolist():
        plane = stack.planes[number]
        image = _of(
            pydicom,
            ReferencedSOPClassUID=plane.instance.sop_class,
            ReferencedSOPInstanceUID=plane.instance.uid,
        )
        if len(plane.instance.frames) > 1:
            image.ReferencedFrameNumber = plane.frame.number + 1
        for outline in outlines(mask[:, :, number].T):
            points = _in_patient(plane, outline)
            found.append(
                _of(
                    pydicom,
                    ContourImageSequence=[image],
                    ContourGeometricType="CLOSED_PLANAR",
                    NumberOfContourPoints=len(points),
                    ContourNumber=len(found) + 1,
                    ContourData=[f"{value:.4f}" for value in points.ravel().tolist()],
                )
            )
    return found


def _in_patient(plane: Plane, pixels: np.ndarray) -> np.ndarray:
    """(column, row) of a plane -> mm, left-posterior-superior, from the plane's own place."""
    frame = plane.frame
    assert frame.orientation is not None
    assert frame.spacing is not None
    axes = np.array(frame.orientation, np.float64).reshape(2, 3)
    rows, columns = frame.spacing
    return np.asarray(np.array(frame.position) + pixels * (columns, rows) @ axes)


def _of(pydicom: Any, **elements: Any) -> Any:
    dataset = pydicom.Dataset()
    for name, value in elements.items():
        setattr(dataset, name, value)
    return dataset


def _not_read(path: Path) -> DataError:
    return DataError(
        "a structure set (RTSTRUCT) is not read: contours have no voxels",
        path=path,
        expected="a label on the grid of its image",
        remedy="export it as a label map or segmentation, such as .seg.nrrd from 3D Slicer",
    )
