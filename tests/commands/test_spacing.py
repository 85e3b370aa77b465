"""Each format with spacing and without: what every command and page says of it, and in which units."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image
from rich.console import Console

from semivox.cohort.formats import write_mask, write_volume
from semivox.cohort.volume import Volume
from semivox.commands import check as check_command
from semivox.commands import evaluate as evaluate_command
from semivox.commands import plan as plan_command
from semivox.commands.predict import predict
from semivox.commands.rank import rank
from semivox.commands.report import report
from semivox.commands.train import train
from semivox.inference.model import load_model

UNITS = re.compile(r"\d *(mm|ml)\b|\bin mm\b|, (mm|ml)\b|[(](mm|ml)[)]")
EDGES = (0.5, 0.5, 2.0)


def cases(folder: Path, number: int, like: str, seed: int) -> None:
    """``number`` cases of a ball in noise, in files that end in ``like``."""
    for index in range(number):
        rng = np.random.default_rng(seed + index)
        shape = (24, 22) if like == ".png" else (24, 22, 10)
        distance = np.linalg.norm(
            np.indices(shape) - np.reshape([s / 2 for s in shape], (-1, *[1] * len(shape))), axis=0
        )
        mask = (distance < 4).astype(np.uint8)
        image = np.clip(60 + 90 * mask + rng.normal(0, 8, shape), 0, 255).astype(np.uint8)
        save(folder / f"images/c{seed + index}{like}", image)
        save(folder / f"labels/c{seed + index}{like}", mask)


def save(path: Path, array: np.ndarray) -> None:
    """Written by the libraries, not by semivox; "known" in the folder's path: with spacing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    known = "known" in path.parts
    affine = np.diag([*EDGES, 1.0])
    ending = path.suffix
    if ending == ".png":
        Image.fromarray(array.T).save(path)
    elif ending == ".tif":
        calibrated: dict[str, Any] = {"resolution": (2, 2)} if known else {}
        meta = {"unit": "mm", "spacing": 2.0} if known else {}
        if path.parent.name == "labels":
            calibrated, meta = {}, {}  # labels seldom carry it
        tifffile.imwrite(path, array.T, imagej=True, metadata={"axes": "ZYX", **meta}, **calibrated)
    elif ending == ".nii":
        nib.save(nib.Nifti1Image(array, affine if known else None), path)
    else:
        scan = Volume(array[None], affine if known else np.eye(4))
        write_volume(path, array[None], scan)
        if not known:
            head = path.read_bytes()
            lines = {".nrrd": rb"space directions:[^\n]*\n", ".mha": rb"ElementSpacing =[^\n]*\n"}
            bare = re.sub(lines[ending], b"", head, count=1)
            bare = (
                re.sub(rb"space: [^\n]*\n|space origin: [^\n]*\n", b"", bare) if ending == ".nrrd" else bare
            )
            path.write_bytes(bare)


def text_of(renderable: Any) -> str:
    console = Console(width=400, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(renderable)
    return console.export_text()


KINDS = [
    (".nii", "known"), (".nii", "unknown"), (".nrrd", "known"), (".nrrd", "unknown"), (".mha", "known"),
    (".mha", "unknown"), (".tif", "known"), (".tif", "unknown"), (".png", "unknown"),
]  # fmt: skip


@pytest.mark.parametrize(("ending", "status"), KINDS)
def test_every_command_and_page(tmp_path: Path, ending: str, status: str) -> None:
    known, dims = status == "known", 2 if ending == ".png" else 3
    data, test, run, out = (tmp_path / status / name for name in ("data", "test", "run", "masks"))
    cases(data, 3, ending, 0)
    cases(test, 2, ending, 7)
    (data / "labels" / f"c2{ending}").unlink()

    checked = check_command.check(data)
    assert (checked.spacing, checked.findings) == (status, ())
    assert bool(UNITS.search(text_of(check_command.render(checked)))) == known
    assert (checked.to_json()["summary"]["spacings_mm"] is not None) == known  # type: ignore[index]

    planned = plan_command.plan(data)
    assert planned.spacing_known == known
    assert planned.native_spacing == (EDGES if known else (1.0,) * dims)
    words = text_of(plan_command.render(planned, verbose=True))
    assert bool(UNITS.search(words)) == known
    assert ("header spacings are true" in words) == known
    assert ("not tell the spacing" in words) == (not known)

    train(data, run, method="supervised", steps=2, precision="fp32", threads=1, workers=1)
    card = json.loads((run / "model.json").read_text())
    assert (card["spacing_known"], card["plan"]["spacing_known"]) == (known, known)
    assert bool(card["training"]["spacing_mm"]) == known

    said = [row.reason for row in predict(run, test / "images", out).rows]
    written = json.loads((out / "predictions.json").read_text())
    assert written["spacing_known"] == known
    assert not any("spacing" in (reason or "") for reason in said)
    for row in written["cases"]:
        millilitres = row["volume_ml"]["1"]
        assert millilitres == (pytest.approx(row["voxels"]["1"] * 0.5 / 1000) if known else None)
        assert known or not UNITS.search(row["reason"] or "")
    with (out / "predictions.csv").open(newline="") as file:
        assert {bool(row.get("volume_ml_1")) for row in csv.DictReader(file)} == {known}

    for labels in (test, test / "labels"):
        evaluation = evaluate_command.evaluate(out, labels)
        for metric in ("hd95_mm", "assd_mm", "nsd", "volume_error_ml"):
            assert (evaluation["mean"]["1"][metric] is not None) == known, metric
        assert evaluation["mean"]["1"]["hd95_vox"] is not None
        assert bool(UNITS.search(text_of(evaluate_command.render(evaluation)))) == known

    page = report(run, test=test).read_text(encoding="utf-8")
    prose = re.sub(r"<(script|style)\b.*?</\1>|data:[^\"]*|<[^>]*>", " ", page, flags=re.DOTALL)
    assert known or not UNITS.search(prose), UNITS.search(prose)
    assert not known or UNITS.search(prose)
    rank(run, data, out=tmp_path / "ranking")


def test_one_untold_scan_takes_millimetres_from_the_folder(tmp_path: Path) -> None:
    data = tmp_path / "known"
    cases(data, 3, ".tif", 0)
    tifffile.imwrite(
        data / "images/c1.tif", tifffile.imread(data / "images/c1.tif"), photometric="minisblack"
    )
    planned = plan_command.plan(data)
    assert not planned.spacing_known
    assert planned.native_spacing == (1.0, 1.0, 4.0)  # the ratio that most scans tell
    assert "1 of 3 scans do not tell the spacing" in planned.assumptions[0]


def test_a_scan_without_spacing_is_taken_as_those_of_training_and_flagged(tmp_path: Path) -> None:
    cases(tmp_path / "known/data", 3, ".nii", 0)
    cases(tmp_path / "unknown/test", 1, ".nii", 7)
    run = tmp_path / "run"
    train(tmp_path / "known/data", run, method="supervised", steps=2, precision="fp32", threads=1, workers=1)
    [row] = predict(run, tmp_path / "unknown/test/images", tmp_path / "out").rows
    assert row.volume_ml == {"1": None}
    assert "does not tell its spacing" in str(row.reason)
    told = nib.load(tmp_path / "unknown/test/images/c7.nii")
    told = nib.Nifti1Image(np.asarray(told.dataobj), np.diag([-0.5, 0.5, 2, 1]))  # as nibabel turns the other
    nib.save(told, tmp_path / "told.nii")
    predict(run, tmp_path / "told.nii", tmp_path / "out2")
    masks = [nib.load(tmp_path / name).get_fdata() for name in ("out/c7.nii", "out2/told.nii")]
    np.testing.assert_array_equal(*masks)


def test_an_older_model_of_pictures_has_no_millimetres(tmp_path: Path) -> None:
    """It was written when a TIFF's voxels were taken to be cubes of 1 mm, whatever the file told."""
    cases(tmp_path / "unknown/data", 3, ".tif", 0)
    run = tmp_path / "run"
    train(
        tmp_path / "unknown/data", run, method="supervised", steps=2, precision="fp32", threads=1, workers=1
    )
    card = json.loads((run / "model.json").read_text())
    scan = np.random.default_rng(0).integers(0, 99, (1, 24, 22, 10)).astype(np.uint8)
    new = load_model(run).predict(Volume(scan, np.eye(4), spacing_status="unknown"))
    card.pop("spacing_read")
    card["spacing_known"] = card["plan"]["spacing_known"] = True
    (run / "model.json").write_text(json.dumps(card))
    for volume in (
        Volume(scan, np.eye(4), spacing_status="unknown"),
        Volume(scan, np.diag([2e-4, 2e-4, 2e-3, 1])),
    ):
        old = load_model(run).predict(volume)
        np.testing.assert_array_equal(old.mask, new.mask)
        assert old.volume_ml == {1: None}


def test_a_folder_that_does_not_trust_its_headers(tmp_path: Path) -> None:
    data = tmp_path / "known"
    cases(data, 3, ".nii", 0)
    (data / "dataset.json").write_text(
        json.dumps({"labels": {"background": 0, "ball": 1}, "spacing_known": False, "file_ending": ".nii"})
    )
    assert check_command.check(data).spacing == "nominal"
    words = text_of(check_command.render(check_command.check(data)))
    assert "nominal" in words
    assert not UNITS.search(words)
    planned = plan_command.plan(data)
    assert planned.native_spacing == (1.0, 1.0, 4.0)
    assert "header spacings are nominal" in planned.assumptions[0]


def test_predictions_of_untold_scans_stay_untold_in_another_format(tmp_path: Path) -> None:
    like = Volume(np.zeros((1, 6, 5, 4), np.uint8), np.eye(4), spacing_status="unknown")
    for sub in ("a", "b"):
        write_mask(tmp_path / sub / "c", np.ones((6, 5, 4), np.uint8), replace(like), "nii.gz")
    evaluation = evaluate_command.evaluate(tmp_path / "a", tmp_path / "b")
    assert evaluation["mean"]["1"]["hd95_mm"] is None
    assert evaluation["mean"]["1"]["dice"] == 1
