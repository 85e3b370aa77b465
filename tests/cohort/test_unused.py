"""Files that no rule of a data folder uses are named, with the name that they should have."""

from __future__ import annotations

import json
import os
import shutil
import unicodedata
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from semivox.cohort import check_cohort, load_cohort
from semivox.errors import DataError

IMAGE, LABEL = np.zeros((6, 5, 4), np.float32), np.zeros((6, 5, 4), np.uint8)
LABEL[2:4, 2:4, 1:3] = 1


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """One labelled case ``a`` and an unlabelled one ``José``, composed."""
    root = tmp_path / "data"
    for name in ("imagesTr", "labelsTr"):
        (root / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for case in ("a", unicodedata.normalize("NFC", "José")):
        image = nib.Nifti1Image(rng.normal(size=IMAGE.shape).astype(np.float32), np.eye(4))
        nib.save(image, root / "imagesTr" / f"{case}_0000.nii.gz")
    nib.save(nib.Nifti1Image(LABEL, np.eye(4)), root / "labelsTr" / "a.nii.gz")
    described = {"channel_names": {"0": "MR"}, "labels": {"background": 0, "x": 1}, "file_ending": ".nii.gz"}
    (root / "dataset.json").write_text(json.dumps(described))
    return root


@pytest.mark.parametrize(
    ("stray", "told"),
    [
        ("labelsTr/b.nii.gz", "add the image"),
        ("labelsTr/Jose\u0301.nii.gz", "rename Jose\u0301.nii.gz to Jos\u00e9.nii.gz"),
        ("labelsTr/JOS\u00c9.nii.gz", "to Jos\u00e9.nii.gz"),
        ("labelsTr/Jos\u00e9_0000.nii.gz", "to Jos\u00e9.nii.gz"),
        ("labelsTr/Jos\u00e9_seg.nii.gz", "to Jos\u00e9.nii.gz"),
        ("labelsTr/Jos\u00e9 .nii.gz", "to Jos\u00e9.nii.gz"),
        ("labelsTr/label_Jos\u00e9.nii.gz", "to Jos\u00e9.nii.gz"),
        ("labelsTr/Jos\u00e9.nii", "rename Jos\u00e9.nii to Jos\u00e9.nii.gz"),
        ("labelsTr/Jos\u00e9.png", "convert"),
        ("imagesTr/c_0000.nii", "rename c_0000.nii to c_0000.nii.gz"),
        ("imagesTr/c_0000.png", "convert"),
        ("imagesTr/c_0000.nii.gz.part", "convert"),
        ("imagesTr/c_0000", "convert"),
        ("imagesTr/Thumbs.db", "take them out"),
    ],
)
def test_a_file_that_no_rule_uses_is_named_with_the_name_it_should_have(
    stray: str, told: str, data: Path
) -> None:
    assert load_cohort(data).left_out == ()
    shutil.copy(data / "labelsTr" / "a.nii.gz", data / stray)
    cohort = load_cohort(data)
    assert [case.name for case in cohort.cases] == ["Jos\u00e9", "a"]
    (fault,) = cohort.left_out
    assert Path(stray).name in str(fault)
    assert told in str(fault)
    assert any(told in str(finding.remedy) for finding in check_cohort(data).warnings)


@pytest.mark.parametrize("place", ["imagesTr/more", "labelsTr/more", "labelsTr/Jos\u00e9.nii.gz"])
def test_a_folder_in_a_folder_is_named(place: str, data: Path) -> None:
    (data / place).mkdir()
    shutil.copy(data / "labelsTr" / "a.nii.gz", data / place / "b.nii.gz")
    (fault,) = load_cohort(data).left_out
    assert fault.found == f"{Path(place).name}/"
    (data / "labelsTr" / ".hidden").mkdir()
    assert len(load_cohort(data).left_out) == 1


@pytest.mark.parametrize("name", ["a_0000.nii.gz", "a.nii.gz", "A", "a_seg", "a_0000"])
def test_a_line_that_leaves_out_a_case_by_another_name_is_an_error(name: str, data: Path) -> None:
    (data / "cases.csv").write_text(f"case,use\n{name},no\n")
    with pytest.raises(DataError, match=rf"not its own; found {name};.*write a,"):
        load_cohort(data)
    for line in (
        "a,no",
        "gone,no",
        "a,yes\nA,no",
    ):  # like none, or both
        (data / "cases.csv").write_text(f"case,use\n{line}\n")
        load_cohort(data)


def test_what_describes_the_scans_is_not_told(data: Path) -> None:
    for name in ("imagesTr/README.md", "labelsTr/notes.txt", "imagesTr/.DS_Store", "imagesTr/a_0000.json"):
        (data / name).write_text("x")
    assert load_cohort(data).left_out == ()


@pytest.mark.parametrize("place", ["imagesTr/p_0000.nii.gz", "labelsTr/Jos\u00e9.nii.gz"])
def test_a_pipe_is_a_fault_and_not_waited_for(place: str, data: Path) -> None:
    os.mkfifo(data / place)
    with pytest.raises(DataError, match="no regular file; found a pipe"):
        load_cohort(data)
    assert "pipe" in str(check_cohort(data).errors[0].found)
