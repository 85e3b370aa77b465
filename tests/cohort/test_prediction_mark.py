"""The mark of a prediction: found where nobody edited the mask, and nothing that any other reader sees."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import tifffile
from PIL import Image

from semivox.cohort import Source, Volume, check_cohort, load_cohort, read_volume, split_cohort, write_mask
from semivox.cohort.prediction_mark import WORDS, is_unedited_prediction, mark_of
from semivox.inference import Segmentation

FLAT, DEEP = ("a.png", "a.tiff"), ("a.nii.gz", "a.nii", "a.nrrd", "a.mha", "a.tiff")
AFFINE = np.array([[-0.7, 0, 0, 12], [0, 1.5, 0, -3], [0, 0, 4, 8], [0, 0, 0, 1]])


def mask_of(dims: int, highest: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, highest + 1, (7, 6, 5)[:dims])


def saved(path: Path, mask: np.ndarray) -> Path:
    """As ``predict`` writes it."""
    like = Volume(np.zeros((1, *mask.shape)), np.eye(4) if path.suffix in (".png", ".tiff") else AFFINE)
    return Segmentation(mask, like, {1: "x", 2: "y", 3: "z"}, 0.0).save(path)


def case_ids() -> list[tuple[str, int]]:
    return [(name, 2) for name in FLAT] + [(name, 3) for name in DEEP]


def test_the_mark_is_its_formula() -> None:
    mask = np.array([[[0, 1], [2, 300]]], np.uint16)
    expected = hashlib.sha256(b"(1, 2, 2)" + struct.pack("<4q", 0, 1, 2, 300)).hexdigest()[:32]
    assert mark_of(mask) == f"semivox prediction {expected}"
    assert len(mark_of(mask)) < 80, "it fits into a NIfTI header"


def test_the_mark_depends_on_values_and_shape_alone() -> None:
    mask = mask_of(3)
    for same in (
        mask.astype(np.uint8),
        mask.astype(">i4"),
        np.asfortranarray(mask),
        mask[::1].astype(np.int16),
    ):
        assert mark_of(same) == mark_of(mask)
    other = mask.copy()
    other[3, 2, 1] += 1
    assert len({mark_of(m) for m in (mask, other, mask.reshape(6, 7, 5), mask[::-1])}) == 4


@pytest.mark.parametrize(("name", "dims"), case_ids())
@pytest.mark.parametrize("highest", [3, 300])
def test_what_predict_wrote_is_known(name: str, dims: int, highest: int, tmp_path: Path) -> None:
    mask = mask_of(dims, highest)
    path = saved(tmp_path / name, mask)
    assert is_unedited_prediction(path, read_volume(path).array[0])
    plain = write_mask(tmp_path / f"plain_{name}", mask, Volume(mask[None], np.eye(4)))
    assert not is_unedited_prediction(plain, mask)


@pytest.mark.parametrize(("name", "dims"), case_ids())
def test_readers_see_no_difference(name: str, dims: int, tmp_path: Path) -> None:
    """The same voxels, types and geometry for nibabel, SimpleITK, Pillow and tifffile."""
    mask = mask_of(dims)
    marked = saved(tmp_path / name, mask)
    like = Volume(np.zeros((1, *mask.shape)), np.eye(4) if marked.suffix in (".png", ".tiff") else AFFINE)
    plain = write_mask(tmp_path / f"plain_{name}", mask, like)
    assert marked.read_bytes() != plain.read_bytes()
    if ".nii" in name:
        a, b = nib.load(marked), nib.load(plain)
        np.testing.assert_array_equal(np.asarray(a.dataobj), np.asarray(b.dataobj))
        np.testing.assert_array_equal(np.asarray(a.dataobj), mask)
        np.testing.assert_array_equal(a.affine, b.affine)
        differing = [key for key in a.header if a.header[key].tobytes() != b.header[key].tobytes()]
        assert differing == ["descrip"]
    if dims == 3 and not name.endswith("tiff"):
        a, b = sitk.ReadImage(str(marked)), sitk.ReadImage(str(plain))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(a), sitk.GetArrayFromImage(b))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(a).T, mask)
        for of in ("GetOrigin", "GetSpacing", "GetDirection", "GetPixelIDTypeAsString", "GetSize"):
            assert getattr(a, of)() == getattr(b, of)()
    if name.endswith("png"):
        a, b = Image.open(marked), Image.open(plain)
        assert (a.mode, a.size) == (b.mode, b.size) == ("L", (7, 6))
        np.testing.assert_array_equal(np.asarray(a), mask.T)
    if name.endswith("tiff"):
        with tifffile.TiffFile(marked) as a, tifffile.TiffFile(plain) as b:
            assert (a.series[0].axes, a.series[0].shape) == (b.series[0].axes, b.series[0].shape)
            np.testing.assert_array_equal(a.asarray(), mask.T)
            assert a.asarray().dtype == b.asarray().dtype
        with Image.open(marked) as picture:
            np.testing.assert_array_equal(np.asarray(picture), mask.T if dims == 2 else mask.T[0])
    ours, theirs = read_volume(marked), read_volume(plain)
    assert ours.array.dtype == theirs.array.dtype
    np.testing.assert_array_equal(ours.affine, theirs.affine)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha"])
def test_another_integer_type_alone_is_no_edit_and_one_voxel_is(name: str, tmp_path: Path) -> None:
    """Editors keep the header, the mark in it too, and like to change the type."""
    path = saved(tmp_path / name, mask_of(3))
    for edit in (False, True):
        if ".nii" in name:
            image = nib.load(path)
            voxels = np.asarray(image.dataobj).astype(np.int32)
            voxels[0, 0, 0] += edit
            image.header.set_data_dtype(np.int32)
            nib.save(nib.Nifti1Image(voxels, None, image.header), tmp_path / f"again_{name}")
        else:
            image = sitk.Cast(sitk.ReadImage(str(path)), sitk.sitkInt32)
            image.SetMetaData("semivox", sitk.ReadImage(str(path)).GetMetaData("semivox"))
            image[0, 0, 0] = image[0, 0, 0] + edit
            sitk.WriteImage(image, str(tmp_path / f"again_{name}"))
        again = read_volume(tmp_path / f"again_{name}").array[0]
        assert again.dtype == np.int32
        assert is_unedited_prediction(tmp_path / f"again_{name}", again) is not edit


def test_the_scans_own_text_does_not_reach_the_mask_and_the_mask_keeps_its_grid(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((4, 5, 6), np.float32), AFFINE)
    image.header["descrip"] = b"some scanner 1.2"
    nib.save(image, tmp_path / "scan.nii.gz")
    scan = read_volume(tmp_path / "scan.nii.gz")
    path = Segmentation(np.ones((4, 5, 6), int), scan, {1: "x"}, 0.0).save(tmp_path / "mask")
    written = nib.load(path)
    assert written.header["descrip"].item().decode().startswith(WORDS)
    np.testing.assert_array_equal(written.affine, nib.load(tmp_path / "scan.nii.gz").affine)


def test_any_other_text_is_no_mark(tmp_path: Path) -> None:
    mask = mask_of(3).astype(np.uint8)
    for text in (b"FSL 6.0", b"semivox prediction", b"semivox prediction " + b"0" * 32, b"\xff" * 80):
        image = nib.Nifti1Image(mask, AFFINE)
        image.header["descrip"] = text
        nib.save(image, tmp_path / "a.nii.gz")
        assert not is_unedited_prediction(tmp_path / "a.nii.gz", mask)


@pytest.fixture
def cohort_with_predictions(tmp_path: Path) -> Path:
    """Four scans with labels: drawn by hand, as predicted, predicted and corrected, and not used."""
    root = tmp_path / "data"
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in ("drawn", "predicted", "corrected", "unused"):
        scan = nib.Nifti1Image(rng.normal(size=(6, 5, 4)).astype(np.float32), np.eye(4))
        nib.save(scan, root / f"imagesTr/{name}_0000.nii.gz")
        volume = read_volume(root / f"imagesTr/{name}_0000.nii.gz")
        mask = rng.integers(0, 2, (6, 5, 4))
        path = root / f"labelsTr/{name}.nii.gz"
        if name == "drawn":
            write_mask(path, mask, Volume(volume.array, volume.affine, Source()))
        else:
            Segmentation(mask, volume, {1: "liver"}, 0.0).save(path)
    image = nib.load(root / "labelsTr/corrected.nii.gz")
    voxels = np.asarray(image.dataobj).copy()
    voxels[2, 2, 2] = 1 - voxels[2, 2, 2]
    nib.save(nib.Nifti1Image(voxels, image.affine, image.header), root / "labelsTr/corrected.nii.gz")
    described = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "liver": 1}}
    (root / "dataset.json").write_text(json.dumps({**described, "file_ending": ".nii.gz"}))
    (root / "cases.csv").write_text("case,role\ndrawn,\npredicted,\ncorrected,\nunused,unlabeled\n")
    return root


def test_check_names_labels_that_nobody_edited(cohort_with_predictions: Path) -> None:
    report = check_cohort(cohort_with_predictions)
    assert report.ok
    (warning,) = report.warnings
    assert (warning.case, warning.severity) == ("predicted", "warning")
    assert Path(warning.path).name == "predicted.nii.gz"
    assert "nobody has edited" in warning.fault
    assert warning.remedy == "correct it in an editor, or remove it"


def test_the_check_before_training_looks_at_its_labelled_cases_only(cohort_with_predictions: Path) -> None:
    cohort = load_cohort(cohort_with_predictions)
    for labeled, expected in (("1", []), ("2", ["predicted"])):
        report = check_cohort(cohort, split_cohort(cohort, labeled))
        assert [warning.case for warning in report.warnings] == expected
