"""CASE and an ending: the name of every mask, and that it is read as that of its own case."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from semivox.cohort import (
    CHOICES,
    ENDINGS,
    Case,
    Source,
    Volume,
    import_masks,
    is_scan,
    label_place,
    load_cohort,
    mask_name,
    mask_place,
    scan_ending,
    stem_of,
    write_mask,
)
from semivox.errors import DataError, SettingsError

SCANS = [None, *(ending for ending in ENDINGS if is_scan(f"a{ending}"))]
NAMES = ["a", "a.b", *(f"a{ending}" for ending in ENDINGS), *(f"a.b{ending.upper()}" for ending in ENDINGS)]
PARTS = ["a.ome", "a.seg", "a.rtstruct", "a.nii", "A.SEG"]
"""Which an ending may make part of a longer one."""


@pytest.mark.parametrize("format", ["same", *CHOICES])
def test_no_two_cases_have_a_mask_of_one_name(format: str) -> None:
    owners: dict[str, str] = {}
    refused = set()
    for case, scan in product([*NAMES, *PARTS], SCANS):
        try:
            name = mask_name(case, scan, format)
        except DataError:
            refused.add(case)
            continue
        assert name.startswith(case)
        assert name[len(case) :] in ENDINGS
        assert stem_of(name) == case  # by which masks are found
        assert owners.setdefault(name, case) == case
    assert refused <= set(PARTS)  # the rest is never refused


def test_what_is_no_format_has_no_name() -> None:
    with pytest.raises(SettingsError, match="no such format"):
        mask_name("a", ".png", "gif")


@pytest.mark.parametrize("name", ["p1", "p1.png", "p1.nii", "p1.dcm", "p1.v2"])
def test_a_folder_of_dicom_has_no_ending(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    assert scan_ending(tmp_path / name) is None
    like = Volume(np.zeros((1, 3, 4, 5)), np.eye(4), Source(tmp_path / name, "dicom"))
    assert mask_place(tmp_path / "m", np.ones((3, 4, 5), int), like).name == "m.nii.gz"


def test_a_map_or_mask_that_needs_another_format_stays_its_cases(tmp_path: Path) -> None:
    """x.ome.png is a name; what a PNG cannot hold would be x.ome.tiff, of x."""
    like = Volume(np.zeros((1, 3, 4)), np.eye(4))
    large = np.full((3, 4), 70000)
    assert write_mask(tmp_path / "x.dcm.png", large, like).name == "x.dcm.tiff"
    with pytest.raises(DataError, match=r"x\.ome\.tiff, which is the \.ome\.tiff of case 'x'"):
        write_mask(tmp_path / "x.ome.png", large, like)
    assert [path.name for path in tmp_path.iterdir()] == ["x.dcm.tiff"]


@pytest.mark.parametrize("name", ["IM1", "IM1.dcm", "IM1.jpg", "IM1.seg"])
@pytest.mark.parametrize("ending", [".png", ".nrrd"])
def test_a_new_label_is_found_again_or_refused(name: str, ending: str, tmp_path: Path) -> None:
    for sub in ("images", "labels"):
        (tmp_path / sub).mkdir()
    for case in ("IM1", "IM1.dcm", "IM1.jpg"):
        (tmp_path / f"images/{case}{ending}").touch()
    content = {"channel_names": {"0": "c"}, "labels": {"background": 0, "a": 1}, "file_ending": ending}
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    cohort = load_cohort(tmp_path)
    if name == "IM1.seg":
        case = Case(name, (tmp_path / f"images/{name}_0000{ending}",))
        if ending == ".nrrd":
            with pytest.raises(DataError, match="would be read as that of another case"):
                label_place(replace(cohort, cases=(case,)), case)
            return
    else:
        case = next(case for case in cohort.cases if case.name == name)
    place = label_place(cohort, case)
    assert place == tmp_path / f"labels/{name}{ending}"
    place.touch()
    if name != "IM1.seg":
        assert {c.name for c in load_cohort(tmp_path).cases if c.label} == {name}


def test_masks_of_such_cases_are_imported_each_for_its_own(tmp_path: Path) -> None:
    names = ["IM1", "IM1.dcm", "IM1.jpg", "IM1.nii.gz", "IM1.ome"]
    for i, name in enumerate(names):
        (tmp_path / "src/images").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"src/labels/{name}").mkdir(parents=True)
        Image.fromarray(np.full((9 + i, 8), 9, np.uint8)).save(tmp_path / f"src/images/{name}.jpg")
        drawn = np.eye(9 + i, 8, dtype=np.uint8)
        nib.save(nib.Nifti1Image(drawn.T, np.eye(4)), tmp_path / f"src/labels/{name}/spot.nii.gz")
    cohort = load_cohort(import_masks(tmp_path / "src", tmp_path / "dst"))
    assert [case.name for case in cohort.cases] == names
    for case in cohort.cases:
        assert case.label == tmp_path / f"dst/labelsTr/{case.name}.png"
