"""A case is known by what its files decode to, in every format that is read."""

from __future__ import annotations

import gzip
import hashlib
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from semivox.cohort import Case, Volume, read_volume, write_volume
from semivox.cohort.format_table import ENDINGS
from semivox.cohort.identity import (
    case_identity,
    files_sha256,
    identity_of,
    is_recorded,
    quick_sha256,
)

PICTURES = (".png", ".tif", ".tiff", ".ome.tif", ".ome.tiff", ".jpg", ".jpeg")
WRITTEN = [e for e in ENDINGS if e not in (".seg.dcm", ".rtstruct.dcm")]  # those need a DICOM scan
DETACHED = (".mhd", ".nhdr")
AFFINE = np.array([[-0.7, 0, 0, 31.3], [0, -0.7, 0, -12.9], [0, 0, 1.25, 4.1], [0, 0, 0, 1]])


def scan(seed: int = 0, flat: bool = False) -> Volume:
    shape = (12, 11) if flat else (12, 11, 5)
    array = np.random.default_rng(seed).integers(0, 200, (1, *shape)).astype(np.uint8)
    return Volume(array, np.eye(4) if flat else AFFINE)


def write(path: Path, volume: Volume) -> Path:
    """In the format of the ending, a detached header with its voxels beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.name.endswith(DETACHED):
        return write_volume(path, volume.array, volume)
    whole = write_volume(
        path.with_suffix({".mhd": ".mha", ".nhdr": ".nrrd"}[path.suffix]), volume.array, volume
    )
    sitk.WriteImage(sitk.ReadImage(str(whole)), str(path))
    whole.unlink()
    return path


def case(path: Path) -> Case:
    return Case("a", (path,))


@pytest.mark.parametrize("ending", WRITTEN)
def test_every_format_of_one_scan_is_one_case(ending: str, tmp_path: Path) -> None:
    volume = scan(flat=ending in PICTURES)
    path = write(tmp_path / f"one/a{ending}", volume)
    assert read_volume(path).array.dtype == np.uint8
    assert case_identity(case(path)) == identity_of(volume)
    moved = write(tmp_path / f"two/other name{ending}", volume)
    assert case_identity(case(moved)) == identity_of(volume)
    assert is_recorded(case(moved), {identity_of(volume)})


@pytest.mark.parametrize("ending", WRITTEN)
def test_other_voxels_are_another_case(ending: str, tmp_path: Path) -> None:
    """Also where they lie beside a header that stays as it is."""
    flat = ending in PICTURES
    before = case_identity(case(write(tmp_path / f"a{ending}", scan(0, flat))))
    other = scan(0, flat)
    other.array[0, 3, 3] ^= 1
    path = write(tmp_path / f"a{ending}", other)
    assert case_identity(case(path)) != before
    assert not is_recorded(case(path), {before})


@pytest.mark.parametrize("ending", [e for e in WRITTEN if e not in PICTURES])
def test_another_grid_is_another_case(ending: str, tmp_path: Path) -> None:
    one = scan()
    wider = AFFINE @ np.diag([1, 1, 1.01, 1])
    shifted = AFFINE + np.array([[0, 0, 0, 0.5], *[[0.0] * 4] * 3])
    found = {
        case_identity(case(write(tmp_path / f"{i}{ending}", Volume(one.array, affine))))
        for i, affine in enumerate((AFFINE, wider, shifted))
    }
    assert len(found) == 3


def test_what_does_not_change_a_scan(tmp_path: Path) -> None:
    volume = scan()
    image = nib.Nifti1Image(volume.array[0], AFFINE)
    nib.save(image, tmp_path / "a.nii.gz")
    again = tmp_path / "again.nii.gz"
    again.write_bytes(gzip.compress(gzip.decompress((tmp_path / "a.nii.gz").read_bytes()), 1))
    image.header["descrip"] = b"anonymised"
    nib.save(image, tmp_path / "named.nii")
    nib.save(nib.Nifti1Image(volume.array[0].astype(np.float64), AFFINE), tmp_path / "double.nii")
    nib.save(nib.Nifti1Image(volume.array[0].astype(">i2"), AFFINE), tmp_path / "big.nii")
    sitk.WriteImage(
        sitk.ReadImage(str(tmp_path / "a.nii.gz")), str(tmp_path / "itk.nrrd"), useCompression=True
    )
    files = list(tmp_path.iterdir())
    assert len({files_sha256(case(p)) for p in files}) == len(files) == 6
    assert {case_identity(case(p)) for p in files} == {identity_of(volume)}


@pytest.mark.parametrize(
    "array",
    [
        np.array([[0.5, np.nan], [1, 2]]), np.array([[np.inf, 1], [1, 2]]), np.array([[1e300, 1], [1, 2]]),
        np.array([[2**63, 1], [1, 2]], np.uint64), np.array([[-(2**40), 1], [1, 2]]),
        np.zeros((2, 2), np.float16),
    ],
)  # fmt: skip
def test_odd_values_have_an_identity_too(array: np.ndarray) -> None:
    same, other = Volume(array[None], np.eye(4)), Volume(array[None].copy(), np.eye(4))
    assert identity_of(same) == identity_of(other)
    other.array[0, 1, 1] += 1
    assert identity_of(same) != identity_of(other)


def test_zeros_have_no_sign() -> None:
    one, other = (Volume(np.array([[[0.5, zero]]], np.float32), np.eye(4)) for zero in (0.0, -0.0))
    assert identity_of(one) == identity_of(other)


def test_channels_count_in_their_order(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"a_{i:04d}.nii.gz", scan(i)) for i in range(2)]
    both, turned = Case("a", tuple(paths)), Case("a", tuple(paths[::-1]))
    assert case_identity(both) != case_identity(turned)
    assert case_identity(both) == identity_of(Volume(np.concatenate([scan(0).array, scan(1).array]), AFFINE))


def test_an_old_record_of_the_files_is_understood(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii.gz", scan())
    assert is_recorded(case(path), {hashlib.sha256(path.read_bytes()).hexdigest()})
    header = write(tmp_path / "b.mhd", scan())
    assert is_recorded(case(header), {files_sha256(case(header))})
    assert quick_sha256(case(header)) is None
    assert quick_sha256(case(path)) == files_sha256(case(path))


def test_a_scan_is_read_once_while_its_file_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import semivox.cohort.identity as module

    path = write(tmp_path / "a.nii.gz", scan(0))
    reads = []
    read = module.read_case
    monkeypatch.setattr(module, "read_case", lambda c: (reads.append(c), read(c))[1])
    monkeypatch.setattr(module, "SETTLED_SECONDS", 0.0)
    first = case_identity(case(path))
    assert case_identity(case(path)) == first
    assert len(reads) == 1
    write(path, scan(1))
    os.utime(path, ns=(1, 1))
    assert case_identity(case(path)) == identity_of(scan(1))
    assert len(reads) == 2
    monkeypatch.undo()
    write(path, scan(2))  # too young to be remembered
    assert case_identity(case(path)) == identity_of(scan(2))
    write(path, scan(3))
    assert case_identity(case(path)) == identity_of(scan(3))
