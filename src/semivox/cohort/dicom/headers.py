"""What the headers of DICOM objects say: of the object itself, and of each of its frames."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import MutableSequence, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from semivox.cohort.dicom.extra import pydicom_for
from semivox.cohort.dicom.places import Place, beginning_of, inner_of, is_beginning, places_at, stamp_of

READ = (
    "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "Modality", "SeriesNumber",
    "SeriesDescription", "PatientID", "PatientName", "ImageType", "Rows", "Columns", "SamplesPerPixel",
    "PhotometricInterpretation", "NumberOfFrames", "ImagePositionPatient", "ImageOrientationPatient",
    "PixelSpacing", "SliceThickness", "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept",
    "ModalityLUTSequence", "BitsStored", "HighBit",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip
DIRECTORY = "1.2.840.10008.1.3.10"
MOST_FRAMES = 1 << 17
"""Of one object."""
MOST = 200_000
"""Headers that are remembered, over all folders."""


@dataclass(frozen=True)
class Frame:
    """One plane: lengths in mm, directions and place in DICOM's left-posterior-superior."""

    number: int
    orientation: tuple[float, ...] | None
    position: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    thickness: float | None
    slope: float
    intercept: float
    told: tuple[bool, bool]
    """Whether slope and intercept are the header's."""
    distance: float | None
    """From plane to plane, as the header has it; some write the gap between them."""


@dataclass(frozen=True)
class Instance:
    """One object. What names the patient is never shown."""

    place: Place
    uid: str
    sop_class: str
    series: str
    study: str
    modality: str
    number: int | None
    description: str
    image_type: tuple[str, ...]
    rows: int
    columns: int
    samples: int
    photometric: str
    has_lut: bool
    raised: bool
    """Whether its numbers do not begin at the lowest bit."""
    frames: tuple[Frame, ...]
    patient: str = field(repr=False, default="")
    patient_name: str = field(repr=False, default="")


_known: OrderedDict[tuple[Path, object], tuple[tuple[Instance, ...], int]] = OrderedDict()


def instances_in(root: Path) -> tuple[tuple[Instance, ...], int]:
    """The objects of a folder, an archive or a file, and how many files could not be read that are DICOM by
    their first bytes or their name, or that nobody can open. They are read once a process while the files
    stay as they are; an object that is there twice counts once, others of its name (:attr:`Instance.uid`)
    too."""
    key = (root.absolute(), stamp_of(root))
    if key in _known:
        _known.move_to_end(key)
        return _known[key]
    pydicom_for(root)
    found: dict[object, Instance] = {}
    broken = 0
    for inner in inner_of(root):
        instances, unread = instances_in(inner)
        broken += unread
        for known in instances:
            found.setdefault((known.uid, known.frames), known)
    for place in places_at(root):
        start = beginning_of(place)
        if not is_beginning(start):
            broken += start is None or place.is_named_so
            continue
        try:
            with place.open_object() as file:
                instance = _instance(root, place, file)
        except Exception:  # the decoder raises nearly anything on broken bytes
            broken += 1
            continue
        if instance is not None:
            found.setdefault((instance.uid, instance.frames), instance)
    _known[key] = tuple(found.values()), broken
    while sum(len(instances) for instances, _ in _known.values()) > MOST and len(_known) > 1:
        _known.popitem(last=False)
    return _known[key]


def _instance(root: Path, place: Place, file: Any) -> Instance | None:
    """None for what is no object, such as a directory of others. Raises nearly anything for half of one."""
    pydicom = pydicom_for(root)
    dataset = pydicom.dcmread(file, force=True, stop_before_pixels=True, specific_tags=list(READ))
    if not dataset.get("SOPClassUID") or not dataset.get("SOPInstanceUID"):
        if not dataset.file_meta or dataset.file_meta.get("MediaStorageSOPClassUID") == DIRECTORY:
            return None
        raise ValueError("ends before it tells what it is")
    number = dataset.get("SeriesNumber")
    return Instance(
        place=place,
        uid=str(dataset.SOPInstanceUID),
        sop_class=str(dataset.SOPClassUID),
        series=str(dataset.get("SeriesInstanceUID", "")),
        study=str(dataset.get("StudyInstanceUID", "")),
        modality=str(dataset.get("Modality") or ""),
        number=None if number is None else int(number),
        description=" ".join(str(dataset.get("SeriesDescription") or "").split()),
        image_type=tuple(str(part).upper() for part in dataset.get("ImageType") or ()),
        rows=int(dataset.get("Rows") or 0),
        columns=int(dataset.get("Columns") or 0),
        samples=int(dataset.get("SamplesPerPixel") or 0),
        photometric=str(dataset.get("PhotometricInterpretation") or ""),
        has_lut=bool(dataset.get("ModalityLUTSequence")),
        raised=_raised(dataset),
        frames=_frames(dataset),
        patient=str(dataset.get("PatientID") or ""),
        patient_name=str(dataset.get("PatientName") or ""),
    )


def _raised(dataset: Any) -> bool:
    high, bits = dataset.get("HighBit"), dataset.get("BitsStored")
    return high is not None and bits is not None and int(high) != int(bits) - 1


def _frames(dataset: Any) -> tuple[Frame, ...]:
    """A frame a plane; of an enhanced object from the groups of each frame, else from those they share."""
    number = int(dataset.get("NumberOfFrames") or 1)
    if not 1 <= number <= MOST_FRAMES:
        raise ValueError(f"{number} frames")
    own: Sequence[Any] = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    shared: Sequence[Any] = dataset.get("SharedFunctionalGroupsSequence") or ()
    if not own and not shared:
        flat = (
            _frame(0, (dataset,))
            if number == 1
            else Frame(0, None, None, None, None, 1.0, 0.0, (False, False), None)
        )
        return tuple(Frame(i, *_without_number(flat)) for i in range(number))
    rest = _without_number(_frame(0, shared[:1]))  # of frames without groups of their own
    told = tuple(_frame(i, (each, *shared[:1])) for i, each in enumerate(own[:number]))
    return told + tuple(Frame(i, *rest) for i in range(len(told), number))


def _frame(number: int, places: Sequence[Any]) -> Frame:
    """From the first of ``places``, datasets or functional groups, that tells each thing."""

    def told(group: str, name: str) -> Any:
        for place in places:
            inner = place.get(group)
            source = inner[0] if inner else place
            value = source.get(name)
            if value is not None and value != "":
                return value
        return None

    def numbers(group: str, name: str, count: int) -> tuple[float, ...] | None:
        value = told(group, name)
        if not isinstance(value, Sequence | MutableSequence) or isinstance(value, str) or len(value) != count:
            return None
        return tuple(float(part) for part in value)

    def number_of(group: str, name: str) -> float | None:
        value = told(group, name)
        return None if value is None else float(value)

    measures, rescale = "PixelMeasuresSequence", "PixelValueTransformationSequence"
    slope, intercept = number_of(rescale, "RescaleSlope"), number_of(rescale, "RescaleIntercept")
    return Frame(
        number,
        numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6),
        numbers("PlanePositionSequence", "ImagePositionPatient", 3),
        numbers(measures, "PixelSpacing", 2),
        number_of(measures, "SliceThickness"),
        1.0 if slope is None else slope,
        0.0 if intercept is None else intercept,
        (slope is not None, intercept is not None),
        number_of(measures, "SpacingBetweenSlices"),
    )


def _without_number(frame: Frame) -> tuple[Any, ...]:
    return (
        frame.orientation, frame.position, frame.spacing, frame.thickness, frame.slope, frame.intercept,
        frame.told, frame.distance,
    )  # fmt: skip
