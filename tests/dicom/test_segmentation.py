"""DICOM SEG: what semivox writes, read back by pydicom, highdicom, SimpleITK and itself, and valid."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813

from semivox.cohort import (
    Region,
    Regions,
    Volume,
    check_cohort,
    read_geometry,
    read_label,
    read_segments,
    read_volume,
    write_mask,
)
from semivox.cohort.dicom.derived import MAY_BE_EMPTY
from semivox.cohort.segments import Code, Segment, segments_of_classes
from semivox.commands.evaluate import evaluate
from semivox.commands.predict import predict
from semivox.errors import DataError

from .made_series import numbers, write_series
from .test_series import TURNED, as_one_object

SEGMENTS = segments_of_classes(
    {1: "liver", 3: "lesion", 900: "odd one"}, {"liver": "SCT 10200004"}, {"lesion": "#ff0033"}
)


def mask(empty: bool = False) -> np.ndarray:
    values = np.zeros((12, 10, 8), np.uint16)
    if not empty:
        values[2:6, 1:9, 3:7], values[7:9, 2:5, 0:2], values[8:11, 6:9, 5:8] = 1, 3, 900
    return values


def write(tmp_path: Path, values: np.ndarray, **series: object) -> tuple[Path, Volume]:
    write_series(tmp_path / "a", numbers(), **series)  # type: ignore[arg-type]
    scan = read_volume(tmp_path / "a")
    return write_mask(tmp_path / "out/a", values, scan, "dicom-seg", "a note", SEGMENTS), scan


@pytest.mark.parametrize("empty", [False, True])
@pytest.mark.parametrize("axes", [np.eye(3), TURNED, np.diag([1.0, 1, -1])])
def test_it_reads_back_as_the_same_voxels(tmp_path: Path, empty: bool, axes: np.ndarray) -> None:
    path, scan = write(tmp_path, mask(empty), axes=axes)
    assert path.name == "a.seg.dcm"
    label, header = read_label(path), read_geometry(path, label=True)
    np.testing.assert_array_equal(label.array[0], mask(empty))
    np.testing.assert_allclose(label.affine, scan.affine, atol=1e-5)
    assert (header.shape, header.dtype) == (label.shape, label.array.dtype)
    names = [(s.value, s.name, s.code) for s in read_segments(path)]
    assert names == [
        (1, "liver", Code("10200004", "SCT", "liver")),
        (3, "lesion", None),
        (900, "odd one", None),
    ]
    # highdicom finds the planes by the images they refer to
    found = hd.seg.segread(path)
    files = [pydicom.dcmread(file) for file in (tmp_path / "a").iterdir()]
    files.sort(key=lambda f: float(np.dot(f.ImagePositionPatient, np.cross(axes[:, 0], axes[:, 1]))))
    planes = found.get_pixels_by_source_instance([f.SOPInstanceUID for f in files], combine_segments=True)
    numbered = np.select([mask(empty) == s.value for s in SEGMENTS], [1, 2, 3], 0)
    np.testing.assert_array_equal(planes.transpose(2, 1, 0), numbered)
    assert found.PatientID == files[0].PatientID
    assert found.StudyInstanceUID == files[0].StudyInstanceUID
    assert found.ReferencedSeriesSequence[0].SeriesInstanceUID == files[0].SeriesInstanceUID


def test_simpleitk_sees_the_frames(tmp_path: Path) -> None:
    path, _ = write(tmp_path, mask())
    frames = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    assert {*np.unique(frames)} == {0, 255}
    assert int((frames > 0).sum()) == int((mask() > 0).sum())


def test_of_one_object_with_many_frames(tmp_path: Path) -> None:
    write_series(tmp_path / "a", numbers(), axes=TURNED)
    as_one_object(tmp_path / "a", tmp_path / "b.dcm")
    path = write_mask(tmp_path / "m", mask(), read_volume(tmp_path / "b.dcm"), "dicom-seg", "", SEGMENTS)
    np.testing.assert_array_equal(read_label(path).array[0], mask())
    np.testing.assert_allclose(read_label(path).affine, read_volume(tmp_path / "a").affine, atol=1e-5)


def test_a_tilted_gantry_keeps_its_grid(tmp_path: Path) -> None:
    path, scan = write(tmp_path, mask(), shift=lambda k: (0, 0.9 * k, 0))
    np.testing.assert_array_equal(read_label(path).array[0], mask())
    np.testing.assert_allclose(read_label(path).affine, scan.affine, atol=1e-5)


def test_a_correction_is_a_new_object(tmp_path: Path) -> None:
    """An archive keeps the old one under the same UID."""
    first, scan = write(tmp_path, mask())
    again = write_mask(tmp_path / "again", mask(), scan, "dicom-seg", "", SEGMENTS)
    uids = {(d := pydicom.dcmread(path)).SOPInstanceUID for path in (first, again)}
    assert len(uids) == 2
    assert d.file_meta.MediaStorageSOPInstanceUID == d.SOPInstanceUID


def is_valid(path: Path, faults: tuple[str, ...] = ("Error", "Warning")) -> bool:
    """By dciodvfy (Debian's dicom3tools), where it is installed; else nothing is known against it."""
    if shutil.which("dciodvfy") is None:
        return True
    done = subprocess.run(["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return not [line for line in lines if line.startswith(faults)]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not here (Debian: dicom3tools)")
def test_it_is_valid(tmp_path: Path) -> None:
    path, _ = write(tmp_path, mask())
    assert is_valid(path)
    broken = pydicom.dcmread(path)
    del broken.SegmentSequence[0].SegmentLabel
    broken.save_as(tmp_path / "broken.dcm")
    assert not is_valid(tmp_path / "broken.dcm")


def test_what_others_leave_out_is_background(tmp_path: Path) -> None:
    """Most programs write the planes alone that hold something."""
    write_series(tmp_path / "a", numbers())
    files = sorted((pydicom.dcmread(f) for f in (tmp_path / "a").iterdir()), key=lambda d: d.InstanceNumber)
    values = mask()
    values[values == 900] = 0
    values[:, :, 4] = 0
    values[values == 3] = 2
    kind = hd.sr.CodedConcept("85756007", "SCT", "Tissue")
    segments = [hd.seg.SegmentDescription(i, f"part {i}", kind, kind, "MANUAL") for i in (1, 2)]
    made = hd.seg.Segmentation(
        files, values.transpose(2, 1, 0).astype(np.uint8), "BINARY", segments, hd.UID(), 7, hd.UID(), 1,
        "none", "none", "1", "1",
    )  # fmt: skip
    made.save_as(tmp_path / "a.seg.dcm")
    label = read_label(tmp_path / "a.seg.dcm")
    held = np.flatnonzero(values.any((0, 1)))
    np.testing.assert_array_equal(label.array[0], values[:, :, held[0] : held[-1] + 1])
    assert read_segments(tmp_path / "a.seg.dcm") == (Segment(1, "part 1"), Segment(2, "part 2"))


def test_other_scans_and_objects_are_refused(tmp_path: Path) -> None:
    plain = Volume(numbers()[None], np.eye(4))
    with pytest.raises(DataError, match="refers to the images of a DICOM series"):
        write_mask(tmp_path / "m", mask(), plain, "dicom-seg", "", SEGMENTS)
    (first, *_) = write_series(tmp_path / "a", numbers())
    first.rename(tmp_path / "x.seg.dcm")
    with pytest.raises(DataError, match="no DICOM segmentation"):
        read_label(tmp_path / "x.seg.dcm")
    with pytest.raises(DataError, match=r"series 4 'Abdomen 4' \(CT\): no DICOM segmentation"):
        write(tmp_path / "b", mask(), change=lambda _, plane: delattr(plane, "FrameOfReferenceUID"))


def test_an_anonymised_scan_will_do(tmp_path: Path) -> None:
    def anonymise(_: int, plane: pydicom.Dataset) -> None:
        for name in MAY_BE_EMPTY:
            delattr(plane, name)

    path, _ = write(tmp_path, mask(), change=anonymise)
    np.testing.assert_array_equal(read_label(path).array[0], mask())
    assert is_valid(path, ("Error",))  # a warning says that nobody can file it by its patient


def test_predict_writes_it_and_evaluate_reads_it(tmp_path: Path, untrained: Path) -> None:
    for case in "ab":
        write_series(tmp_path / f"s/{case}", numbers(ord(case)))
    out = tmp_path / "out"
    assert predict(untrained, tmp_path / "s", out, format="dicom-seg", probabilities=True).failed == ()
    assert predict(untrained, tmp_path / "s", out, format="dicom-seg", skip_existing=True).skipped == (
        "a",
        "b",
    )
    predict(untrained, tmp_path / "s", tmp_path / "plain")
    predict(untrained, tmp_path / "s", tmp_path / "slicer", format="seg.nrrd")
    for case in "ab":
        expected = read_label(tmp_path / f"plain/{case}.nii.gz")
        assert len(np.unique(expected.array)) > 1
        for other in (out / f"{case}.seg.dcm", tmp_path / f"slicer/{case}.seg.nrrd"):
            np.testing.assert_array_equal(read_label(other).array, expected.array)
            assert [s.name for s in read_segments(other)] == ["liver", "lesion"]
    scores = evaluate(out, tmp_path / "slicer")
    assert all(row["dice"] in (1, None) for rows in scores["cases"].values() for row in rows.values())


def test_a_part_of_the_grid_is_a_label_of_the_whole(tmp_path: Path) -> None:
    """Of other programs, which leave out what is empty; a box of other voxels is refused."""
    values = np.zeros((12, 10, 8), np.uint8)
    values[3:7, 2:5, 4:6] = 1
    (tmp_path / "labelsTr").mkdir()
    write_series(tmp_path / "imagesTr/a_0000", numbers(), axes=TURNED)
    scan = read_volume(tmp_path / "imagesTr/a_0000")
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "liver": 1}}))
    for shift, errors in ((0.0, 0), (0.4, 1)):
        affine = scan.affine.copy()
        affine[:3, 3] += scan.affine[:3, :3] @ [3 + shift, 2, 4]
        part = Volume(values[None, 3:8, 2:6, 4:7], affine)
        write_mask(tmp_path / "labelsTr/a", part.array[0], part, "seg.nrrd", "", SEGMENTS[:1])
        assert len(check_cohort(tmp_path).errors) == errors
        if not errors:
            label = read_label(tmp_path / "labelsTr/a.seg.nrrd", scan)
            np.testing.assert_array_equal(label.array[0], values)
            np.testing.assert_array_equal(label.affine, scan.affine)
            write_mask(tmp_path / "masks/a", values, scan, "nii.gz")
            scores = evaluate(tmp_path / "masks", tmp_path)["cases"]["a"]
            assert scores["1"]["dice"] == 1


REGIONS = Regions((Region("whole", (1, 3, 5), 1), Region("part", (3, 5), 3), Region("other", (5, 7), 7)))


@pytest.mark.parametrize("one", [False, True])
def test_regions_are_segments_that_overlap(tmp_path: Path, one: bool) -> None:
    """Read by highdicom segment by segment, and back by their names, from many objects and from one."""
    write_series(tmp_path / "a", numbers())
    if one:
        as_one_object(tmp_path / "a", tmp_path / "b.dcm")
    scan = read_volume(tmp_path / ("b.dcm" if one else "a"))
    values = np.random.default_rng(0).choice([0, 1, 3, 5, 7], (12, 10, 8))
    values[:, :, 2] = 0  # a plane without any
    segments = segments_of_classes(REGIONS.names, {}, {}, REGIONS.parts)
    path = write_mask(tmp_path / "out/a", values, scan, "dicom-seg", "", segments)
    np.testing.assert_array_equal(read_label(path, scan, regions=REGIONS).array[0], values)
    found = hd.seg.segread(path)
    assert [found.get_segment_description(n).segment_label for n in (1, 2, 3)] == ["whole", "part", "other"]
    volume = found.get_volume(combine_segments=False).array  # planes in one or the other direction
    for number, parts in REGIONS.parts.items():
        assert volume[..., number - 1].sum() == np.isin(values, parts).sum()
    with pytest.raises(DataError, match="overlap"):
        read_label(path, scan)
