"""Which scans a list of paths means."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from semivox.cohort.case import Naming
from semivox.cohort.scans import find_scans
from semivox.errors import DataError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def found(*paths: Path) -> dict[str, list[str]]:
    return {scan.name: [path.name for path in scan.images] for scan in find_scans(paths).cases}


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


NUMBERED, ONE_EACH, TWO = Naming(True, 1), Naming(False, 1), Naming(True, 2)


def names(path: Path, naming: Naming | None = None) -> list[str]:
    return [scan.name for scan in find_scans([path], naming).cases]


@pytest.mark.parametrize(
    ("files", "naming", "expected"),
    [
        ("s_0000 s_0001 s_0002", ONE_EACH, "s_0000 s_0001 s_0002"),
        ("s_0000", ONE_EACH, "s_0000"),
        ("s_0000 s_0001 s_0002", NUMBERED, "s_0000 s_0001 s_0002"),
        ("a_0000 b_0000 c", NUMBERED, "a b c"),
        ("a_0000 b_0002", NUMBERED, "a b_0002"),
        ("a_0000 a_0001 b_0000 b_0001", TWO, "a b"),
        ("a_0000 a_0001 b_0000 b_0001", None, "a b"),
    ],
)
def test_the_model_tells_what_a_number_means(
    tmp_path: Path, files: str, naming: Naming | None, expected: str
) -> None:
    touch(tmp_path, *(f"{name}.nii.gz" for name in files.split()))
    assert names(tmp_path, naming) == expected.split()
    alone = {name for path in tmp_path.iterdir() for name in names(path, naming)}
    assert sorted(alone) == expected.split()  # a file given by its name is the case it is in its folder


def test_a_case_that_lacks_a_channel_is_told_not_guessed(tmp_path: Path) -> None:
    touch(tmp_path, "a_0000.nii.gz", "a_0001.nii.gz", "b_0000.nii.gz", "b_0002.nii.gz")
    found = find_scans([tmp_path], TWO)
    assert [case.name for case in found.cases] == ["a", "b"]
    assert list(found.faults) == ["b"]


PLACES = {
    "plain": ["s_0000"], "plain/images": ["s_0000"], "plain/images/s_0000.NII.GZ": ["s_0000"],
    "nnunet": ["s", "u"], "nnunet/imagesTr": ["s"], "nnunet/imagesTs": ["t"],
    "nnunet/imagesTs/t_0000.mhd": ["t"], "nnunet/imagesUn": ["u"],
    "msd": ["s_0000", "s_0001"], "msd/imagesTr": ["s_0000", "s_0001"], "msd/imagesTs": ["t_0000"],
}  # fmt: skip


@pytest.mark.parametrize("naming", [NUMBERED, ONE_EACH])
@pytest.mark.parametrize("place", PLACES)
def test_a_data_folders_images_are_named_by_its_layout(tmp_path: Path, place: str, naming: Naming) -> None:
    labels = {"background": 0, "a": 1}
    touch(tmp_path / "plain", "images/s_0000.NII.GZ", "labels/s_0000.nii.gz")
    touch(tmp_path / "nnunet", "imagesTr/s_0000.mhd", "imagesTr/s_0000.raw")
    touch(tmp_path / "nnunet", "imagesTs/t_0000.mhd", "imagesTs/t_0000.raw", "imagesUn/u_0000.mhd")
    touch(tmp_path / "msd", "imagesTr/s_0000.nii.gz", "imagesTr/s_0001.nii.gz", "imagesTs/t_0000.nii.gz")
    pairs = ["./imagesTr/s_0000.nii.gz", "./imagesTr/s_0001.nii.gz"]
    ending = {"labels": labels, "file_ending": ".mhd"}
    described = {"nnunet": ending, "msd": {"labels": labels, "training": pairs}}
    for folder, content in described.items():
        (tmp_path / folder / "dataset.json").write_text(json.dumps(content))
    assert names(tmp_path / place, naming) == PLACES[place]
    assert find_scans([tmp_path / place], naming).left_out == ()


def test_a_data_folder_means_its_cases_in_use(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.nrrd", "images/b.nii.gz", "images/c.png", "imagesUn/d.tif", "labels/a.nrrd")
    (tmp_path / "cases.csv").write_text("case,role,use\nb,test,\nc,,no\na,unlabeled,\n")
    assert names(tmp_path) == ["a", "b", "d"]


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.nii.gz", "b.bmp", "c.fit", "notes.txt", "dataset.json", "x.mhd", "x.raw")
    (tmp_path / "gone.nii.gz").symlink_to(tmp_path / "annex/gone.nii.gz")
    found = find_scans([tmp_path])
    assert [case.name for case in found.cases] == ["a", "gone", "x"]  # a link to nothing is a case that fails
    assert [path.name for path in found.left_out] == ["b.bmp", "c.fit"]
    assert names(tmp_path / "gone.nii.gz") == ["gone"]
