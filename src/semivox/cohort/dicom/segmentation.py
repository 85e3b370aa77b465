"""``.seg.dcm``: DICOM segmentations (SEG), a binary segment a class, that refer to the images of their scan.

They are filed with the patient's study, so they hold what DICOM asks of them: patient and study of the
scan. BINARY is written, which viewers know; every plane of the scan is there, so that the grid is the scan's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from semivox.cohort.claims import check_memory
from semivox.cohort.dicom.derived import as_text, header_of, made_of, own_version, stack_behind
from semivox.cohort.dicom.extra import highdicom_for, pydicom_for
from semivox.cohort.dicom.places import Place
from semivox.cohort.dicom.series import SEGMENTATION, UNEVEN, Stack
from semivox.cohort.dicom.volume import instances_of
from semivox.cohort.geometry import Geometry
from semivox.cohort.segments import Code, Segment, colour_of, parts_of
from semivox.cohort.volume import Source, Volume
from semivox.errors import DataError

FORMAT = "dicom-seg"
VALUE = re.compile(r"label value (\d+)")
"""In a segment's description: the value of its class, since segments are numbered from 1 on."""
ANATOMY = Code("123037004", "SCT", "Anatomical Structure")
UNKNOWN = Code("85756007", "SCT", "Tissue")
"""Category and type of a class without a code, as in Slicer."""
SERIES_NUMBER = 900


def read(path: Path, label: bool = False) -> Volume:
    """Label values ``(1, X, Y, Z)`` on the grid of the planes that the file holds.

    Raises DataError for other objects, fractional segments, and segments that overlap.
    """
    dataset = _dataset(path)
    values, order, affine, shape = _numbers(dataset), *_grid(path, dataset)
    check_memory(path, 4 * math.prod(shape))
    array = np.zeros(shape, np.int32 if max(values.values(), default=0) > 255 else np.uint8)
    frames, segments_of = _frames(path, dataset, order), _segment_of_each(path, dataset)
    for frame, plane, segment in zip(frames, order, segments_of, strict=True):
        if segment is None:  # a label map: its numbers are those of the segments
            for number, value in values.items():
                array[..., plane][number == frame.T] = value
            continue
        own = frame.T > 0
        if (array[..., plane][own] != 0).any():
            raise _not_read(path, "segments overlap, and a voxel of a label has one value",
                            f"segment {segment} and another",
                            "let no segment overlap another, or declare regions of their names")  # fmt: skip
        array[..., plane][own] = values[segment]
    return Volume(array[None], affine, Source(path, FORMAT))


def read_planes(path: Path) -> tuple[list[Segment], Volume]:
    """The segments and, a boolean channel each, where they lie."""
    dataset = _dataset(path)
    values, order, affine, shape = _numbers(dataset), *_grid(path, dataset)
    planes = {number: np.zeros(shape, bool) for number in values}
    frames, segments_of = _frames(path, dataset, order), _segment_of_each(path, dataset)
    for frame, plane, segment in zip(frames, order, segments_of, strict=True):
        for number in planes if segment is None else [segment]:
            planes[number][..., plane] |= number == frame.T if segment is None else frame.T > 0
    by_value = {values[number]: inside for number, inside in planes.items()}
    segments = [segment for segment in read_segments(path) if segment.value in by_value]
    array = np.stack([by_value[segment.value] for segment in segments])
    return segments, Volume(array, affine, Source(path, FORMAT))


def geometry(path: Path, label: bool = False) -> Geometry:
    """From the header, which holds the place of every frame."""
    dataset = _dataset(path, pixels=False)
    values = _numbers(dataset)
    _, affine, shape = _grid(path, dataset)
    dtype = np.dtype(np.int32 if max(values.values(), default=0) > 255 else np.uint8)
    return Geometry(shape, 1, affine, dtype)


def read_note(path: Path) -> str:
    """The description of the content."""
    return str(_dataset(path, pixels=False).get("ContentDescription") or "")


def read_segments(path: Path) -> tuple[Segment, ...]:
    """Names, colours and codes, by value."""
    dataset = _dataset(path, pixels=False)
    values = _numbers(dataset)
    found = []
    for item in dataset.SegmentSequence:
        kind = item.SegmentedPropertyTypeCodeSequence[0]
        code = Code(str(kind.CodeValue), str(kind.CodingSchemeDesignator), str(kind.CodeMeaning))
        colour = _colour(path, item.get("RecommendedDisplayCIELabValue"))
        known = None if code.value == UNKNOWN.value else code
        found.append(Segment(values[int(item.SegmentNumber)], str(item.SegmentLabel), colour, known))
    return tuple(sorted(found, key=lambda segment: segment.value))


def holds(array: np.ndarray) -> bool:
    """One channel of whole numbers from 0, in 3D."""
    return array.ndim == 4 and array.shape[0] == 1 and array.dtype.kind in "ub"


def write_segments(
    path: Path, array: np.ndarray, like: Volume, segments: Sequence[Segment], note: str = ""
) -> None:
    """Write label values ``(1, X, Y, Z)`` of a scan that was read from DICOM.

    Every call makes a new object (a fresh SOPInstanceUID) in a new series of the scan's study.

    Raises DataError where the scan was not DICOM, or lacks what a segmentation must repeat of it.
    """
    stack = stack_behind(like, path, "a DICOM segmentation", segments)
    hd, pydicom = highdicom_for(path), pydicom_for(path)
    sources, numbers = _sources(stack, path), array[0].transpose(2, 1, 0)  # planes, rows, columns
    if any(segment.parts for segment in segments):  # regions overlap: a plane each
        mask = np.stack([segment.inside(numbers) for segment in segments], -1).astype(np.uint8)
    else:
        mask = np.zeros(numbers.shape, np.uint8 if len(segments) < 256 else np.uint16)
        for number, segment in enumerate(segments, start=1):
            mask[numbers == segment.value] = number
    if len(sources) == 1 and len(stack.planes) > 1:  # frames in the order of the object
        mask = mask[np.argsort([plane.frame.number for plane in stack.planes])]
    with made_of(stack, "DICOM segmentation"):
        written = hd.seg.Segmentation(
            source_images=sources,
            pixel_array=mask,
            segmentation_type="BINARY",
            segment_descriptions=[_described(hd, i, s) for i, s in enumerate(segments, start=1)],
            series_instance_uid=pydicom.uid.generate_uid(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=pydicom.uid.generate_uid(),
            instance_number=1,
            manufacturer="semivox",
            manufacturer_model_name="semivox",
            software_versions=own_version(),
            device_serial_number="none",
            content_description=note or None,
            content_label="SEGMENTATION",
            series_description="semivox segmentation",
            omit_empty_frames=False,
        )
    written.save_as(path)


def _sources(stack: Stack, path: Path) -> list[Any]:
    """The objects of the scan without their pixels, in the order of the planes."""
    instances = instances_of(stack)
    if len(instances) not in (1, len(stack.planes)):
        raise DataError(
            f"{stack.series.title}: several objects of many frames each are one scan",
            path=stack.series.root,
            found=f"{len(instances)} objects with {len(stack.planes)} planes",
            expected="one object of many frames, or one plane an object",
            remedy="choose another --format, such as seg.nrrd",
        )
    return [header_of(instance, path) for instance in instances]


def _described(hd: Any, number: int, segment: Segment) -> Any:
    from pydicom.sr.codedict import codes

    kind = segment.code or UNKNOWN
    category = ANATOMY if segment.code else UNKNOWN
    described = hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=as_text(segment.name),
        segmented_property_category=_concept(hd, category),
        segmented_property_type=_concept(hd, kind),
        algorithm_type="AUTOMATIC",
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name="semivox", version=own_version(), family=codes.DCM.ArtificialIntelligence
        ),
        display_color=hd.color.CIELabColor.from_rgb(*_bytes(segment.colour)) if segment.colour else None,
    )
    described.SegmentDescription = f"semivox label value {segment.value}"
    return described


def _concept(hd: Any, code: Code) -> Any:
    return hd.sr.CodedConcept(code.value, code.scheme, as_text(code.meaning))


def _bytes(colour: str) -> tuple[int, int, int]:
    red, green, blue = (round(255 * part) for part in parts_of(colour))
    return red, green, blue


def _colour(path: Path, lab: Any) -> str | None:
    if lab is None:
        return None
    red, green, blue = highdicom_for(path).color.CIELabColor.from_dicom_value(tuple(lab)).to_rgb()
    return colour_of((red / 255, green / 255, blue / 255))


def _frames(path: Path, dataset: Any, places: Sequence[int]) -> np.ndarray:
    """(frames, rows, columns), one a place."""
    frames = np.asarray(dataset.pixel_array)
    frames = frames.reshape(-1, *frames.shape[-2:])
    if len(frames) != len(places):
        raise _not_read(path, "frames are missing", f"{len(frames)} frames for {len(places)} places",
                        "copy or export it again")  # fmt: skip
    return frames


def _dataset(path: Path, pixels: bool = True) -> Any:
    with Place(path).open_object() as file:
        dataset = pydicom_for(path).dcmread(file, stop_before_pixels=not pixels)
    if str(dataset.get("SOPClassUID")) not in SEGMENTATION:
        raise _not_read(path, "no DICOM segmentation", str(dataset.get("SOPClassUID")), "rename it to .dcm")
    if dataset.get("SegmentationType") == "FRACTIONAL":
        raise _not_read(path, "fractional segments are no label", "SegmentationType FRACTIONAL",
                        "export it with binary segments")  # fmt: skip
    return dataset


def _numbers(dataset: Any) -> dict[int, int]:
    """Segment number -> label value: what our own description says, else the number."""
    found = {}
    for item in dataset.SegmentSequence:
        said = VALUE.search(str(item.get("SegmentDescription") or ""))
        number = int(item.SegmentNumber)
        found[number] = int(said[1]) if said else number
    return found


def _segment_of_each(path: Path, dataset: Any) -> list[int | None]:
    """The segment of each frame; None in a label map, which holds all."""
    if dataset.get("SegmentationType") == "LABELMAP":
        return [None] * len(dataset.PerFrameFunctionalGroupsSequence)
    shared = dataset.SharedFunctionalGroupsSequence[0].get("SegmentIdentificationSequence")
    return [
        int((group.get("SegmentIdentificationSequence") or shared)[0].ReferencedSegmentNumber)
        for group in dataset.PerFrameFunctionalGroupsSequence
    ]


def _grid(path: Path, dataset: Any) -> tuple[list[int], np.ndarray, tuple[int, int, int]]:
    """The plane of each frame, the affine to mm in RAS+, and the shape."""
    shared = dataset.SharedFunctionalGroupsSequence[0]
    groups = dataset.PerFrameFunctionalGroupsSequence
    measures = (shared.get("PixelMeasuresSequence") or groups[0].PixelMeasuresSequence)[0]
    turn = (shared.get("PlaneOrientationSequence") or groups[0].PlaneOrientationSequence)[0]
    axes = np.array(turn.ImageOrientationPatient, np.float64).reshape(2, 3)
    positions = np.array([g.PlanePositionSequence[0].ImagePositionPatient for g in groups], np.float64)
    along = positions @ np.cross(axes[0], axes[1])
    start, gaps = int(np.argmin(along)), np.diff(np.unique(np.round(along, 4)))
    told = measures.get("SpacingBetweenSlices") or (gaps.min() if len(gaps) else measures.SliceThickness)
    order = np.rint((along - along[start]) / float(told)).astype(int)
    if np.abs(along - along[start] - order * float(told)).max() > UNEVEN * float(told):
        raise _not_read(path, "planes at uneven distances", f"{gaps.min():g} to {gaps.max():g} mm",
                        "export the segmentation as .seg.nrrd or .nii.gz")  # fmt: skip
    last = int(np.argmax(order))
    step = np.cross(axes[0], axes[1]) * float(told)
    if order[last]:
        step = (positions[last] - positions[start]) / order[last]
    lps = np.eye(4)
    rows, columns = (float(length) for length in measures.PixelSpacing)
    lps[:3] = np.column_stack([axes[0] * columns, axes[1] * rows, step, positions[start]])
    shape = (int(dataset.Columns), int(dataset.Rows), int(order[last]) + 1)
    return order.tolist(), np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps, shape


def _not_read(path: Path, fault: str, found: str, remedy: str) -> DataError:
    expected = "a segmentation of binary segments that do not overlap"
    return DataError(fault, path=path, found=found, expected=expected, remedy=remedy)
