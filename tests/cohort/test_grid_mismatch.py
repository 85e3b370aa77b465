"""Two files of one case: what is one grid, what differs, and the remedy that ruins nothing."""

from __future__ import annotations

import gzip
import io
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import tifffile

from semivox.cohort.case import Case
from semivox.cohort.formats import read_case, read_geometry, read_label, read_volume, write_mask
from semivox.cohort.geometry import grid_difference, is_sheared
from semivox.cohort.grid_mismatch import grid_error
from semivox.errors import DataError

RNG = np.random.default_rng(7)
SHAPE = (9, 8, 7)
AFFINE = np.array([[0.8, 0, 0, -10], [0, 0.8, 0, 20], [0, 0, 2.5, 5], [0, 0, 0, 1.0]])
LABEL = RNG.integers(0, 3, SHAPE).astype(np.uint8)


def nifti(
    path: Path, array: np.ndarray = LABEL, sform: Any = AFFINE, qform: Any = AFFINE, codes: Any = (1, 1)
) -> Path:
    image = nib.Nifti1Image(array, None)
    image.header.set_zooms((0.8, 0.8, 2.5, 1)[: array.ndim])
    image.header.set_xyzt_units("mm")
    if codes[1]:
        image.set_qform(qform, codes[1])
    if codes[0]:
        image.set_sform(sform, codes[0])
    nib.save(image, path)
    return path


def through_itk(source: Path, path: Path) -> Path:
    """A label as a program drew it that reads and writes with ITK."""
    sitk.WriteImage(sitk.ReadImage(str(source)), str(path))
    return path


def fault(one: Path, other: Path) -> DataError | None:
    by_header = grid_error("f", one, read_geometry(one, label=True), other, read_geometry(other))
    by_voxels = grid_error("f", one, read_label(one), other, read_volume(other))
    assert str(by_header) == str(by_voxels)
    return by_voxels


MOVED = AFFINE + np.array([[0, 0, 0, -3], [0, 0, 0, 4], [0, 0, 0, 4], [0, 0, 0, 0.0]])


@pytest.mark.parametrize("codes", [(1, 1), (2, 1), (2, 2), (4, 1), (1, 4)])
@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
def test_a_label_on_the_other_of_two_forms_is_told_so(tmp_path, codes, ending):
    image = nifti(tmp_path / "a_0000.nii.gz", qform=MOVED, codes=codes)
    error = fault(through_itk(image, tmp_path / f"a{ending}"), image)
    if error is not None:  # ITK took the qform
        assert "sform" in str(error.found)
        assert "qform of a_0000.nii.gz are one grid" in str(error.found)
        assert "copy the header of a_0000.nii.gz" in error.remedy
        assert "resample" not in error.remedy
    assert (error is None) == (sitk.ReadImage(str(image)).GetOrigin()[0] == pytest.approx(10))


def test_a_label_whose_own_forms_disagree_is_told_so_too(tmp_path):
    image = nifti(tmp_path / "a_0000.nii.gz", codes=(0, 1))
    error = fault(nifti(tmp_path / "a.nii.gz", sform=MOVED, codes=(2, 1)), image)
    assert "the qform of a.nii.gz and the qform of a_0000.nii.gz are one grid" in str(error.found)


def unplaced(folder: Path) -> list[Path]:
    """Labels that tell lengths and no place."""
    nifti(folder / "a.nii.gz", codes=(0, 0))
    head = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 9 8 7\nspacings: 0.8 0.8 2.5\nencoding: raw\n\n"
    (folder / "a.nrrd").write_bytes(head.encode() + LABEL.tobytes("F"))
    head = "ObjectType = Image\nNDims = 3\nBinaryData = True\nElementSpacing = 0.8 0.8 2.5\nDimSize = 9 8 7\n"
    (folder / "a.mha").write_bytes(
        (head + "ElementType = MET_UCHAR\nElementDataFile = LOCAL\n").encode() + LABEL.tobytes("F")
    )
    note = {"spacing": 2.5, "unit": "mm", "axes": "ZYX"}
    tifffile.imwrite(folder / "a.tif", LABEL.T.copy(), imagej=True, resolution=(1.25, 1.25), metadata=note)
    return [folder / f"a.{ending}" for ending in ("nii.gz", "nrrd", "mha", "tif")]


def test_a_header_without_a_place_contradicts_nothing(tmp_path):
    image = nifti(tmp_path / "a_0000.nii.gz")
    for path in unplaced(tmp_path):
        assert not read_geometry(path).placed, path
        np.testing.assert_array_equal(read_label(path).array[0], LABEL)
        assert read_label(path).spacing_mm == pytest.approx((0.8, 0.8, 2.5))
        assert fault(path, image) is None
    longer = nifti(tmp_path / "b_0000.nii.gz", sform=AFFINE @ np.diag([2, 1, 1, 1.0]))
    for path in unplaced(tmp_path):
        assert "spacing" in str(fault(path, longer).found)


@pytest.mark.parametrize("programme", ["nibabel", "itk"])
def test_a_lost_header_is_copied_and_not_resampled(tmp_path, programme):
    image = nifti(tmp_path / "a_0000.nii.gz")
    path = tmp_path / "a.nii.gz"
    if programme == "nibabel":
        nib.save(nib.Nifti1Image(LABEL, np.eye(4)), path)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(LABEL.T.copy()), str(path))
    error = fault(path, image)
    assert "1 mm voxels at 0" in str(error.found)
    assert "copy the header of a_0000.nii.gz" in error.remedy
    assert "resample" not in error.remedy


def test_turned_axes_other_places_and_other_shapes_have_remedies_of_their_own(tmp_path):
    image = nifti(tmp_path / "a_0000.nii.gz")
    flipped = AFFINE @ np.array([[-1, 0, 0, 8], [0, -1, 0, 7], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    error = fault(nifti(tmp_path / "a.nii.gz", sform=flipped, qform=flipped), image)
    assert "axes that run another way" in str(error.found)
    assert error.remedy.startswith("turn a.nii.gz")
    error = fault(nifti(tmp_path / "a.nii.gz", sform=MOVED, qform=MOVED), image)
    assert "copy the header" in error.remedy
    assert "if on another grid, resample" in error.remedy
    error = fault(nifti(tmp_path / "a.nii.gz", LABEL.transpose(1, 0, 2)), image)
    assert "another order" in str(error.found)
    error = fault(nifti(tmp_path / "a.nii.gz", LABEL[1:]), image)
    assert error.remedy.startswith("resample a.nii.gz")


@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("shapes", [((9, 8), (9, 8, 1)), ((9, 8, 1), (9, 8)), ((9, 8, 7), (9, 8, 7, 1))])
def test_a_trailing_axis_of_1_is_no_axis(tmp_path, shapes, ending):
    image, label = (np.resize(LABEL, shape) for shape in shapes)
    path, other = nifti(tmp_path / "a_0000.nii.gz", image), nifti(tmp_path / "a.nii.gz", label)
    if ending != ".nii.gz" and label.ndim < 4:
        other = through_itk(other, tmp_path / f"a{ending}")
    assert fault(other, path) is None
    fitted = read_label(other, read_volume(path))
    np.testing.assert_array_equal(fitted.array.squeeze(), image.squeeze())
    assert fitted.shape == read_volume(path).shape
    assert grid_difference(fitted, read_volume(path)) is None
    both = read_case(Case("a", (path, other)))
    assert both.channels == 2


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal", "oblique"])
@pytest.mark.parametrize("format", ["nii.gz", "nrrd", "mha"])
@pytest.mark.parametrize("third", [2.5, 0.0])
def test_a_2d_slice_of_any_plane_can_be_written(tmp_path, plane, format, third):
    oblique = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
    rotation = {
        "axial": np.eye(3), "coronal": np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]]),
        "sagittal": np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]]), "oblique": oblique,
    }[plane]  # fmt: skip
    affine = np.eye(4)
    affine[:3] = np.column_stack([rotation * (0.8, 1.2, third), (-10, 20, 5)])
    mask = LABEL[..., 0]
    image = nib.Nifti1Image(mask, None)
    image.set_sform(affine, 1)
    nib.save(image, tmp_path / "a_0000.nii")
    scan = read_volume(tmp_path / "a_0000.nii")
    path = write_mask(tmp_path / "m", mask, scan, format)
    written = read_label(path)
    assert grid_difference(written, scan) is None
    np.testing.assert_array_equal(read_label(path, scan).array[0], mask)
    if plane != "axial":
        np.testing.assert_allclose(written.affine[:3, [0, 1, 3]], affine[:3, [0, 1, 3]], atol=1e-4)


# --- names and contents ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "A.NII.GZ"])
@pytest.mark.parametrize("packed", [True, False])
def test_the_first_bytes_tell_whether_a_nifti_is_compressed(tmp_path, name, packed):
    whole = nifti(tmp_path / "x.nii").read_bytes()
    (tmp_path / name).write_bytes(gzip.compress(whole) if packed else whole)
    header, label = read_geometry(tmp_path / name), read_label(tmp_path / name)
    np.testing.assert_array_equal(label.array[0], LABEL)
    np.testing.assert_array_equal(header.affine, label.affine)
    np.testing.assert_array_equal(label.affine, read_volume(tmp_path / "x.nii").affine)
    (tmp_path / name).write_bytes((gzip.compress(whole) if packed else whole)[:-9])
    with pytest.raises(DataError, match="truncated"):
        read_label(tmp_path / name)


@pytest.mark.parametrize("real", ["nii.gz", "nii", "png", "tif", "nrrd"])
@pytest.mark.parametrize("named", ["nii.gz", "png", "tif"])
def test_a_file_of_another_format_than_its_name_says_is_to_be_renamed(tmp_path, real, named):
    if real[:3] == named[:3]:
        return
    scan = read_volume(nifti(tmp_path / "s.nii.gz", LABEL[..., 0]))
    source = write_mask(tmp_path / f"b.{real}", LABEL[..., 0], scan)
    shutil.copy(source, tmp_path / f"c.{named}")
    for read in (read_volume, read_geometry):
        with pytest.raises(DataError, match="ending does not fit") as caught:
            read(tmp_path / f"c.{named}")
        assert caught.value.remedy == f"rename it to c.{real}"


# --- broken geometry ------------------------------------------------------------------------------------


def change(path: Path, **fields: Any) -> Path:
    raw = bytearray(gzip.decompress(path.read_bytes()))
    header = nib.Nifti1Header.from_fileobj(io.BytesIO(bytes(raw[:348])), check=False)
    for name, value in fields.items():
        header[name] = value
    raw[:348] = header.binaryblock
    path.write_bytes(gzip.compress(bytes(raw)))
    return path


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "fields",
    [
        {"srow_z": 0}, {"srow_x": NAN}, {"srow_y": INF}, {"srow_z": (0.8, 0, 0, 1)}, {"srow_x": (0, 0, 0, 4)},
        {"sform_code": 0, "pixdim": (1, 0.8, 0, 2.5, 0, 0, 0, 0)},
        {"sform_code": 0, "pixdim": (1, 0.8, NAN, 2.5, 0, 0, 0, 0)},
        {"sform_code": 0, "pixdim": (1, 0, 0, 0, 0, 0, 0, 0)},
        {"sform_code": 0, "qform_code": 0, "pixdim": (1, 0.8, 0, 2.5, 0, 0, 0, 0)},
        {"sform_code": 0, "qoffset_x": NAN},
    ],
)  # fmt: skip
def test_a_broken_affine_is_an_error_that_names_the_file(tmp_path, fields, caplog):
    path = change(nifti(tmp_path / "a.nii.gz"), **fields)
    for read in (read_volume, read_geometry, read_label):
        with pytest.raises(DataError, match=r"geometry of this file is broken") as caught:
            read(path)
        assert caught.value.path == path
    assert not caplog.records


def test_a_header_with_no_length_at_all_tells_no_spacing(tmp_path, caplog):
    path = change(nifti(tmp_path / "a.nii.gz"), sform_code=0, qform_code=0, pixdim=(1, *[0] * 7))
    volume = read_volume(path)
    assert (volume.spacing_status, read_geometry(path).spacing_status) == ("unknown", "unknown")
    written = read_label(write_mask(tmp_path / "m", LABEL, volume))
    assert written.spacing_status == "unknown"
    assert not caplog.records


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1, 1e3])
def test_small_and_large_voxels_are_no_broken_ones(tmp_path, scale):
    affine = AFFINE @ np.diag([scale, scale, scale, 1])
    assert read_volume(nifti(tmp_path / "a.nii.gz", sform=affine, codes=(1, 0))).placed
    assert not is_sheared(affine, 3)
    affine[1, 2] += 0.1 * affine[2, 2]
    assert is_sheared(affine, 3)


def test_files_of_one_name_are_told_apart(tmp_path):
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    image = nifti(tmp_path / "images/a.nii.gz")
    error = fault(nifti(tmp_path / "labels/a.nii.gz", sform=MOVED, qform=MOVED), image)
    assert "copy the header of images/a.nii.gz to labels/a.nii.gz" in error.remedy
    assert str(image) in error.expected
