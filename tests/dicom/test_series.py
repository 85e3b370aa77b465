"""Series as volumes: voxels and affine as SimpleITK reads them where that is right, else an error."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from semivox.cohort import (
    Case,
    case_identity,
    check_cohort,
    files_sha256,
    find_scans,
    load_cohort,
    read_geometry,
    read_volume,
)
from semivox.errors import DataError

from .made_series import NAME, PATIENT, numbers, write_series

FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])
TURNED = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
TURNED *= np.sign(np.linalg.det(TURNED))


def by_simpleitk(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """(X, Y, Z), and voxel index to mm in RAS+."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).T, FLIP @ affine


def same_as_simpleitk(folder: Path) -> None:
    volume, header = read_volume(folder), read_geometry(folder)
    array, affine = by_simpleitk(folder)
    np.testing.assert_allclose(volume.array[0], array, rtol=1e-6)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-4)
    assert (header.shape, header.channels, header.dtype) == (volume.shape, 1, volume.array.dtype)
    np.testing.assert_array_equal(header.affine, volume.affine)
    assert volume.notes == ()


@pytest.mark.parametrize("modality", ["CT", "MR"])
@pytest.mark.parametrize("axes", [np.eye(3), TURNED, np.eye(3)[:, [1, 2, 0]], np.diag([1.0, 1, -1])])
def test_planes_of_any_direction(tmp_path: Path, modality: str, axes: np.ndarray) -> None:
    write_series(tmp_path / "a", numbers(), axes=axes, modality=modality)
    same_as_simpleitk(tmp_path / "a")


def test_numbers_are_rescaled_plane_by_plane(tmp_path: Path) -> None:
    stored = numbers() - 1000
    slopes, intercepts = np.linspace(0.5, 2, 8), np.linspace(-3, 4, 8)
    write_series(tmp_path / "a", stored, slopes=slopes, intercepts=intercepts, signed=True, modality="PT")
    read = read_volume(tmp_path / "a").array[0]
    np.testing.assert_allclose(read, stored * slopes + intercepts, rtol=1e-5)
    assert read.dtype == read_geometry(tmp_path / "a").dtype == np.float32


def test_the_largest_numbers_stay(tmp_path: Path) -> None:
    stored = numbers()
    stored[0, 0, :] = 65535
    write_series(tmp_path / "a", stored)
    assert read_volume(tmp_path / "a").array.max() == 65535 - 1024


def compressed(syntax: Any) -> Callable[[int, Dataset], None]:
    encoders = {
        JPEGLSLossless: imagecodecs.jpegls_encode,
        JPEGLosslessSV1: imagecodecs.ljpeg_encode,
        JPEG2000Lossless: lambda rows: imagecodecs.jpeg2k_encode(
            rows, codecformat="j2k", reversible=True, level=0
        ),
    }

    def change(_: int, plane: Dataset) -> None:
        if syntax == DeflatedExplicitVRLittleEndian:
            plane.file_meta.TransferSyntaxUID = syntax
        elif syntax == RLELossless:
            plane.compress(syntax, generate_instance_uid=False)
        else:
            rows = np.frombuffer(plane.PixelData, np.uint16).reshape(plane.Rows, plane.Columns)
            plane.PixelData = encapsulate([encoders[syntax](rows)])
            plane["PixelData"].VR = "OB"
            plane.file_meta.TransferSyntaxUID = syntax

    return change


@pytest.mark.parametrize(
    "syntax", [JPEGLSLossless, JPEGLosslessSV1, JPEG2000Lossless, RLELossless, DeflatedExplicitVRLittleEndian]
)
def test_compressed_series(tmp_path: Path, syntax: Any) -> None:
    write_series(tmp_path / "a", numbers(), change=compressed(syntax))
    same_as_simpleitk(tmp_path / "a")
    np.testing.assert_array_equal(read_volume(tmp_path / "a").array[0], numbers() - 1024)


SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
SCANNED = [
    "CT_small", "MR_small", "MR_small_RLE", "MR_small_bigendian", "MR_small_implicit", "MR_small_expb",
    "MR_small_jp2klossless", "MR_small_jpeg_ls_lossless", "693_J2KI", "J2K_pixelrep_mismatch",
]  # fmt: skip


@pytest.mark.parametrize("name", [n for n in SCANNED if (SHIPPED / f"{n}.dcm").is_file()])
def test_files_of_real_scanners(name: str) -> None:
    """A file alone is a volume of one plane, as thick as it says."""
    volume, image = read_volume(SHIPPED / f"{name}.dcm"), sitk.ReadImage(str(SHIPPED / f"{name}.dcm"))
    np.testing.assert_array_equal(volume.array[0], sitk.GetArrayFromImage(image).T)
    np.testing.assert_allclose(volume.voxel_edges[:2], image.GetSpacing()[:2], rtol=1e-6)
    np.testing.assert_allclose((FLIP @ volume.affine)[:3, 3], image.GetOrigin(), atol=1e-4)


def as_one_object(folder: Path, path: Path) -> None:
    """The planes of a series as the frames of one enhanced object, in the order of their files' names."""
    planes = [pydicom.dcmread(file) for file in sorted(folder.iterdir())]
    whole = pydicom.dcmread(sorted(folder.iterdir())[0])
    whole.SOPClassUID, whole.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2.1", generate_uid()
    whole.file_meta.MediaStorageSOPClassUID = whole.SOPClassUID
    whole.file_meta.MediaStorageSOPInstanceUID = whole.SOPInstanceUID
    whole.NumberOfFrames = len(planes)
    whole.PixelData = b"".join(plane.PixelData for plane in planes)
    shared, measures, rescale, turn = Dataset(), Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = whole.PixelSpacing, whole.SliceThickness
    rescale.RescaleSlope, rescale.RescaleIntercept = whole.RescaleSlope, whole.RescaleIntercept
    turn.ImageOrientationPatient = whole.ImageOrientationPatient
    shared.PixelMeasuresSequence, shared.PixelValueTransformationSequence = [measures], [rescale]
    shared.PlaneOrientationSequence = [turn]
    whole.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for plane in planes:
        group, place = Dataset(), Dataset()
        place.ImagePositionPatient = plane.ImagePositionPatient
        group.PlanePositionSequence = [place]
        groups.append(group)
    whole.PerFrameFunctionalGroupsSequence = groups
    for name in ("PixelSpacing", "SliceThickness", "RescaleSlope", "RescaleIntercept"):
        delattr(whole, name)
    del whole.ImagePositionPatient, whole.ImageOrientationPatient
    whole.save_as(path, enforce_file_format=True)


def test_one_series_in_many_shapes(tmp_path: Path) -> None:
    """Files in a folder, scattered over folders, in an archive, twice, or as one object of many frames."""
    array = numbers()
    files = write_series(tmp_path / "a", array, axes=TURNED)
    expected = read_volume(tmp_path / "a")
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for i, file in enumerate(files):
            archive.write(file, f"study/{i % 3}/{file.name}.dcm")
        archive.writestr("study/readme.txt", "no object")
    for i, file in enumerate(files):
        at = tmp_path / "c" / str(i % 3)
        at.mkdir(parents=True, exist_ok=True)
        os.link(file, at / file.name)
        os.link(file, tmp_path / "c" / f"{file.name} again")
    as_one_object(tmp_path / "a", tmp_path / "d.dcm")
    for path in (tmp_path / "b.zip", tmp_path / "c", tmp_path / "d.dcm"):
        volume = read_volume(path)
        np.testing.assert_array_equal(volume.array, expected.array)
        np.testing.assert_allclose(volume.affine, expected.affine, atol=1e-9)
        assert case_identity(Case("x", (path,))) == case_identity(Case("y", (tmp_path / "a",)))
    assert files_sha256(Case("x", (tmp_path / "b.zip",))) == files_sha256(Case("y", (tmp_path / "a",)))


def twice(_: int, plane: Dataset) -> None:
    plane.ImagePositionPatient = [
        *plane.ImagePositionPatient[:2],
        30 + 2.5 * ((plane.InstanceNumber - 1) // 2),
    ]


def turn_two(k: int, plane: Dataset) -> None:
    if k < 2:
        plane.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]


def widen_one(k: int, plane: Dataset) -> None:
    if k == 3:
        plane.PixelSpacing = [0.9, 0.9]


def name_all_alike(_: int, plane: Dataset) -> None:
    """As an anonymiser that gives every object one UID."""
    plane.SOPInstanceUID = plane.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"


def raise_numbers(_: int, plane: Dataset) -> None:
    plane.BitsStored, plane.HighBit = 12, 15


def tell_some(k: int, plane: Dataset) -> None:
    if k > 3:
        del plane.RescaleIntercept


MODES = ("CT", "MR")
BAD = {
    "planes are missing": {"left_out": (3, 4)},
    "uneven distances": {"shift": lambda k: (0, 0, 0.06 * k * k)},
    "several planes in one place": {"change": twice},
    "several directions": {"change": turn_two},
    "several sizes": {"change": widen_one},
    "shifted against each other": {"shift": lambda k: (2.0 * (k % 2), 0, 0)},
    "several images have one name": {"change": name_all_alike},
    "do not begin at the lowest bit": {"change": raise_numbers},
    "one and the same, or none": {"RescaleSlope": 0},
    "others do not": {"change": tell_some},
    "images of several patients": {"change": lambda k, plane: setattr(plane, "PatientID", f"P-{k // 4}")},
    "images of several modalities": {"change": lambda k, plane: setattr(plane, "Modality", MODES[k // 4])},
    "one plane without a thickness": {"left_out": range(1, 8), "SliceThickness": None},
}  # fmt: skip


@pytest.mark.parametrize("fault", BAD)
def test_what_is_no_volume_is_refused_by_the_name_of_its_series(tmp_path: Path, fault: str) -> None:
    options: dict[str, Any] = dict(BAD[fault])  # type: ignore[call-overload]
    write_series(tmp_path / "scans/a", numbers(), **options)
    for reads in (read_volume, read_geometry):
        with pytest.raises(DataError) as raised:
            reads(tmp_path / "scans/a")
        said = str(raised.value)
        assert fault in said
        assert "series 4 'Abdomen 4' (CT)" in said
        assert raised.value.remedy
        assert not any(word in said for word in (PATIENT, *NAME.split("^")))
    (finding,) = check_cohort(tmp_path / "scans").errors
    assert fault in finding.fault


def test_a_gap_does_not_stretch_the_rest(tmp_path: Path) -> None:
    """What SimpleITK does with it, which is why it is refused."""
    write_series(tmp_path / "a", numbers(), left_out=(3,))
    assert by_simpleitk(tmp_path / "a")[1][2, 2] == pytest.approx(2.5 * 7 / 6)
    with pytest.raises(DataError, match="1 missing, the first after plane 3 of 7"):
        read_volume(tmp_path / "a")


def test_a_tilted_gantry_has_right_volumes_and_a_finding(tmp_path: Path) -> None:
    write_series(tmp_path / "scans/a", numbers(), shift=lambda k: (0, 0.9 * k, 0))
    volume = read_volume(tmp_path / "scans/a")
    np.testing.assert_allclose(abs(np.linalg.det(volume.affine[:3, :3])), 0.7 * 0.8 * 2.5)
    np.testing.assert_allclose((volume.affine @ [0, 0, 7, 1])[:3], [10, 20 - 0.9 * 7, 30 + 2.5 * 7])
    assert "tilted by 19.8 degrees" in volume.notes[0]
    report = check_cohort(tmp_path / "scans")
    assert report.errors == ()
    assert any("series 4 'Abdomen 4' (CT): the gantry was tilted" in f.fault for f in report.warnings)


def test_planes_that_thin_out_evenly_are_told(tmp_path: Path) -> None:
    """They look like a scan of thick planes; what the header has of their distance tells them apart."""
    odd = {"left_out": (1, 3, 5, 7)}
    write_series(tmp_path / "a", numbers(), SpacingBetweenSlices=2.5, **odd)
    (note,) = read_volume(tmp_path / "a").notes
    assert "planes lie 5 mm apart, and 2.5 mm by SpacingBetweenSlices" in note
    for name, told in (("b", 2.5), ("c", 5.0), ("d", None), ("e", 0.0)):  # as they lie; wider; not at all
        write_series(tmp_path / name, numbers(), SpacingBetweenSlices=told)
        assert read_volume(tmp_path / name).notes == ()


@pytest.mark.parametrize("damage", ["empty", "zeros", "cut", "garbage"])
def test_a_file_at_the_end_that_cannot_be_read_is_told(tmp_path: Path, damage: str) -> None:
    """The rest is a whole volume by itself, one plane shorter."""
    files = write_series(tmp_path / "scans/a", numbers())
    last = max(files, key=lambda file: pydicom.dcmread(file, stop_before_pixels=True).InstanceNumber)
    content = last.read_bytes()
    garbage = np.random.default_rng(0).bytes(200)
    last.with_suffix(".dcm").write_bytes(
        {
            "empty": b"",
            "zeros": bytes(len(content)),
            "cut": content[:200],
            "garbage": content[:200] + garbage + content[400:],
        }[damage]
    )
    last.unlink()
    volume = read_volume(tmp_path / "scans/a")
    assert volume.shape[2] == 7
    assert volume.notes == (
        "1 file(s) of DICOM beside its images cannot be read, so it may lack its first or last planes",
    )
    report = check_cohort(tmp_path / "scans")
    assert report.errors == ()
    assert any(finding.case == "a" and "cannot be read" in finding.fault for finding in report.warnings)


def test_a_damaged_archive_fails_by_itself(tmp_path: Path) -> None:
    """Whatever a decompressor says of it, in the listing of scans and in reading them."""
    files = write_series(tmp_path / "a", numbers(shape=(30, 30, 8)))
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.name)
    content, told = (tmp_path / "a.zip").read_bytes(), 0
    for seed in range(40):
        draw, damaged = np.random.default_rng(seed), bytearray(content)
        for at in draw.integers(0, len(content) - 1000, 20):  # not in the list of members
            damaged[at] ^= 1 << int(draw.integers(8))
        path = tmp_path / f"{seed}.zip"
        path.write_bytes(damaged)
        scans = find_scans([path])
        try:
            volume = read_volume(path)
            told += bool(volume.notes)
            assert volume.shape[2] == 8 or volume.notes
        except DataError:
            told += 1
    assert told > 20
    assert scans.cases


def test_a_localiser_in_the_series_is_left_out_with_a_finding(tmp_path: Path) -> None:
    def mark(k: int, plane: Dataset) -> None:
        if k == 0:
            plane.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
            plane.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]

    write_series(tmp_path / "a", numbers(), change=mark)
    volume = read_volume(tmp_path / "a")
    np.testing.assert_array_equal(volume.array[0], numbers()[..., 1:] - 1024)
    assert "left out: 1 (a localiser)" in volume.notes[0]


def test_low_numbers_shown_bright_are_told(tmp_path: Path) -> None:
    write_series(tmp_path / "a", numbers(), PhotometricInterpretation="MONOCHROME1")
    volume = read_volume(tmp_path / "a")
    np.testing.assert_array_equal(volume.array[0], numbers() - 1024)
    assert "MONOCHROME1" in volume.notes[0]
    # SimpleITK turns the stored numbers round before it rescales them: they are no Hounsfield units then
    np.testing.assert_array_equal(by_simpleitk(tmp_path / "a")[0], 65535 - numbers() - 1024)


def test_what_is_no_scan_is_named(tmp_path: Path) -> None:
    write_series(tmp_path / "s/scan", numbers())
    write_series(tmp_path / "s/loc", numbers(), number=1, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write_series(tmp_path / "s/screen", numbers(), number=99, SOPClassUID=SecondaryCaptureImageStorage)
    write_series(tmp_path / "s/flat", numbers(), number=5, ImagePositionPatient=None)
    report = check_cohort(tmp_path / "s")
    assert (report.cases, report.errors, report.channels) == (1, (), ("CT",))
    found = {finding.fault: finding.found for finding in report.findings}
    assert found == {
        "series 1 'Abdomen 1' (CT) is no scan": "a localiser",
        "series 5 'Abdomen 5' (CT) is no scan": "pictures without a place in space",
        "series 99 'Abdomen 99' (CT) is no scan": "secondary captures (pictures of a screen)",
    }
    assert [case.name for case in load_cohort(tmp_path / "s").cases] == ["scan"]


def test_broken_and_foreign_objects(tmp_path: Path) -> None:
    files = write_series(tmp_path / "a", numbers())
    content = files[2].read_bytes()
    files[2].write_bytes(content[: len(content) - 40])
    with pytest.raises(DataError, match="series 4 'Abdomen 4': an image cannot be decoded"):
        read_volume(tmp_path / "a")
    files[2].write_bytes(content[:200])
    with pytest.raises(DataError, match="planes are missing"):
        read_volume(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b/c.dcm").write_bytes(b"x" * 500)
    with pytest.raises(DataError, match="no DICOM series"):
        read_volume(tmp_path / "b/c.dcm")
