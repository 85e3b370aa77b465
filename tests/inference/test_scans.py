"""Which scans a list of paths means."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from semivox.errors import DataError
from semivox.inference.scans import find_scans


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def found(*paths: Path) -> dict[str, list[str]]:
    return {scan.name: [path.name for path in scan.paths] for scan in find_scans(paths)}


def test_channels_of_a_case_belong_together(tmp_path: Path) -> None:
    touch(tmp_path, "b_0001.nii.gz", "b_0000.nii.gz", "a_0000.nii.gz", "notes.txt", ".hidden.nii.gz")
    expected = {"a": ["a_0000.nii.gz"], "b": ["b_0000.nii.gz", "b_0001.nii.gz"]}
    assert found(tmp_path) == expected
    assert found(tmp_path / "b_0001.nii.gz") == {"b": expected["b"]}
    assert found(tmp_path / "b_0000.nii.gz", tmp_path / "b_0001.nii.gz", tmp_path) == expected


def test_a_number_is_no_channel_where_the_first_is_missing(tmp_path: Path) -> None:
    touch(tmp_path, "scan_0001.nii.gz", "scan_0002.nii.gz", "x.1.nrrd", "plain.png", "UPPER.NII.GZ")
    assert list(found(tmp_path)) == ["UPPER", "plain", "scan_0001", "scan_0002", "x.1"]


def test_a_data_folder_gives_its_training_images_only(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/a_0000.png", "imagesUn/b_0000.png", "imagesTs/c_0000.png", "labelsTr/a.png")
    assert list(found(tmp_path)) == ["a", "b"]
    assert list(found(tmp_path / "imagesTs")) == ["c"]


def test_hash_of_one_file_and_of_several(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz", "c.mhd", "c.zraw")
    scans = {scan.name: scan for scan in find_scans([tmp_path])}
    assert scans["a"].sha256() == hashlib.sha256(b"a.nii.gz").hexdigest()
    before = {name: scan.sha256() for name, scan in scans.items()}
    for name in ("b_0001.nii.gz", "c.zraw"):
        (tmp_path / name).write_text("changed")
    after = {name: scan.sha256() for name, scan in scans.items()}
    assert {name for name in before if before[name] != after[name]} == {"b", "c"}


def test_faults_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "one/a.nii.gz", "two/a.nii.gz", "three/a.nii.gz", "three/a.nrrd", "four/notes.txt")
    with pytest.raises(DataError, match=r"two scans share the name 'a'.*also .*one"):
        find_scans([tmp_path / "one", tmp_path / "two"])
    with pytest.raises(DataError, match=r"share the name 'a'.*also a\.nii\.gz"):
        find_scans([tmp_path / "three"])
    with pytest.raises(DataError, match=r"four: no scan found; found 1 other entries"):
        find_scans([tmp_path / "four"])
    with pytest.raises(DataError, match="no such file or folder"):
        find_scans([tmp_path / "five"])
    with pytest.raises(DataError, match="not a scan that semivox reads"):
        find_scans([tmp_path / "four/notes.txt"])
    with pytest.raises(DataError, match="no scan to predict"):
        find_scans([])
