"""``train --folds``: a run a fold, measured on patients it has not seen; their folder predicts with all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import semivox
from semivox.cohort import read_volume, write_mask
from semivox.commands import compare as module
from semivox.comparison.cell_run import CellRunner
from semivox.comparison.cells import Cell
from semivox.comparison.cross_validation import as_comparison
from semivox.comparison.request import read_request
from semivox.errors import DataError, PartialFailure, SettingsError
from semivox.evaluation import read_evaluation
from semivox.evaluation.intervals import mean_and_interval
from semivox.training.options import TrainOptions

Folders = tuple[Path, Path]


@pytest.fixture(autouse=True)
def _no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_draw", lambda out, display: None)  # seconds each


@pytest.fixture
def data(phantoms: Folders, tmp_path: Path) -> Path:
    """Patient a has a labelled and an unlabelled scan."""
    shutil.copytree(phantoms[0], tmp_path / "data", ignore=shutil.ignore_patterns(".semivox"))
    (tmp_path / "data/cases.csv").write_text("case,patient\nphantom_001,a\nphantom_003,a\n")
    return tmp_path / "data"


def test_folds_are_trained_measured_and_predict_together(
    data: Path, phantoms: Folders, small: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "runs"

    def train(**more: Any) -> Any:
        return semivox.train(data, out, folds=2, steps=2, settings=small, workers=1, **more)

    result = train()
    runs = [out / name for name in json.loads((out / "ensemble.json").read_text())["runs"]]
    assert len(runs) == 2
    cases: dict[str, dict[str, Any]] = {}
    assert {json.loads((run / "model.json").read_text())["parent"]["path"] for run in runs} == {"generated"}
    for run in runs:
        trained = json.loads((run / "cases.json").read_text())["cases"]
        (measured,) = (run / "evaluations").glob("*/evaluation.json")
        own = read_evaluation(measured)
        assert not {row["patient"] or row["case"] for row in trained} & set(own["patients"].values())
        cases |= own["cases"]
    assert set(cases) == {"phantom_001", "phantom_002"}
    for one in (lambda: semivox.rank(out, data), lambda: semivox.load_model(out)):
        with pytest.raises(DataError, match=r"several runs, and one is asked for.*ensemble\.json lists"):
            one()
    content = read_evaluation(out / "cross_validation.json")
    assert content == result.cross_validation
    dice = np.array([[cases[name]["1"]["dice"]] for name in content["cases"]])
    mean, interval = mean_and_interval(dice, list(content["patients"].values()))
    assert content["mean"]["1"]["dice"] == mean[0] == pytest.approx(dice.mean())
    assert content["ci95"]["1"]["dice"] == interval[0].tolist()
    assert content["worst"]["1"]["dice"] == dice.min()
    assert (result.method, result.steps) == ("supervised", 2)
    said = {json.loads((run / "model.json").read_text())["undertrained"] for run in runs}
    assert said == {result.undertrained} == {result.plain()["undertrained"]}
    assert result.undertrained is not None

    report = semivox.predict(out, phantoms[1], tmp_path / "masks")
    assert report.failed == ()
    assert report.undertrained == result.undertrained
    ids = [json.loads((run / "model.json").read_text())["model_id"] for run in runs]
    assert [run["model_id"] for run in report.rows[0].runs] == ids
    promise = report.rows[0].promise
    assert promise is not None
    assert (promise["patients"], promise["agreement"]) == (2, "probability")
    looked = semivox.predict(out, phantoms[1], tmp_path / "mirrored", tta=True).rows[0].promise
    assert looked is not None
    assert looked["agreement"] == "views"  # the folds were measured with a look at mirror images

    with pytest.raises(SettingsError, match=r"already holds runs.*--resume"):
        train()
    written = (out / "cross_validation.json").read_bytes()
    assert train(resume=True).cross_validation == result.cross_validation  # nothing is trained again
    assert (out / "cross_validation.json").read_bytes() == written
    with pytest.raises(SettingsError, match="this folder holds other runs"):
        train(resume=True, method="mean_teacher")
    with pytest.raises(SettingsError, match="this folder holds several runs"):
        semivox.train(data, out, steps=2, settings=small, resume=True)


def test_a_fold_that_fails_leaves_no_ensemble(
    data: Path, small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def run(self: CellRunner, cell: Cell) -> None:
        tried.append(cell.fold)
        raise DataError("no memory there")

    monkeypatch.setattr(CellRunner, "run", run)
    with pytest.raises(PartialFailure, match="2 of 2 folds are not finished; found no memory there"):
        semivox.train(data, tmp_path / "runs", folds=2, steps=2, settings=small, method="supervised")
    assert tried == ["fold0", "fold1"]
    with pytest.raises(DataError, match="holds no model"):
        semivox.predict(tmp_path / "runs", data, tmp_path / "masks")


@pytest.mark.parametrize("option", ["init", "watch", "nodes"])
def test_what_a_single_run_alone_can_do_is_refused(option: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=rf"--{option} is of one run; found --folds"):
        semivox.train(data, tmp_path / "runs", folds=2, steps=2, **{option: 1 if option == "nodes" else data})
    assert not (tmp_path / "runs").exists()


def test_a_folder_with_a_run_is_left_alone(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("")
    with pytest.raises(SettingsError, match="already holds a run"):
        semivox.train(data, run, folds=2, steps=2, resume=True)
    assert [path.name for path in run.iterdir()] == ["config.yaml"]


def test_folds_of_few_labelled_scans_alone_exchange_boxes_as_one_run_does(data: Path, tmp_path: Path) -> None:
    for case in ("phantom_003", "phantom_004"):
        for image in (data / "imagesTr").glob(f"{case}*"):
            image.unlink()
    (data / "cases.csv").unlink()
    asked = as_comparison(TrainOptions(data, tmp_path / "runs", folds=2, steps=900))
    assert asked.methods == asked.reference == "supervised{exchange=1}"
    assert [cell.variant.name for cell in read_request(asked).cells()] == ["supervised+exchange=1"] * 2
    assert asked.settings == {"run.init": "auto", "plan.network.kind": "unet"}


@pytest.mark.parametrize("command", ["train", "compare"])
def test_a_class_that_only_one_patient_has_is_told_before_any_fold_is_trained(
    command: str, flat_phantoms: Folders, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(flat_phantoms[0], tmp_path / "data"))
    for label in sorted((data / "labelsTr").iterdir())[1:]:
        values = read_volume(label)
        write_mask(label, np.where(values.array[0] == 2, 0, values.array[0]), values)
    said = r"without the cases of fold\d no label shows class 2 \(.*two patients or more"
    asked: dict[str, Any] = {"folds": 4, "steps": 1}
    with pytest.raises(DataError, match=said):
        if command == "train":
            semivox.train(data, tmp_path / "runs", method="supervised", **asked)
        else:
            semivox.compare(data, tmp_path / "runs", methods="supervised", **asked)
    assert not (tmp_path / "runs").exists()


def test_a_labelled_set_without_a_class_is_told_before_any_is_trained(
    flat_phantoms: Folders, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(flat_phantoms[0], tmp_path / "data"))
    first = sorted((data / "labelsTr").iterdir())[0]
    values = read_volume(first)
    write_mask(first, np.minimum(values.array[0], 1), values)
    one = tmp_path / "one.txt"
    one.write_text(first.name.removesuffix(".png") + "\n")
    with pytest.raises(DataError, match=r"no labelled case has class 2 .*--labeled .*one"):
        semivox.compare(
            data,
            tmp_path / "cmp",
            test=flat_phantoms[1],
            methods="supervised",
            labeled=[4, str(one)],
            steps=1,
        )
    assert not (tmp_path / "cmp").exists()
