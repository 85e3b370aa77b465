"""Files of formats that are read only, as nibabel, Pillow, pynrrd and tifffile write them."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import nrrd
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import tifffile
from PIL import Image

from semivox.cohort import find_scans, load_cohort, read_geometry, read_label, read_volume, write_mask
from semivox.errors import DataError

RNG = np.random.default_rng(2)
TURNED = np.array([[0, -0.9, 0, 20.5], [0, 0, 2.5, -31], [1.1, 0, 0, 7], [0, 0, 0, 1.0]])


def same(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """The file reads as ``(C, X, Y[, Z])`` on this grid, and its header says so beforehand."""
    volume, header = read_volume(path), read_geometry(path)
    np.testing.assert_array_equal(volume.array, array)
    np.testing.assert_allclose(volume.affine, affine, atol=1e-5)
    assert (header.shape, header.channels, header.dtype) == (volume.shape, volume.channels, array.dtype)
    np.testing.assert_array_equal(header.affine, volume.affine)
    assert header.spacing_status == volume.spacing_status


@pytest.mark.parametrize("ending", [".mgz", ".mgh"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
def test_freesurfer(tmp_path: Path, ending: str, dtype: type) -> None:
    array = RNG.integers(0, 200, (7, 6, 5)).astype(dtype)
    path = tmp_path / f"a{ending}"
    nib.save(nib.MGHImage(array, TURNED), path)
    same(path, array[None], TURNED)
    if dtype is not np.float32:
        np.testing.assert_array_equal(read_label(path).array[0], array)
    written = write_mask(tmp_path / "m", array.astype(np.uint8), read_volume(path))
    assert written.name == "m.nii.gz"
    np.testing.assert_allclose(read_volume(written).affine, TURNED, atol=1e-5)


def test_freesurfer_of_16_bits_and_many_frames(tmp_path: Path) -> None:
    image = nib.MGHImage(RNG.integers(-900, 900, (7, 6, 5, 3)).astype(np.int32), TURNED)
    image.header.set_data_dtype(np.int16)
    array = np.asarray(image.dataobj)
    content = image.header.binaryblock[:90].ljust(284, b"\0") + array.astype(">i2").tobytes(order="F")
    (tmp_path / "a.mgz").write_bytes(gzip.compress(content))
    same(tmp_path / "a.mgz", np.moveaxis(array, -1, 0).astype(np.int16), TURNED)


def test_freesurfer_without_directions_is_refused(tmp_path: Path) -> None:
    image = nib.MGHImage(np.zeros((7, 6, 5), np.uint8), TURNED)
    image.header["goodRASFlag"] = 0
    nib.save(image, tmp_path / "a.mgh")
    content = bytearray((tmp_path / "a.mgh").read_bytes())
    content[28:30] = b"\0\0"
    (tmp_path / "a.mgh").write_bytes(content)
    for reads in (read_volume, read_geometry):
        with pytest.raises(DataError, match="which way the axes run"):
            reads(tmp_path / "a.mgh")


@pytest.mark.parametrize("voxels", [".img", ".img.gz"])
def test_a_pair(tmp_path: Path, voxels: str) -> None:
    array = RNG.integers(-900, 900, (7, 6, 5)).astype(np.int16)
    image = nib.Nifti1Pair(array, TURNED)
    image.header.set_xyzt_units("mm")
    nib.save(image, tmp_path / "a.img")
    if voxels == ".img.gz":
        (tmp_path / "a.img.gz").write_bytes(gzip.compress((tmp_path / "a.img").read_bytes()))
        (tmp_path / "a.img").unlink()
    same(tmp_path / "a.hdr", array[None], TURNED)
    scans = find_scans([tmp_path])
    assert ([scan.name for scan in scans.cases], scans.left_out) == (["a"], ())
    written = write_mask(tmp_path / "m", np.ones((7, 6, 5), np.uint8), read_volume(tmp_path / "a.hdr"))
    assert written.name == "m.nii.gz"
    assert sitk.GetArrayFromImage(sitk.ReadImage(str(written))).sum() == 7 * 6 * 5
    np.testing.assert_allclose(nib.load(written).affine, TURNED, atol=1e-5)
    (tmp_path / f"a{voxels}").unlink()
    with pytest.raises(DataError, match="without its voxels"):
        read_volume(tmp_path / "a.hdr")


@pytest.mark.parametrize("kind", [nib.AnalyzeImage, nib.Spm99AnalyzeImage])
def test_analyze_is_refused(tmp_path: Path, kind: Any) -> None:
    nib.save(kind(np.zeros((7, 6, 5), np.int16), np.diag([-1.0, 1, 1, 1])), tmp_path / "a.img")
    with pytest.raises(DataError, match="which way the axes run"):
        read_volume(tmp_path / "a.hdr")


def test_a_detached_nrrd(tmp_path: Path) -> None:
    array = RNG.integers(0, 900, (7, 6, 5)).astype(np.uint16)
    axes = np.array([[0, 0, 1.1], [0.9, 0, 0], [0, -2.5, 0]])
    header = {"space": "left-posterior-superior", "space directions": axes, "space origin": [1, 2, 3]}
    nrrd.write(str(tmp_path / "a.nhdr"), array, header)
    affine = np.eye(4)
    affine[:3] = np.diag([-1, -1, 1]) @ np.column_stack([axes.T, [1, 2, 3]])
    same(tmp_path / "a.nhdr", array[None], affine)


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg(tmp_path: Path, mode: str, progressive: bool) -> None:
    shape = (21, 30) if mode == "L" else (21, 30, 3)
    path = tmp_path / "a.jpg"
    Image.fromarray(RNG.integers(0, 255, shape).astype(np.uint8)).save(
        path, dpi=(300, 300), progressive=progressive
    )
    with Image.open(path) as picture:
        rows = np.asarray(picture).reshape(21, 30, -1)
    same(path, rows.transpose(2, 1, 0), np.eye(4))
    assert read_volume(path).spacing_status == "unknown"
    assert write_mask(tmp_path / "m", np.ones((30, 21), np.uint8), read_volume(path)).name == "m.png"


def test_jpeg_that_cannot_be_right_is_refused(tmp_path: Path) -> None:
    grey = Image.fromarray(np.full((20, 24), 7, np.uint8))
    grey.save(tmp_path / "label.jpg")
    exif = Image.Exif()
    exif[274] = 6
    grey.save(tmp_path / "turned.jpeg", exif=exif)
    grey.convert("CMYK").save(tmp_path / "cmyk.jpg")
    with pytest.raises(DataError, match=r"label\.jpg: JPEG changes the numbers"):
        read_label(tmp_path / "label.jpg")
    with pytest.raises(DataError, match="orientation 6"):
        read_volume(tmp_path / "turned.jpeg")
    with pytest.raises(DataError, match="4 samples of 8 bits"):
        read_volume(tmp_path / "cmyk.jpg")


def test_ome_tiff(tmp_path: Path) -> None:
    """The label of ``a.ome.tif`` may be ``a.tif``."""
    array = RNG.integers(0, 900, (5, 6, 7)).astype(np.uint16)
    sizes = {f"PhysicalSize{axis}": size for axis, size in zip("XYZ", (400, 500, 2000), strict=True)}
    units = {f"PhysicalSize{axis}Unit": "µm" for axis in "XYZ"}
    for sub in ("images", "labels"):
        (tmp_path / sub).mkdir()
    path = tmp_path / "images/a.ome.tif"
    tifffile.imwrite(path, array, metadata={"axes": "ZYX", **sizes, **units})
    same(path, array.T[None], np.diag([0.4, 0.5, 2, 1]))
    mask = (array.T > 400).astype(np.uint8)
    written = write_mask(tmp_path / "labels/a", mask, read_volume(path))
    assert written.name == "a.ome.tif"
    np.testing.assert_array_equal(tifffile.imread(written), mask.T)
    np.testing.assert_allclose(read_label(written).voxel_edges, (0.4, 0.5, 2))
    written.rename(tmp_path / "labels/a.tif")
    (case,) = load_cohort(tmp_path).cases
    assert (case.name, case.label) == ("a", tmp_path / "labels/a.tif")
