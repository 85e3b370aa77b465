"""RTSTRUCT: what semivox writes, drawn again by pydicom and matplotlib, and valid."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from matplotlib.path import Path as Polygon

from semivox.cohort import read_label, read_volume, segments_of_classes, write_mask
from semivox.cohort.dicom.contours import outlines
from semivox.cohort.formats import read_note
from semivox.commands.predict import predict
from semivox.errors import DataError

from .made_series import SPACING, numbers, write_series
from .test_segmentation import SEGMENTS, is_valid, mask
from .test_series import TURNED, as_one_object


def area(polygon: np.ndarray) -> float:
    x, y = polygon.T
    return abs(float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())) / 2


def drawn(polygon: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(X, Y) pixels whose centres lie within, by matplotlib's even-odd rule."""
    centres = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, 2)
    return Polygon([*polygon, polygon[0]], closed=True).contains_points(centres).reshape(shape)


@pytest.mark.parametrize("seed", range(60))
def test_an_outline_holds_its_pixels_and_their_area(seed: int) -> None:
    """Noise: pieces in pieces, holes in holes, corners that touch."""
    rng = np.random.default_rng(seed)
    pixels = rng.random(tuple(rng.integers(1, 15, 2))) < rng.random()
    found, covered = np.zeros(pixels.T.shape, int), 0.0
    for polygon in outlines(pixels):
        found += drawn(polygon, pixels.T.shape)
        covered += area(polygon)
        assert (np.abs(polygon % 1) == 0.5).all()
        assert ((polygon != np.roll(polygon, 1, 0)).sum(1) == 1).all()  # along the edges
    np.testing.assert_array_equal(found.T, pixels)
    assert covered == pixels.sum()


def ring() -> np.ndarray:
    """A class with two holes in one plane, one with a part in the hole of another, one that is not there."""
    values = np.zeros((12, 10, 8), np.uint16)
    values[1:11, 1:9, 2:5] = 1
    values[2:5, 2:5, 3], values[6:9, 5:8, 3] = 0, 0
    values[3, 3, 3] = 3
    return values


def read_back(path: Path, folder: Path, scan_shape: tuple[int, ...]) -> dict[int, np.ndarray]:
    """Structure -> mask, by the images that each contour refers to; the planes along their normal."""
    images = {}
    for file in folder.rglob("*") if folder.is_dir() else [folder]:
        if file.is_file():
            dataset = pydicom.dcmread(file)
            images[str(dataset.SOPInstanceUID)] = dataset
    first = next(iter(images.values()))
    if "PerFrameFunctionalGroupsSequence" in first:
        shared = first.SharedFunctionalGroupsSequence[0]
        orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
        rows, columns = shared.PixelMeasuresSequence[0].PixelSpacing
    else:
        orientation, (rows, columns) = first.ImageOrientationPatient, first.PixelSpacing
    axes = np.array(orientation, float).reshape(2, 3)
    normal = np.cross(*axes)

    def corner(reference: pydicom.Dataset) -> np.ndarray:
        image = images[str(reference.ReferencedSOPInstanceUID)]
        if "ReferencedFrameNumber" in reference:
            group = image.PerFrameFunctionalGroupsSequence[reference.ReferencedFrameNumber - 1]
            return np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        return np.array(image.ImagePositionPatient, float)

    found = {}
    dataset = pydicom.dcmread(path)
    series = dataset.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    listed = series.RTReferencedSeriesSequence[0].ContourImageSequence
    assert {str(item.ReferencedSOPInstanceUID) for item in listed} == set(images)
    along = sorted(
        {round(float(p @ normal), 3) for p in map(corner, listed)} if len(images) > 1
        else {round(float(np.array(g.PlanePositionSequence[0].ImagePositionPatient, float) @ normal), 3)
              for g in first.PerFrameFunctionalGroupsSequence}
    )  # fmt: skip
    for structure in dataset.ROIContourSequence:
        values = np.zeros(scan_shape, int)
        for contour in structure.get("ContourSequence", []):
            assert contour.ContourGeometricType == "CLOSED_PLANAR"
            points = np.array(contour.ContourData, float).reshape(-1, 3)
            assert len(points) == contour.NumberOfContourPoints
            place = corner(contour.ContourImageSequence[0])
            assert np.abs((points - place) @ normal).max() < 1e-3
            polygon = (points - place) @ axes.T / (float(columns), float(rows))
            plane = int(np.argmin(np.abs(np.array(along) - place @ normal)))
            values[:, :, plane] += drawn(polygon, scan_shape[:2])
        assert values.max(initial=0) <= 1
        found[int(structure.ReferencedROINumber)] = values
    return found


@pytest.mark.parametrize("values", [mask(), ring(), mask(empty=True)], ids=["parts", "holes", "empty"])
@pytest.mark.parametrize("axes", [np.eye(3), TURNED, np.diag([1.0, 1, -1])])
def test_it_is_drawn_again_as_the_same_voxels(tmp_path: Path, values: np.ndarray, axes: np.ndarray) -> None:
    write_series(tmp_path / "a", numbers(), axes=axes)
    scan = read_volume(tmp_path / "a")
    path = write_mask(tmp_path / "out/a", values, scan, "rtstruct", "a note", SEGMENTS)
    assert path.name == "a.rtstruct.dcm"
    for number, again in read_back(path, tmp_path / "a", scan.shape).items():
        np.testing.assert_array_equal(again, values == SEGMENTS[number - 1].value)
    dataset, file = pydicom.dcmread(path), pydicom.dcmread(next((tmp_path / "a").iterdir()))
    for name in ("PatientID", "PatientName", "StudyInstanceUID", "StudyDate"):
        assert dataset[name] == file[name]
    assert [s.ROIName for s in dataset.StructureSetROISequence] == ["liver", "lesion", "odd one"]
    assert list(dataset.ROIContourSequence[1].ROIDisplayColor) == [255, 0, 51]
    code = dataset.RTROIObservationsSequence[0].RTROIIdentificationCodeSequence[0]
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("10200004", "SCT")
    assert read_note(path) == "a note"
    assert is_valid(path)


def test_its_volume_is_that_of_the_mask(tmp_path: Path) -> None:
    write_series(tmp_path / "a", numbers())
    scan = read_volume(tmp_path / "a")
    dataset = pydicom.dcmread(write_mask(tmp_path / "m", ring(), scan, "rtstruct", "", SEGMENTS))
    for structure, segment in zip(dataset.ROIContourSequence, SEGMENTS, strict=True):
        planes = [np.array(c.ContourData, float).reshape(-1, 3) for c in structure.get("ContourSequence", [])]
        mm3 = SPACING[2] * sum(area(points[:, :2]) for points in planes)
        assert mm3 == pytest.approx((ring() == segment.value).sum() * np.prod(SPACING), rel=1e-5)


def test_of_one_object_with_many_frames_and_of_a_tilted_gantry(tmp_path: Path) -> None:
    write_series(tmp_path / "a", numbers(), axes=TURNED)
    as_one_object(tmp_path / "a", tmp_path / "b.dcm")
    write_series(tmp_path / "t", numbers(), shift=lambda k: (0, 0.9 * k, 0))
    for place in ("b.dcm", "t"):
        scan = read_volume(tmp_path / place)
        path = write_mask(tmp_path / f"m{place[0]}", ring(), scan, "rtstruct", "", SEGMENTS)
        for number, again in read_back(path, tmp_path / place, scan.shape).items():
            np.testing.assert_array_equal(again, ring() == SEGMENTS[number - 1].value)
        assert is_valid(path)


def test_a_long_contour_stays_one(tmp_path: Path) -> None:
    """Of more letters than the type of its points may have in explicit syntax."""
    pixels = np.zeros((2000, 20, 2), np.uint8)
    pixels[::2], pixels[:, 0] = 1, 1
    write_series(tmp_path / "a", np.zeros(pixels.shape, np.uint16))
    path = write_mask(tmp_path / "m", pixels, read_volume(tmp_path / "a"), "rtstruct", "", SEGMENTS[:1])
    [first, _] = pydicom.dcmread(path).ROIContourSequence[0].ContourSequence
    assert first["ContourData"].VR == "DS"
    assert len(first.ContourData) == 3 * first.NumberOfContourPoints > 3 * 4000


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not here (Debian: dicom3tools)")
def test_the_validator_sees_faults(tmp_path: Path) -> None:
    write_series(tmp_path / "a", numbers())
    path = write_mask(tmp_path / "m", mask(), read_volume(tmp_path / "a"), "rtstruct", "", SEGMENTS)
    broken = pydicom.dcmread(path)
    del broken.StructureSetROISequence[0].ROIGenerationAlgorithm
    broken.StructureSetLabel = ""
    broken.save_as(tmp_path / "broken.dcm")
    assert not is_valid(tmp_path / "broken.dcm")


def test_predict_writes_it_and_nobody_takes_it_for_a_label(tmp_path: Path, untrained: Path) -> None:
    write_series(tmp_path / "s/a", numbers())
    report = predict(untrained, tmp_path / "s", tmp_path / "out", format="rtstruct", device="cpu")
    assert [row.mask for row in report.rows] == ["a.rtstruct.dcm"]
    for format in ("rtstruct", "dicom-seg", "dicom-seg", "rtstruct"):  # over its own
        assert predict(untrained, tmp_path / "s", tmp_path / "out", format=format, device="cpu").failed == ()
    predict(untrained, tmp_path / "s", tmp_path / "plain", device="cpu")
    scan = read_volume(tmp_path / "s/a")
    again = read_back(tmp_path / "out/a.rtstruct.dcm", tmp_path / "s/a", scan.shape)
    expected = read_label(tmp_path / "plain/a.nii.gz").array[0]
    for number, value in ((1, 1), (2, 3)):
        np.testing.assert_array_equal(again[number], expected == value)
    with pytest.raises(DataError, match="a structure set .* is not read"):
        read_label(tmp_path / "out/a.rtstruct.dcm")
    write_series(tmp_path / "b/a", numbers(), change=lambda _, plane: delattr(plane, "FrameOfReferenceUID"))
    [row] = predict(untrained, tmp_path / "b", tmp_path / "o2", format="rtstruct", device="cpu").rows
    assert "series 4 'Abdomen 4' (CT): no structure set of it can be written" in row.reason


CHARACTERS = {
    "latin": ("ISO_IR 100", "Müller^Jürgen"),
    "unicode": ("ISO_IR 192", "山田^太郎"),
    "japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "none": (None, "DOE^JANE"),
}


@pytest.mark.parametrize("kind", ["dicom-seg", "rtstruct"])
@pytest.mark.parametrize("scanner", CHARACTERS)
def test_names_keep_their_letters_whatever_the_scanner_writes(
    tmp_path: Path, kind: str, scanner: str, recwarn: pytest.WarningsRecorder
) -> None:
    letters, patient = CHARACTERS[scanner]
    tags = {} if letters is None else {"SpecificCharacterSet": letters}
    write_series(tmp_path / "a", numbers(), PatientName=patient, **tags)
    names = {1: "Läsion", 3: "肝", 4: " left\\right\t\x85lobe\n", 5: "x" * 100, 6: "\\"}
    segments = segments_of_classes(names, {"肝": {"value": "10200004", "meaning": "肝\\臓"}}, {})
    path = write_mask(tmp_path / "m", mask(), read_volume(tmp_path / "a"), kind, "", segments)
    dataset = pydicom.dcmread(path)
    if kind == "rtstruct":
        found = [str(structure.ROIName) for structure in dataset.StructureSetROISequence]
        code = dataset.RTROIObservationsSequence[1].RTROIIdentificationCodeSequence[0]
    else:
        found = [str(segment.SegmentLabel) for segment in dataset.SegmentSequence]
        code = dataset.SegmentSequence[1].SegmentedPropertyTypeCodeSequence[0]
    assert found == ["Läsion", "肝", "left/right lobe", "x" * 64, "/"]
    assert code.CodeMeaning == "肝/臓"
    assert str(dataset.PatientName) == patient
    assert is_valid(path, ("Error",))
    assert not [w for w in recwarn if "code value with encodings" in str(w.message)]


def test_regions_are_structures_that_overlap(tmp_path: Path) -> None:
    """The whole with its parts, whose values stand in the same voxels."""
    write_series(tmp_path / "a", numbers())
    scan, values = read_volume(tmp_path / "a"), ring()
    parts = {1: (1, 3), 2: (3,)}
    segments = segments_of_classes({1: "whole", 2: "part"}, {}, {}, parts)
    path = write_mask(tmp_path / "out/a", values, scan, "rtstruct", "", segments)
    found = read_back(path, tmp_path / "a", values.shape)
    for number, own in parts.items():
        np.testing.assert_array_equal(found[number], np.isin(values, own))
