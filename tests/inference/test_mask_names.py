"""A case's dots are its own: its mask and its maps are called CASE and an ending, whatever it looks like."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semivox.cohort import Case, read_label, stem_of
from semivox.cohort.format_table import CHOICES, ENDINGS
from semivox.cohort.scans import find_scans
from semivox.commands.evaluate import evaluate
from semivox.errors import DataError
from semivox.inference import Segmentation, load_model
from semivox.inference.folder import predict_folder
from semivox.inference.scan_work import Wanted

from .conftest import MakeRun, SaveScan

NAMES = ["a", "a.b", *(f"a{ending}" for ending in ENDINGS), "a.nii.gz.nii.gz", "A.DCM"]
"""What converters leave of another file's name, for every ending that is read."""


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix not in (".json", ".csv"))


@pytest.mark.parametrize("format", ["same", "nii.gz", "nrrd", "seg.nrrd", "mha"])
def test_each_case_has_its_own_mask_and_maps(
    format: str, make_run: MakeRun, save_scan: SaveScan, tmp_path: Path
) -> None:
    model, out = load_model(make_run(), device="cpu"), tmp_path / "out"
    ending = ".nii.gz" if format == "same" else CHOICES[format]
    shapes = {name: (9 + i, 8, 7) for i, name in enumerate(NAMES)}
    for name, shape in shapes.items():
        save_scan(f"scans/{name}_0000.nii.gz", shape=shape)
    scans = find_scans([tmp_path / "scans"], model.naming).cases
    assert sorted(scan.name for scan in scans) == sorted(NAMES)
    mine = [name for name in NAMES if stem_of(name + ending) == name]
    maps = ".nrrd" if format == "seg.nrrd" else ending
    wanted = Wanted(format, probabilities=True, uncertainty=True)
    report = predict_folder(model, scans, out, wanted)
    masks = names_in(out)
    assert [n for n in masks if (out / n).is_file()] == sorted(name + ending for name in mine)
    for folder in ("probabilities", "uncertainty"):
        assert names_in(out / folder) == sorted(name + maps for name in mine)
    for name in mine:
        assert read_label(out / (name + ending)).shape == shapes[name]
    # what would be read as another case's is refused by name, and no other case suffers
    assert {row.case for row in report.failed} == set(NAMES) - set(mine)
    assert all("would be read as that of another case" in row.reason for row in report.failed)
    again = predict_folder(model, scans, out, wanted, skip_existing=True)
    assert set(again.skipped) == set(mine)
    assert names_in(out) == masks


def test_a_name_that_hides_an_ending_is_refused_before_it_takes_another_cases_place(
    make_run: MakeRun, save_scan: SaveScan, tmp_path: Path
) -> None:
    model, out = load_model(make_run(), device="cpu"), tmp_path / "out"
    paths = [save_scan(f"scans/{name}_0000.nrrd.nii.gz") for name in ("x", "x.seg")]
    scans = [Case("x", (paths[0],)), Case("x.seg", (paths[1],))]
    report = predict_folder(model, scans, out, Wanted("nrrd"))
    assert names_in(out) == ["x.nrrd"]
    (failed,) = report.failed
    assert failed.seconds is not None
    assert "found x.seg.nrrd, which is the .seg.nrrd of case 'x'" in failed.reason
    assert "choose another format" in failed.reason


def test_pictures_of_such_names_are_judged_each_by_its_own(make_run: MakeRun, tmp_path: Path) -> None:
    names = ["IM1.png", "IM1.jpg.png", "IM2.dcm.jpg", "IM3.tif.tif", "IM4.ome.tif"]
    run = make_run(dims=2, channels=3, native_spacing=(1.0, 1.0), spacing_known=False)
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    for i, name in enumerate(names):
        pixels = np.random.default_rng(i).integers(0, 255, (20 + i, 24, 3), np.uint8)
        Image.fromarray(pixels).save(data / "images" / name)
    model = load_model(run, device="cpu")
    report = predict_folder(model, find_scans([data]).cases, tmp_path / "out", Wanted())
    assert not report.failed
    expected = ["IM1.jpg.png", "IM1.png", "IM2.dcm.png", "IM3.tif.tif", "IM4.ome.tif"]
    assert names_in(tmp_path / "out") == expected
    (data / "labels").mkdir()
    for name in expected:  # each is compared with what the model says of its own picture
        shutil.copyfile(tmp_path / "out" / name, data / "labels" / name)
    judged = evaluate(tmp_path / "out", data / "labels", out=tmp_path / "evaluation.json")
    assert sorted(judged["cases"]) == sorted(stem_of(name) for name in expected)
    for name, source in zip(sorted(expected), sorted(names), strict=True):
        written = read_label(tmp_path / "out" / name).array[0]
        np.testing.assert_array_equal(written, model.predict(data / "images" / source).mask)


# --- where a caller names the file ------------------------------------------------------------------------


@pytest.fixture
def picture(make_run: MakeRun, tmp_path: Path) -> Segmentation:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 24), np.uint8)).save(tmp_path / "p.jpg")
    run = make_run(dims=2, native_spacing=(1.0, 1.0), spacing_known=False)
    return load_model(run, device="cpu").predict(tmp_path / "p.jpg")


@pytest.mark.parametrize(
    ("given", "format", "written"),
    [
        ("keep.jpg", "same", "keep.png"),
        ("keep.JPEG", "same", "keep.png"),
        ("keep.hdr", "same", "keep.nii.gz"),
        ("keep.mhd", "same", "keep.mha"),
        ("keep.nhdr", "same", "keep.nrrd"),
        ("keep.png", "nrrd", "keep.nrrd"),
        ("keep.dcm", "same", "keep.nii.gz"),
    ],
)
def test_a_file_of_a_name_that_nobody_gave_is_not_replaced(
    given: str, format: str, written: str, picture: Segmentation, tmp_path: Path
) -> None:
    place = tmp_path / "masks" / given
    place.parent.mkdir()
    assert picture.save(place, format) == place.with_name(written)
    place.with_name(written).write_bytes(b"years of work")
    with pytest.raises(DataError, match="another file has the name") as caught:
        picture.save(place, format)
    assert given in str(caught.value)
    assert written in str(caught.value)
    assert place.with_name(written).read_bytes() == b"years of work"
    assert picture.save(place.with_name(written)) == place.with_name(written)  # by its own name it is
    assert [path.name for path in place.parent.iterdir()] == [written]


def test_a_mask_that_its_format_cannot_hold_replaces_none_either(
    picture: Segmentation, tmp_path: Path
) -> None:
    picture = replace(picture, mask=np.full(picture.mask.shape, 70000))  # more than a PNG holds
    (tmp_path / "keep.tiff").write_bytes(b"years of work")
    with pytest.raises(DataError, match=r"keep\.tiff"):
        picture.save(tmp_path / "keep.png")
    assert (tmp_path / "keep.tiff").read_bytes() == b"years of work"


@pytest.mark.parametrize("given", ["keep", "keep.v2", "keep.png"])
def test_a_name_that_is_kept_is_replaced_as_ever(given: str, picture: Segmentation, tmp_path: Path) -> None:
    first = picture.save(tmp_path / given)
    assert picture.save(tmp_path / given) == first
    assert first.name == given.removesuffix(".png") + ".png"
