import gzip
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from semivox.cohort.case import Case
from semivox.cohort.format_table import BY_NAME, DETACHED, ENDINGS
from semivox.cohort.formats import (
    ending_of,
    read_case,
    read_geometry,
    read_label,
    read_volume,
    stem_of,
    write_mask,
    write_volume,
)
from semivox.cohort.volume import Volume
from semivox.errors import DataError, SettingsError

RNG = np.random.default_rng(5)


def oblique_affine() -> np.ndarray:
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    affine = np.eye(4)
    affine[:3, :3] = rotation * [0.7, 1.3, 3.1]
    affine[:3, 3] = (-91.234567, 12.3456, 1003.75)
    return affine


def nifti(path: Path, array: np.ndarray, affine: np.ndarray | None = None, **header: object) -> Path:
    image = nib.Nifti1Image(array, oblique_affine() if affine is None else affine)
    for key, value in header.items():
        image.header[key] = value
    nib.save(image, path)
    return path


# --- names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "stem", "ending"),
    [("a.b.nii.gz", "a.b", ".nii.gz"), ("A.NII.GZ", "A", ".nii.gz"), ("x.tif", "x", ".tif")],
)
def test_endings(name, stem, ending):
    assert (stem_of(name), ending_of("some/" + name)) == (stem, ending)


def test_other_endings_are_refused_by_name(tmp_path):
    assert ending_of("scan.fit") is None
    (tmp_path / "scan.fit").write_bytes(b"x")
    with pytest.raises(DataError, match=r"not a format.*\.nii\.gz"):
        read_volume(tmp_path / "scan.fit")


# --- NIfTI ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_nifti_values_type_and_affine(tmp_path, ending, dtype):
    array = RNG.integers(0, 200, (4, 5, 6)).astype(dtype)
    path = nifti(tmp_path / f"a{ending}", array)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, array[None])
    assert volume.array.dtype == dtype
    np.testing.assert_array_equal(volume.affine, nib.load(path).affine)
    np.testing.assert_allclose(volume.spacing_mm, (0.7, 1.3, 3.1), rtol=1e-6)
    assert (volume.source.path, volume.source.format) == (path, "nifti")


def test_nifti_scaling_is_applied(tmp_path):
    image = nib.Nifti1Image(np.arange(24, dtype=np.uint8).reshape(2, 3, 4), np.eye(4))
    image.header.set_slope_inter(0.25, -1.5)
    # nibabel would rescale on save; write the raw bytes with the slope as a scanner does
    image.header["scl_slope"], image.header["scl_inter"] = 0.25, -1.5
    raw = image.header.binaryblock + b"\0" * 4 + np.arange(24, dtype=np.uint8).tobytes()
    block = bytearray(raw)
    block[108:112] = np.float32(352).tobytes()
    block[344:348] = b"n+1\0"
    (tmp_path / "a.nii").write_bytes(bytes(block))
    volume = read_volume(tmp_path / "a.nii")
    assert volume.array.dtype == np.float32 == read_geometry(tmp_path / "a.nii").dtype
    np.testing.assert_allclose(volume.array[0].ravel("F"), np.arange(24) * 0.25 - 1.5)


@pytest.mark.parametrize(("image", "first"), [(nib.Nifti1Image, 352), (nib.Nifti2Image, 544)])
@pytest.mark.parametrize("packed", [False, True])
def test_a_header_is_never_read_as_voxels(tmp_path, image, first, packed):
    content = bytearray(image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4)).to_bytes())
    place, kind = (108, "<f4") if first == 352 else (168, "<i8")
    path = tmp_path / ("a.nii.gz" if packed else "a.nii")
    for offset in (0, 4, 100, first - 4):
        content[place : place + np.dtype(kind).itemsize] = np.array(offset, kind).tobytes()
        path.write_bytes(gzip.compress(content) if packed else content)
        with pytest.raises(DataError, match="unreadable"):
            read_volume(path)


def test_nifti_big_endian_is_read_in_native_order(tmp_path):
    array = RNG.integers(0, 9, (3, 4, 5)).astype(np.int16)
    image = nib.Nifti1Image(array, np.eye(4), nib.Nifti1Header(endianness=">"))
    image.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "a.nii.gz")
    volume = read_volume(tmp_path / "a.nii.gz")
    assert volume.array.dtype.isnative
    np.testing.assert_array_equal(volume.array[0], array)


def test_nifti_2d_and_channels_last(tmp_path):
    picture = RNG.random((5, 6)).astype(np.float32)
    assert read_volume(nifti(tmp_path / "b.nii", picture)).array.shape == (1, 5, 6)
    stack = RNG.random((4, 5, 6, 3)).astype(np.float32)
    volume = read_volume(nifti(tmp_path / "c.nii.gz", stack))
    np.testing.assert_array_equal(volume.array, np.moveaxis(stack, -1, 0))
    assert read_geometry(tmp_path / "c.nii.gz").channels == 3


def test_nifti_2_and_header_units(tmp_path):
    image = nib.Nifti2Image(np.zeros((3, 3, 3), np.uint8), np.diag([500.0, 600, 700, 1]))
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "a.nii.gz")
    volume = read_volume(tmp_path / "a.nii.gz")
    np.testing.assert_allclose(volume.spacing_mm, (0.5, 0.6, 0.7))
    written = nib.load(write_mask(tmp_path / "mask", np.ones((3, 3, 3), np.int64), volume))
    assert isinstance(written, nib.Nifti2Image)
    assert written.header.get_xyzt_units()[0] == "micron"
    np.testing.assert_array_equal(written.affine, image.affine)


@pytest.mark.parametrize(("qform", "sform"), [(1, 0), (0, 2), (1, 3), (0, 0)])
def test_a_nifti_mask_has_the_scans_header_geometry_bit_for_bit(tmp_path, qform, sform):
    image = nib.Nifti1Image(RNG.random((4, 5, 6)).astype(np.float32), oblique_affine())
    image.set_qform(oblique_affine(), qform)
    image.set_sform(oblique_affine() if sform else None, sform)
    image.header["descrip"] = b"scanner"
    image.header["cal_max"] = 900
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"patient name"))
    nib.save(image, tmp_path / "a.nii.gz")
    mask = RNG.integers(0, 4, (4, 5, 6))
    path = write_mask(tmp_path / "out" / "case.01", mask, read_volume(tmp_path / "a.nii.gz"))
    assert path == tmp_path / "out" / "case.01.nii.gz"
    scan, written = nib.load(tmp_path / "a.nii.gz"), nib.load(path)
    for key in ("qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y",
                "qoffset_z", "srow_x", "srow_y", "srow_z", "xyzt_units", "pixdim"):  # fmt: skip
        np.testing.assert_array_equal(written.header[key], scan.header[key], err_msg=key)
    np.testing.assert_array_equal(written.affine, scan.affine)
    assert written.get_data_dtype() == np.uint8
    assert (written.dataobj.slope, written.dataobj.inter) == (1, 0)
    assert written.header["cal_max"] == 0
    assert not written.header.extensions  # they may name the patient
    np.testing.assert_array_equal(np.asarray(written.dataobj), mask)
    assert os.listdir(tmp_path / "out") == ["case.01.nii.gz"]


def test_a_mask_of_a_scaled_scan_is_not_scaled(tmp_path):
    image = nib.Nifti1Image(np.linspace(-1, 1, 24).reshape(2, 3, 4), np.eye(4))
    image.set_data_dtype(np.int16)  # nibabel stores slope and intercept
    nib.save(image, tmp_path / "a.nii.gz")
    assert nib.load(tmp_path / "a.nii.gz").dataobj.slope != 1
    mask = np.arange(24).reshape(2, 3, 4)
    path = write_mask(tmp_path / "m", mask, read_volume(tmp_path / "a.nii.gz"))
    np.testing.assert_array_equal(nib.load(path).get_fdata(), mask)


# --- NRRD, MHA -----------------------------------------------------------------------------------------


def itk_image(dims: int, components: int = 1) -> sitk.Image:
    shape = (4, 5, 6)[:dims]
    array = RNG.integers(0, 100, shape + ((components,) if components > 1 else ())).astype(np.int16)
    image = sitk.GetImageFromArray(array, isVector=components > 1)
    image.SetSpacing((0.7, 1.3, 3.1)[:dims])
    image.SetOrigin((-91.234567, 12.3456, 1003.75)[:dims])
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(dims, dims)))[0]
    image.SetDirection(rotation.ravel().tolist())
    return image


@pytest.mark.parametrize("ending", [".nrrd", ".mha", ".mhd", ".nhdr"])
@pytest.mark.parametrize("components", [1, 3])
def test_itk_axes_and_world(tmp_path, ending, components):
    image = itk_image(3, components)
    path = tmp_path / f"a{ending}"
    sitk.WriteImage(image, str(path))
    volume = read_volume(path)
    assert volume.array.shape == (components, 6, 5, 4)
    for index in [(0, 0, 0), (5, 4, 3), (2, 3, 1)]:
        value = image.GetPixel(*index)
        np.testing.assert_array_equal(volume.array[(slice(None), *index)], np.atleast_1d(value))
        lps = np.array(image.TransformIndexToPhysicalPoint(index))
        ras = (volume.affine @ [*index, 1])[:3]
        np.testing.assert_allclose(ras, lps * [-1, -1, 1], atol=1e-5)
    geometry = read_geometry(path)
    assert (geometry.shape, geometry.channels, geometry.dtype) == ((6, 5, 4), components, np.int16)
    np.testing.assert_array_equal(geometry.affine, volume.affine)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
@pytest.mark.parametrize("dims", [2, 3])
def test_an_itk_mask_has_the_scans_geometry(tmp_path, ending, dims):
    image = itk_image(dims)
    sitk.WriteImage(image, str(tmp_path / f"a{ending}"))
    scan = sitk.ReadImage(str(tmp_path / f"a{ending}"))
    volume = read_volume(tmp_path / f"a{ending}")
    mask = RNG.integers(0, 300, volume.shape)
    mask.flat[-1] = 299  # more than 8 bits, whatever is drawn
    path = write_mask(tmp_path / "m", mask, volume)
    assert path.name == f"m{ending}"
    written = sitk.ReadImage(str(path))
    for name in ("GetSize", "GetSpacing", "GetOrigin", "GetDirection"):
        np.testing.assert_allclose(getattr(written, name)(), getattr(scan, name)(), rtol=0, atol=1e-6)
    assert written.GetPixelIDTypeAsString() == "16-bit unsigned integer"
    np.testing.assert_array_equal(read_label(path).array[0], mask)


def test_an_mhd_mask_becomes_one_file(tmp_path):
    sitk.WriteImage(itk_image(3), str(tmp_path / "a.mhd"))
    volume = read_volume(tmp_path / "a.mhd")
    path = write_mask(tmp_path / "out" / "m", np.zeros(volume.shape, int), volume)
    assert [p.name for p in path.parent.iterdir()] == ["m.mha"]


def test_a_fourth_itk_axis_is_the_channels(tmp_path):
    array = RNG.integers(0, 9, (2, 4, 5, 6)).astype(np.uint8)  # (T, Z, Y, X)
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=False), str(tmp_path / "a.mha"))
    np.testing.assert_array_equal(read_volume(tmp_path / "a.mha").array, array.transpose(0, 3, 2, 1))


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from([".nii.gz", ".nrrd", ".mha"]),
    st.sampled_from(["nii.gz", "nrrd", "mha"]),
    st.integers(0, 99),
)
def test_every_format_gives_the_same_world_to_every_other(tmp_path_factory, source, target, seed):
    folder = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(seed)
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] * rng.uniform(0.3, 5, 3)
    affine[:3, 3] = rng.uniform(-500, 500, 3)
    array = rng.random((1, 3, 4, 5)).astype(np.float32)
    first = read_volume(write_volume(folder / ("a" + source), array, Volume(array, affine)))
    second = read_volume(write_volume(folder / "b", first.array, first, target))
    np.testing.assert_array_equal(second.array, array)
    corners = np.array([[0, 0, 0, 1], [2, 3, 4, 1]])
    np.testing.assert_allclose(corners @ first.affine.T, corners @ affine.T, atol=5e-4)  # NIfTI: float32
    np.testing.assert_allclose(second.affine, first.affine, atol=5e-5)


# --- PNG, TIFF -----------------------------------------------------------------------------------------


def test_png_x_is_the_column(tmp_path):
    pixels = RNG.integers(0, 255, (4, 7, 3)).astype(np.uint8)  # 4 rows, 7 columns
    Image.fromarray(pixels).save(tmp_path / "a.png")
    volume = read_volume(tmp_path / "a.png")
    assert volume.array.shape == (3, 7, 4)
    np.testing.assert_array_equal(volume.array[:, 6, 1], pixels[1, 6])
    mask = RNG.integers(0, 3, (7, 4))
    path = write_mask(tmp_path / "m", mask, volume)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), mask.T)


@pytest.mark.parametrize(
    ("mode", "channels"), [("1", 1), ("L", 1), ("LA", 1), ("RGB", 3), ("RGBA", 3), ("P", 3), ("I;16", 1)]
)
def test_png_modes(tmp_path, mode, channels):
    grey = RNG.integers(0, 255, (4, 7)).astype(np.uint8)
    picture = (
        Image.fromarray(grey.astype(np.uint16)) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    )
    picture.save(tmp_path / "a.png")
    volume, geometry = read_volume(tmp_path / "a.png"), read_geometry(tmp_path / "a.png")
    assert (geometry.shape, geometry.channels, geometry.dtype) == ((7, 4), channels, volume.array.dtype)
    assert volume.array.shape == (channels, 7, 4)
    if mode != "1":
        for plane in volume.array:
            np.testing.assert_array_equal(plane, grey.T)


def test_a_palette_label_is_read_as_indices(tmp_path):
    values = RNG.integers(0, 3, (4, 7)).astype(np.uint8)
    picture = Image.fromarray(values, "L")
    picture = picture.convert("P")
    picture.putdata(values.ravel().tolist())
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_label(tmp_path / "a.png").array[0], values.T)
    assert read_geometry(tmp_path / "a.png", label=True).channels == 1


def test_png_holds_large_values_and_floats_become_tiff(tmp_path):
    Image.fromarray(np.zeros((4, 7), np.uint8)).save(tmp_path / "a.png")
    volume = read_volume(tmp_path / "a.png")
    mask = RNG.integers(0, 60000, (7, 4))
    np.testing.assert_array_equal(read_label(write_mask(tmp_path / "m", mask, volume)).array[0], mask)
    probabilities = RNG.random((2, 7, 4)).astype(np.float16)
    path = write_volume(tmp_path / "p", probabilities, volume)
    assert path.suffix == ".tiff"
    np.testing.assert_array_equal(read_volume(path).array, probabilities.astype(np.float32))


@pytest.mark.parametrize(
    ("stored", "axes", "expected", "order"),
    [
        ((4, 7), "YX", (1, 7, 4), None),
        ((4, 7, 3), "YXS", (3, 7, 4), (2, 1, 0)),
        ((5, 4, 7), "ZYX", (1, 7, 4, 5), None),
        ((2, 4, 7), "CYX", (2, 7, 4), (0, 2, 1)),
        ((5, 2, 4, 7), "ZCYX", (2, 7, 4, 5), (1, 3, 2, 0)),
    ],
)
def test_tiff_axes(tmp_path, stored, axes, expected, order):
    pixels = RNG.integers(0, 255, stored).astype(np.uint8)
    photometric = "rgb" if axes == "YXS" else "minisblack"
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=photometric, metadata={"axes": axes})
    volume, geometry = read_volume(tmp_path / "a.tif"), read_geometry(tmp_path / "a.tif")
    np.testing.assert_array_equal(volume.array, pixels.T[None] if order is None else pixels.transpose(order))
    assert volume.array.shape == expected == (geometry.channels, *geometry.shape)
    again = read_volume(write_volume(tmp_path / "b.tif", volume.array, volume))
    np.testing.assert_array_equal(again.array, volume.array)


def test_a_plain_multipage_tiff_is_a_stack_and_lzw_is_read(tmp_path):
    pages = RNG.integers(0, 255, (3, 4, 7)).astype(np.uint8)
    first, *others = (Image.fromarray(page) for page in pages)
    first.save(tmp_path / "a.tiff", save_all=True, append_images=others, compression="tiff_lzw")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.tiff").array, pages.T[None])


def test_a_tiff_with_two_stack_axes_is_refused(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((2, 3, 4, 5), np.uint8), photometric="minisblack",
        metadata={"axes": "TZYX"},
    )  # fmt: skip
    with pytest.raises(DataError, match="axes of this TIFF"):
        read_volume(tmp_path / "a.tif")


# --- broken files --------------------------------------------------------------------------------------


READ_ONLY = {row.name for row in BY_NAME.values() if not row.written} | {"dicom-seg", "rtstruct"}


def examples(folder: Path) -> list[Path]:
    """A file of every format and ending that is written."""
    paths = []
    for ending, row in ENDINGS.items():
        if ending in DETACHED or row.name in READ_ONLY:
            continue
        array = RNG.random((1, 20, 21, 22)).astype(np.float32)
        if not row.codec.holds(array):
            array = RNG.integers(0, 255, (1 if row.names else 3, 50, 51)).astype(np.uint8)
        paths.append(write_volume(folder / f"a{ending}", array, Volume(array, np.eye(4))))
    assert {ENDINGS[ending_of(path)].name for path in paths} == set(BY_NAME) - READ_ONLY
    return paths


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_truncated_files_of_every_format(tmp_path, kept):
    for path in examples(tmp_path):
        whole = path.read_bytes()
        path.write_bytes(whole[: int(kept * len(whole))])
        with pytest.raises(DataError, match="unreadable or truncated") as caught:
            read_volume(path)
        assert caught.value.path == path
        assert caught.value.remedy


def test_files_of_another_kind(tmp_path):
    for path in examples(tmp_path):
        path.write_bytes(b"<html>404 not found</html>" * 40)
        with pytest.raises(DataError, match="unreadable or truncated"):
            read_volume(path)
        with pytest.raises(DataError, match="unreadable or truncated"):
            read_geometry(path)


def test_a_gzip_that_lost_only_its_checksum_or_changed_a_byte(tmp_path):
    path = nifti(tmp_path / "a.nii.gz", np.zeros((9, 9, 9), np.uint8))
    whole = path.read_bytes()
    for broken in (whole[:-4], whole[:-8] + b"\1\2\3\4" + whole[-4:]):
        path.write_bytes(broken)
        with pytest.raises(DataError, match="unreadable or truncated"):
            read_volume(path)
    path.write_bytes(gzip.compress(gzip.decompress(whole)[:-1]))  # sound gzip, one voxel short
    with pytest.raises(DataError, match="unreadable or truncated"):
        read_volume(path)


def test_a_missing_file_and_odd_voxels(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_volume(tmp_path / "none.nii.gz")
    with pytest.raises(DataError, match="plain numbers"):
        read_volume(nifti(tmp_path / "c.nii", np.zeros((3, 3, 3), np.complex64)))


# --- cases and labels ----------------------------------------------------------------------------------


def test_channels_are_stacked_in_order_and_must_share_a_grid(tmp_path):
    arrays = [RNG.random((3, 4, 5)).astype(np.float32) for _ in range(2)]
    paths = tuple(nifti(tmp_path / f"a_{i:04d}.nii.gz", a) for i, a in enumerate(arrays))
    np.testing.assert_array_equal(read_case(Case("a", paths)).array, np.stack(arrays))
    moved = oblique_affine()
    moved[0, 3] += 1
    nifti(paths[1], arrays[1], moved)
    with pytest.raises(DataError, match=r"different grids.*apart") as caught:
        read_case(Case("a", paths))
    assert caught.value.path == paths[1]
    nifti(paths[1], arrays[1][:2])
    with pytest.raises(DataError, match=r"shape \(2, 4, 5\) against \(3, 4, 5\)"):
        read_case(Case("a", paths))


def test_a_header_rounded_to_single_precision_is_the_same_grid(tmp_path):
    array = np.zeros((3, 4, 5), np.float32)
    rounded = np.round(oblique_affine(), 4)
    paths = (nifti(tmp_path / "a_0000.nii", array), nifti(tmp_path / "a_0001.nii", array, rounded))
    assert read_case(Case("a", paths)).channels == 2


def test_labels(tmp_path):
    values = RNG.integers(0, 4, (3, 4, 5))
    label = read_label(nifti(tmp_path / "f.nii.gz", values.astype(np.float32)))
    np.testing.assert_array_equal(label.array[0], values)
    assert label.array.dtype == np.uint8
    with pytest.raises(DataError, match="whole numbers"):
        read_label(nifti(tmp_path / "g.nii.gz", values + np.float32(0.25)))
    with pytest.raises(DataError, match="whole numbers"):
        read_label(nifti(tmp_path / "n.nii.gz", np.full((2, 2, 2), np.nan, np.float32)))
    with pytest.raises(DataError, match="one channel"):
        read_label(nifti(tmp_path / "h.nii.gz", np.zeros((3, 4, 5, 2), np.uint8)))
    assert read_label(nifti(tmp_path / "m.nii.gz", np.full((2, 2, 2), -1.0))).array.min() == -1


# --- writing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("largest", "dtype"), [(255, np.uint8), (256, np.uint16), (70000, np.int32)])
def test_masks_take_the_smallest_type(tmp_path, largest, dtype):
    mask = np.array([[[0, largest]]], dtype=np.int64)
    like = Volume(np.zeros((1, 1, 1, 2)), np.eye(4))
    assert read_label(write_mask(tmp_path / "m", mask, like)).array.dtype == dtype


def test_the_format_decides_the_ending(tmp_path):
    like = read_volume(nifti(tmp_path / "scan.nii", np.zeros((3, 4, 5), np.int16)))
    mask = np.zeros((3, 4, 5), np.uint8)
    names = [write_mask(tmp_path / "a.b", mask, like, f).name for f in ("same", "nii.gz", "nrrd", "mha")]
    assert names == ["a.b.nii", "a.b.nii.gz", "a.b.nrrd", "a.b.mha"]
    assert write_mask(tmp_path / "c.nii.gz", mask, like, "nrrd").name == "c.nrrd"
    assert write_mask(tmp_path / "c.mha", mask, like).name == "c.mha"
    with pytest.raises(SettingsError, match="no such format"):
        write_mask(tmp_path / "c", mask, like, "dcm")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    like = Volume(np.zeros((1, 3, 4, 5)), np.eye(4))
    path = write_mask(tmp_path / "m.nii.gz", np.zeros((3, 4, 5), int), like)
    before = path.read_bytes()

    def half(image, name):
        Path(name).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(nib, "save", half)
    with pytest.raises(DataError, match="disk full"):
        write_mask(path, np.ones((3, 4, 5), int), like)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["m.nii.gz"]


def test_an_array_of_another_shape_or_kind_is_refused(tmp_path):
    like = Volume(np.zeros((1, 3, 4, 5)), np.eye(4))
    with pytest.raises(ValueError, match="shape"):
        write_mask(tmp_path / "m", np.zeros((3, 4, 6), int), like)
    with pytest.raises(ValueError, match="integers"):
        write_mask(tmp_path / "m", np.zeros((3, 4, 5)), like)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["la", "hippocampus", "acdc", "nuclei"])
def test_real_scans_come_back_on_their_own_grid(shared_data, tmp_path, name):
    scan = sorted((shared_data / name / "dev" / "imagesTr").iterdir())[0]
    label = scan.parent.parent / "labelsTr" / scan.name.replace("_0000", "")
    volume, reference = read_volume(scan), read_label(label)
    geometry = read_geometry(scan)
    assert (geometry.shape, geometry.channels) == (volume.shape, volume.channels)
    assert geometry.dtype == volume.array.dtype
    for format in ("same", "nii.gz", "nrrd", "mha"):
        written = read_label(write_mask(tmp_path / "mask", reference.array[0], volume, format))
        np.testing.assert_array_equal(written.array, reference.array)
        np.testing.assert_allclose(
            written.affine, volume.affine, rtol=0, atol=0 if format == "same" else 1e-6
        )
