"""Series: which of them are scans, and how their planes make a volume. What would be read wrong is refused.

A volume has one affine, so its planes must be parallel, of one size and at equal distances. A reader that
takes the mean distance of planes with a gap gives wrong millimetres everywhere; here a gap is an error.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from semivox.cohort.dicom.headers import Frame, Instance, instances_in
from semivox.cohort.dicom.places import SERIES, root_of
from semivox.errors import DataError

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SEGMENTATION = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
PARALLEL = 1e-3
"""How far the cosines of two planes may differ."""
UNEVEN = 0.1
"""How far a plane may lie from its place on the even grid, in parts of the distance of planes."""
TILTED = 1e-3
"""How far the way from plane to plane may lean from their normal, as a cosine: as for sheared grids."""
THINNED = 1.5
"""How many times as far as their header says planes lie apart, where some may be missing."""


@dataclass(frozen=True)
class Series:
    """The objects of one series, in the order they were found; ``root``: where they were looked for."""

    root: Path
    instances: tuple[Instance, ...]

    @property
    def first(self) -> Instance:
        return self.instances[0]

    @property
    def path(self) -> Path:
        """That of the scan, where ``root`` holds others too."""
        return self.root / f"{SERIES}{self.first.series}"

    @property
    def title(self) -> str:
        """What it is called in messages: never by its patient."""
        number = "without a number" if self.first.number is None else str(self.first.number)
        name = f" {self.first.description!r}" if self.first.description else ""
        return f"series {number}{name} ({self.first.modality or 'no modality'})"


@dataclass(frozen=True)
class Plane:
    """A frame of an object of the series."""

    instance: Instance
    frame: Frame


@dataclass(frozen=True)
class Stack:
    """Planes in the order of the third axis, ``affine`` to mm in RAS+, and what a person should know."""

    series: Series
    planes: tuple[Plane, ...]
    affine: np.ndarray
    notes: tuple[str, ...] = field(default=())

    @property
    def shape(self) -> tuple[int, int, int]:
        first = self.planes[0].instance
        return first.columns, first.rows, len(self.planes)

    @property
    def dtype(self) -> np.dtype:
        """Of the rescaled numbers: integers where all slopes are 1."""
        whole = all(p.frame.slope == 1 and p.frame.intercept.is_integer() for p in self.planes)
        return np.dtype(np.int32 if whole else np.float32)


def series_in(root: Path) -> list[Series]:
    """All series of a folder, an archive or a file, by number and then by UID.

    Raises DataError without pydicom.
    """
    found: dict[str, list[Instance]] = {}
    for instance in instances_in(root)[0]:
        found.setdefault(instance.series, []).append(instance)
    made = [Series(root, tuple(instances)) for instances in found.values()]
    return sorted(made, key=lambda s: (s.first.number is None, s.first.number or 0, s.first.series))


def no_scan(series: Series) -> DataError | None:
    """Why a series is not a scan at all, as a finding; None: it is one, perhaps with faults."""
    found = {reason for i in series.instances if (reason := _why_no_plane(i)) is not None}
    if any(_why_no_plane(instance) is None for instance in series.instances):
        return None
    return DataError(
        f"{series.title} is no scan",
        path=series.root,
        found="; ".join(sorted(found)),
        expected="planes with a place in space, such as CT or MR images",
        remedy="leave it out; nothing is read from it",
    )


def only_scan_at(path: Path) -> Series:
    """The series that a path means: one of many by its UID, else the only scan there.

    Raises DataError where there is none, or several.
    """
    root = root_of(path)
    every = series_in(root)
    if root != path:
        every = [series for series in every if series.path == path]
    scans = [series for series in every if no_scan(series) is None]
    if len(scans) == 1:
        return scans[0]
    if scans:
        raise DataError(
            "several series where one scan is expected",
            path=path,
            found=_listed(series.title for series in scans),
            expected="one",
            remedy="keep one of them there, or make a data folder of all: semivox import dicom",
        )
    others = [str(reason.found) for series in every if (reason := no_scan(series)) is not None]
    raise DataError(
        "no DICOM series that is a scan",
        path=path,
        found=_listed(f"{s.title}: {why}" for s, why in zip(every, others, strict=True)) or "no object",
        expected="one series of CT, MR or other planes",
        remedy="copy the series again",
    )


def stack_of(series: Series) -> Stack:
    """The planes of a series, sorted along their normal.

    Raises DataError where they are no volume: missing planes, uneven distances, several planes in one place,
    several directions or sizes.
    """
    planes, notes = _planes(series)
    first = planes[0]
    axes = _directions(first.frame)
    _refuse_mixed(series, planes, axes)
    normal = np.cross(axes[0], axes[1])
    planes.sort(key=lambda plane: float(np.dot(_position(plane), normal)))
    positions = np.array([_position(plane) for plane in planes])
    along = positions @ normal
    step = _step(series, planes, positions, along, normal)
    lean = float(np.linalg.norm(step - normal * (step @ normal)) / np.linalg.norm(step))
    if lean > TILTED:
        degrees = np.degrees(np.arcsin(min(lean, 1.0)))
        notes.append(
            f"{series.title}: the gantry was tilted by {degrees:.1f} degrees, so the axes are not at right "
            "angles; volumes and masks are right, but programs that know upright voxels alone place them "
            "wrongly. For those, resample the series upright first, for example with dcm2niix"
        )
    told, between = first.frame.distance, float(abs(step @ normal))
    if told and len(planes) > 1 and between > THINNED * told > 0:
        notes.append(
            f"{series.title}: planes lie {between:.5g} mm apart, and {told:g} mm by SpacingBetweenSlices; "
            "they are read as they lie, but some may be missing all over"
        )
    spacing = first.frame.spacing
    assert spacing is not None
    lps = np.eye(4)
    lps[:3] = np.column_stack([axes[0] * spacing[1], axes[1] * spacing[0], step, positions[0]])
    return Stack(series, tuple(planes), np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps, tuple(notes))


def _why_no_plane(instance: Instance) -> str | None:
    if instance.sop_class in SEGMENTATION:
        return "a segmentation"
    if not instance.rows or not instance.columns:
        return f"no picture ({instance.modality or 'no modality'})"
    if instance.sop_class.startswith(SECONDARY_CAPTURE):
        return "secondary captures (pictures of a screen)"
    if "LOCALIZER" in instance.image_type:
        return "a localiser"
    if instance.samples != 1 or instance.photometric not in ("MONOCHROME1", "MONOCHROME2"):
        return "colour pictures"
    if any(f.position is None or f.orientation is None or f.spacing is None for f in instance.frames):
        return "pictures without a place in space"
    return None


def _planes(series: Series) -> tuple[list[Plane], list[str]]:
    notes: list[str] = []
    used = [instance for instance in series.instances if _why_no_plane(instance) is None]
    aside = Counter(why for instance in series.instances if (why := _why_no_plane(instance)) is not None)
    if aside:
        told = ", ".join(f"{count} ({why})" for why, count in aside.items())
        notes.append(f"{series.title}: images of it that are no planes of the scan are left out: {told}")
    _refuse_numbers(series, used)
    for what, own in (("patients", {i.patient for i in used}), ("modalities", {i.modality for i in used})):
        if len(own - {""}) > 1:  # whoever anonymises may name all series alike
            remedy = "export each as a series of its own, with a UID of its own"
            raise _fault(series, f"images of several {what}", f"{len(own - {''})} {what}", "one", remedy)
    names = Counter(instance.uid for instance in used)
    if max(names.values()) > 1:
        raise _fault(
            series,
            "several images have one name (SOPInstanceUID)",
            f"{len(used)} images of {len(names)} names",
            "a name for each",
            "export the series again; if it was anonymised, let each image have a UID of its own",
        )
    if any(instance.photometric == "MONOCHROME1" for instance in used):
        notes.append(
            f"{series.title}: low numbers are shown bright (MONOCHROME1); they are read as they are stored, "
            "and a model that learned from other scans may take bright for dark"
        )
    return [Plane(instance, frame) for instance in used for frame in instance.frames], notes


def _refuse_numbers(series: Series, used: Sequence[Instance]) -> None:
    """Raise DataError where stored numbers would become others than the scanner meant."""
    frames = [frame for instance in used for frame in instance.frames]
    slopes = sorted({frame.slope for frame in frames})
    told = Counter(frame.told for frame in frames)
    faults = (
        (
            any(instance.has_lut for instance in used),
            "numbers are to be looked up in a table (Modality LUT)",
            "a ModalityLUTSequence",
            "a slope and an intercept, or none",
        ),
        (
            any(instance.raised for instance in used),
            "numbers do not begin at the lowest bit",
            "another HighBit than BitsStored - 1",
            "BitsStored - 1",
        ),
        (
            not np.isfinite([*slopes, *(f.intercept for f in frames)]).all() or 0 in slopes,
            "rescaled numbers would be one and the same, or none",
            f"RescaleSlope {_listed(map(str, slopes))}",
            "finite ones, a slope other than 0",
        ),
        (
            len(told) > 1,
            "some planes tell how their numbers are rescaled, others do not",
            " and ".join(f"{n} with {_told(*both)}" for both, n in told.items()),
            "in all or in none",
        ),
    )
    for found, fault, what, expected in faults:
        if found:
            raise _fault(series, fault, what, expected, "export it again, with rescaled numbers")


def _told(slope: bool, intercept: bool) -> str:
    return " and ".join(["RescaleSlope"] * slope + ["RescaleIntercept"] * intercept) or "neither"


def _directions(frame: Frame) -> np.ndarray:
    assert frame.orientation is not None
    axes = np.array(frame.orientation, np.float64).reshape(2, 3)
    lengths = np.linalg.norm(axes, axis=1, keepdims=True)
    return axes / np.where(lengths > 0, lengths, np.nan)


def _position(plane: Plane) -> np.ndarray:
    return np.array(plane.frame.position, np.float64)


def _refuse_mixed(series: Series, planes: Sequence[Plane], axes: np.ndarray) -> None:
    """Raise DataError unless all planes are parallel and of one size."""
    if not np.isfinite(axes).all() or abs(float(axes[0] @ axes[1])) > PARALLEL:
        raise _fault(
            series,
            "rows and columns are not at right angles",
            f"{planes[0].frame.orientation}",
            "two directions of length 1 at right angles",
            "export the series again",
        )
    directions = [_directions(plane.frame) for plane in planes]
    if any(not np.abs(own - axes).max() <= PARALLEL for own in directions):
        counts = Counter(tuple(np.round(own.ravel(), 2).tolist()) for own in directions)
        raise _fault(
            series,
            "planes of several directions",
            f"{len(counts)} directions, of {' and '.join(map(str, counts.values()))} planes",
            "parallel planes",
            "export each direction, or the localiser, as a series of its own",
        )
    sizes = Counter((p.instance.columns, p.instance.rows, *_spacing(p)[::-1]) for p in planes)
    if len(sizes) > 1:
        raise _fault(
            series,
            "planes of several sizes",
            _listed(
                f"{n} of {size[0]}x{size[1]} pixels of {size[2]}x{size[3]} mm" for size, n in sizes.items()
            ),
            "one size",
            "export each size as a series of its own",
        )


def _step(
    series: Series, planes: Sequence[Plane], positions: np.ndarray, along: np.ndarray, normal: np.ndarray
) -> np.ndarray:
    """From a plane to the next, in mm. Raises DataError where that is not one way for all."""
    if len(planes) == 1:
        return normal * _thickness(series, planes[0])
    gaps = np.diff(along)
    typical = float(np.median(gaps))
    _refuse_doubled(series, gaps, typical)
    _refuse_gaps(series, along, typical)
    if np.abs(along - np.linspace(along[0], along[-1], len(along))).max() > UNEVEN * typical:
        raise _fault(
            series,
            "planes at uneven distances",
            f"{gaps.min():.3f} to {gaps.max():.3f} mm",
            "one distance",
            "resample the series to even distances, or leave it out",
        )
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    line = positions[0] + np.arange(len(positions))[:, None] * step
    strayed = float(np.linalg.norm(positions - line, axis=1).max())
    if strayed > UNEVEN * min(typical, *_spacing(planes[0])):
        raise _fault(
            series,
            "planes are shifted against each other",
            f"by up to {strayed:.2f} mm",
            "planes along one line",
            "export the series again, or leave it out",
        )
    return np.asarray(step)


def _thickness(series: Series, plane: Plane) -> float:
    """Of a lone plane."""
    if not plane.frame.thickness:
        raise _fault(
            series,
            "one plane without a thickness",
            "no SliceThickness",
            "several planes, or a thickness",
            "copy the whole series",
        )
    return plane.frame.thickness


def _refuse_doubled(series: Series, gaps: np.ndarray, typical: float) -> None:
    doubled = int((gaps < 1e-3 * max(typical, 1e-3)).sum())
    if doubled or not typical > 0:
        raise _fault(
            series,
            "several planes in one place",
            f"{len(gaps) + 1} planes, of which {doubled} lie where another lies",
            "one plane in each place",
            "export each echo, phase, time or b-value as a series of its own",
        )


def _refuse_gaps(series: Series, along: np.ndarray, typical: float) -> None:
    steps = np.diff(along) / typical
    missing = np.rint(steps).astype(int) - 1
    gaps = np.flatnonzero((missing > 0) & (np.abs(steps - missing - 1) < 2 * UNEVEN))
    if len(gaps):
        at = int(gaps[0])
        raise _fault(
            series,
            "planes are missing",
            f"{int(missing[gaps].sum())} missing, the first after plane {at + 1} of {len(along)}, from "
            f"{along[at]:.2f} to {along[at + 1]:.2f} mm along the normal",
            f"a plane every {typical:g} mm",
            "copy or export the whole series; a part of it is no volume",
        )


def _spacing(plane: Plane) -> tuple[float, ...]:
    """Of rows, of columns."""
    assert plane.frame.spacing is not None
    return tuple(float(f"{length:.5g}") for length in plane.frame.spacing)


def _fault(series: Series, fault: str, found: str, expected: str, remedy: str) -> DataError:
    fault = f"{series.title}: {fault}"
    return DataError(fault, path=series.root, found=found, expected=expected, remedy=remedy)


def _listed(parts: Iterable[str]) -> str:
    found = list(parts)
    return ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")
