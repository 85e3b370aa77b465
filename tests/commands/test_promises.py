"""``predict`` and what masks are worth: from the masks that a run, or somebody, has measured."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from semivox.cli import main
from semivox.cohort import find_scans
from semivox.commands.evaluate import evaluate
from semivox.commands.predict import predict
from semivox.errors import DataError, SettingsError
from semivox.files import read_json, write_json
from semivox.inference import load_model
from semivox.inference.promise import HeldOutMask
from semivox.inference.record import read_rows
from semivox.runs.held_out import measure
from semivox.runs.held_out_masks import held_out_masks

from .test_predict import export, rows, scans


def labelled(folder: Path, run: Path, masks: Path, *names: str, first: int = 10) -> Path:
    """Masks of scans, and labels that differ from them in some voxels: ``folder/labels``."""
    found = folder / "images"
    found.mkdir(parents=True)
    for i, name in enumerate(names):
        array = np.random.default_rng(first + i).normal(size=(12, 9, 7)).astype(np.float32)
        nib.save(nib.Nifti1Image(array, np.diag([1.0, 1.0, 3.0, 1.0])), found / f"{name}.nii.gz")
    predict(run, found, masks, pieces="all")
    (folder / "labels").mkdir()
    for i, name in enumerate(names):
        image = nib.load(masks / f"{name}.nii.gz")
        values = np.asarray(image.dataobj).copy()
        wrong = np.random.default_rng(first + i).random(values.shape) < 0.02 * (i + 1)
        values[wrong] = 0
        nib.save(nib.Nifti1Image(values, image.affine), folder / "labels" / f"{name}.nii.gz")
    return folder / "labels"


def measured_in(run: Path, tmp_path: Path, *names: str) -> Path:
    """Masks of labelled scans in the run folder, as ``report --test`` leaves them."""
    place = run / "evaluations/dev"
    labels = labelled(tmp_path / "dev", run, place / "masks", *names)
    evaluate(place / "masks", labels, out=place / "evaluation.json")
    return place


def test_a_run_without_measured_masks_promises_nothing_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, new = export(tmp_path / "run"), scans(tmp_path / "scans", "a.nii.gz")
    assert main(["predict", str(run), str(new), "--out", str(tmp_path / "out")]) == 0
    assert "no Dice is promised: the run holds no measured masks" in capsys.readouterr().out
    row = rows(tmp_path / "out")["a"]
    assert row["promise"] is None
    assert {*row["agreement"]["probability"]} == {"1", "3", "foreground"}
    assert {*row["appearance"]} == {"spacing", "extent", "intensity", "sharpness"}


def test_masks_that_the_run_holds_tell_what_new_ones_are_worth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = export(tmp_path / "run")
    measured_in(run, tmp_path, "p", "q", "r")
    new, out = scans(tmp_path / "scans", "a.nii.gz", "b.nii.gz"), tmp_path / "out"
    assert main(["predict", str(run), str(new), "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert "calibrated on 3 held-out patients" in shown.out
    assert "75 % have the Dice that is promised (3 can promise 75 % at most)" in shown.out
    row = rows(out)["a"]
    promised = row["promise"]["dice"]["foreground"]
    assert 0 <= promised["at_least"] <= promised["expected"] <= 1
    assert promised["level"] == 0.75
    assert f"Dice {promised['expected']:.2f}, " in shown.err
    table = {line["case"]: line for line in csv.DictReader((out / "predictions.csv").open())}
    assert float(table["a"]["dice_foreground_expected"]) == pytest.approx(promised["expected"], rel=1e-4)
    assert float(table["a"]["dice_3_at_least"]) == pytest.approx(
        row["promise"]["dice"]["3"]["at_least"], rel=1e-4
    )
    assert read_json(out / "predictions.json")["calibration"]["patients"] == 3
    assert [r.promise for r in read_rows(out / "predictions.json")] == [
        row["promise"],
        rows(out)["b"]["promise"],
    ]
    low = predict(run, new, tmp_path / "half", level=0.5).rows[0].promise
    assert low is not None
    assert low["dice"]["foreground"]["level"] == 0.5


def test_masks_that_are_measured_again_are_not_promised_what_they_were_found_to_be_worth(
    tmp_path: Path,
) -> None:
    """As a comparison does that was stopped behind its last evaluation and goes on."""
    run = export(tmp_path / "run")
    place = measured_in(run, tmp_path, "p", "q", "r")
    model, cases = load_model(run), find_scans([tmp_path / "dev/images"]).cases
    measure(model, cases, tmp_path / "dev", place, anew=[case.name for case in cases])
    again = read_json(place / "masks/predictions.json")
    assert again["calibration"] is None
    assert [row["promise"] for row in again["cases"]] == [None] * 3
    measure(model, cases, tmp_path / "dev", place.with_name("other"))
    assert read_json(place.with_name("other") / "masks/predictions.json")["calibration"]["patients"] == 3


def test_masks_of_scans_that_were_learned_from_and_of_other_weights_do_not_count(tmp_path: Path) -> None:
    run = export(tmp_path / "run")
    place = measured_in(run, tmp_path, "p", "q", "r")
    new = scans(tmp_path / "scans", "a.nii.gz")
    learned = [
        {"case": "elsewhere", "role": "labeled", "patient": None, "sha256": row["input_sha256"]}
        for row in rows(place / "masks").values()
    ]
    write_json(run / "cases.json", {"format": 1, "cases": learned[:1]})
    promise = predict(run, new, tmp_path / "one").rows[0].promise
    assert promise is not None
    assert promise["patients"] == 2
    write_json(run / "cases.json", {"format": 1, "cases": learned})
    assert predict(run, new, tmp_path / "all").rows[0].promise is None
    (run / "cases.json").unlink()
    other = export(tmp_path / "other", seed=1)
    shutil.copytree(run / "evaluations", other / "evaluations")
    assert predict(other, new, tmp_path / "other_out").rows[0].promise is None


def test_several_runs_are_calibrated_with_masks_that_they_made_together(tmp_path: Path) -> None:
    runs = [export(tmp_path / "a"), export(tmp_path / "b", seed=1)]
    new = scans(tmp_path / "scans", "a.nii.gz")
    assert predict(runs, new, tmp_path / "without").rows[0].promise is None
    labels = labelled(tmp_path / "dev", runs, tmp_path / "masks", "p", "q")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="evaluation.json"):
        predict(runs, new, tmp_path / "out", calibrate_with=tmp_path / "masks")
    evaluate(tmp_path / "masks", labels)
    promise = predict(runs, new, tmp_path / "out", calibrate_with=tmp_path / "masks").rows[0].promise
    assert promise is not None
    assert (promise["agreement"], promise["patients"]) == ("runs", 2)
    with pytest.raises(DataError, match="holds no mask that tells what others are worth"):
        predict(runs[0], new, tmp_path / "out2", calibrate_with=tmp_path / "masks")


@pytest.mark.parametrize("level", [0.0, 1.0, -3.0, float("nan")])
def test_a_level_that_is_none_is_refused(level: float, tmp_path: Path) -> None:
    run, new = export(tmp_path / "run"), scans(tmp_path / "scans", "a.nii.gz")
    with pytest.raises(SettingsError, match="no such level"):
        predict(run, new, tmp_path / "out", level=level)


DAMAGE: dict[str, Any] = {
    "agreement": {"probability": {"1": 0.9}},
    "agreement ": {"probability": {"1": 7.0, "foreground": 0.9}},
    "agreement  ": {"probability": {"liver": 0.5, "foreground": 0.9}},
    "agreement   ": {"probability": "high"},
    "agreement    ": {"probability": {"1": float("nan"), "foreground": 0.9}},
    "appearance": {"extent": [float("inf")]},
    "appearance ": {"extent": "wide"},
    "promise": {"dice": {}},
    "promise ": {"agreement": "x", "patients": 1, "dice": {}, "volume_ml": {}, "outside": []},
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_is_refused_by_name(damage: str, tmp_path: Path) -> None:
    run = export(tmp_path / "run")
    place = measured_in(run, tmp_path, "p", "q")
    record = place / "masks/predictions.json"
    content = json.loads(record.read_text())
    content["cases"][0][damage.strip()] = DAMAGE[damage]
    record.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"predictions\.json"):
        predict(run, scans(tmp_path / "scans", "a.nii.gz"), tmp_path / "out")


def test_a_record_that_lacks_a_class_tells_of_the_others(tmp_path: Path) -> None:
    run = export(tmp_path / "run")
    place = measured_in(run, tmp_path, "p", "q")
    record = place / "masks/predictions.json"
    content = json.loads(record.read_text())
    for row in content["cases"]:
        del row["agreement"]["probability"]["3"]
    record.write_text(json.dumps(content))
    (row,) = predict(run, scans(tmp_path / "scans", "a.nii.gz"), tmp_path / "out").rows
    assert (row.status, {*(row.promise or {})["dice"]}) == ("ok", {"1", "foreground"})


def held_out_of(run: Path) -> list[HeldOutMask]:
    return [*held_out_masks([run], load_model(run))]


def test_of_a_label_drawn_in_part_the_part_alone_tells_of_volumes(tmp_path: Path) -> None:
    """The reference's ignored part must not make its error a smaller share of the mask."""
    run = export(tmp_path / "run")
    place = measured_in(run, tmp_path, "p")
    labels = tmp_path / "dev/labels"
    image = nib.load(labels / "p.nii.gz")
    values = np.asarray(image.dataobj).copy()
    values[:, :, :5] = 9
    nib.save(nib.Nifti1Image(values, image.affine), labels / "p.nii.gz")
    named = {"background": 0, "one": 1, "three": 3, "ignore": 9}
    write_json(
        labels / "dataset.json", {"labels": named, "channel_names": {"0": "a"}, "file_ending": ".nii.gz"}
    )
    evaluate(place / "masks", labels, out=place / "evaluation.json")
    (held,) = held_out_of(run)
    mask = np.asarray(nib.load(place / "masks/p.nii.gz").dataobj)[:, :, 5:]
    for value in (1, 3):
        if (values == value).any():
            assert held.volume_ml[str(value)] == pytest.approx((mask == value).sum() * 3e-3)
            assert held.reference_ml[str(value)] == pytest.approx((values == value).sum() * 3e-3)
    assert held.reference_ml


def test_a_label_of_one_class_is_compared_with_the_agreement_of_that_class(tmp_path: Path) -> None:
    run = export(tmp_path / "run")
    place = measured_in(run, tmp_path, "p", "q")
    table = read_json(place / "evaluation.json")
    del table["cases"]["p"]["1"]
    table["cases"]["q"] = {}  # nothing of it is known
    write_json(place / "evaluation.json", table)
    (held,) = held_out_of(run)
    for numbers in held.agreement.values():
        assert numbers == {"3": numbers["3"], "foreground": numbers["3"]}
    assert held.dice["foreground"] == held.dice["3"]


def test_scans_that_the_run_before_has_learned_from_do_not_count(tmp_path: Path) -> None:
    run = export(tmp_path / "run")
    place = measured_in(run, tmp_path, "p", "q")
    learned = rows(place / "masks")["p"]["input_sha256"]
    write_json(run / "cases.json", {"format": 1, "cases": [], "learned_before": [learned]})
    assert [held.case for held in held_out_of(run)] == ["q"]
