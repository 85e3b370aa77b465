"""A cohort with regions through the commands: every place where people read a class tells of regions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from semivox.cohort import inside, load_cohort, read_label, write_mask
from semivox.commands.compare import compare
from semivox.commands.export import export
from semivox.commands.plan import plan
from semivox.commands.rank import rank
from semivox.commands.report import report
from semivox.commands.train import train
from semivox.errors import DataError, SettingsError

LABELS = {"background": 0, "chamber": [1, 2, 3], "inside": [2, 3], "middle": 2}
NAMES = {"1": "chamber", "2": "inside", "3": "middle"}


@pytest.fixture(scope="module")
def flat(small: dict[str, Any]) -> dict[str, Any]:
    return {**small, "plan.patch": [32, 32]}


@pytest.fixture(scope="module")
def folders(flat_phantoms: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The phantoms with their atrium cut into a shell (1), what is in it (3) and the middle of that (2)."""
    made = []
    for source in flat_phantoms:
        folder = Path(shutil.copytree(source, tmp_path_factory.mktemp("regions") / source.name))
        for path in (folder / "labelsTr").iterdir():
            label = read_label(path)
            far = ndimage.distance_transform_edt(label.array[0] == 1)
            write_mask(path, np.select([far > 4, far > 2, far > 0], [2, 3, 1]), label)
        content = json.loads((folder / "dataset.json").read_text())
        content |= {"labels": LABELS, "regions_class_order": [1, 3, 2], "may_be_empty": ["middle"]}
        (folder / "dataset.json").write_text(json.dumps(content))
        made.append(folder)
    return made[0], made[1]


def test_a_run_of_regions(folders: tuple[Path, Path], flat: dict[str, Any], tmp_path: Path) -> None:
    data, test = folders
    run = tmp_path / "run"
    train(data, run, method="supervised", steps=2, settings=flat, watch=test)
    card = json.loads((run / "model.json").read_text())
    assert [(r["name"], r["values"], r["written"]) for r in card["regions"]] == [
        ("chamber", [1, 2, 3], 1),
        ("inside", [2, 3], 3),
        ("middle", [2], 2),
    ]
    assert (card["may_be_empty"], list(card["training"]["classes"])) == ([3], list(NAMES))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    watched = next(line for line in lines if line["kind"] == "watch")
    assert set(watched["dice"]) == {*NAMES.values(), "foreground"}
    page = report(run, test).read_text()
    content = json.loads((run / "evaluations" / test.name / "evaluation.json").read_text())
    assert content["classes"] == NAMES
    calibration = json.loads((run / "evaluations" / test.name / "calibration.json").read_text())
    cohort = load_cohort(test)
    for case in cohort.cases:
        label = read_label(case.label).array[0]
        sizes = {str(k): int(inside(label, k, cohort.regions.parts).sum()) for k in cohort.regions.names}
        assert calibration["cases"][case.name]["reference_voxels"] == sizes
    assert all(f"<td>{name}" in page or f">{name}<" in page for name in NAMES.values())
    assert not rank(run, data, out=tmp_path / "ranking", top=2).failed
    card_for_people = export(run, to="torchscript", out=tmp_path / "exported") / "README.md"
    assert "* inside: outputs 2 + 3 (label value 3)" in card_for_people.read_text()


def test_a_plan_of_the_classes_does_not_train_regions(
    folders: tuple[Path, Path], flat: dict[str, Any], tmp_path: Path
) -> None:
    data = Path(shutil.copytree(folders[0], tmp_path / "data"))
    plan(data, out=tmp_path / "plan.json")
    content = json.loads((data / "dataset.json").read_text())
    plain = {"background": 0, "shell": 1, "middle": 2, "inner": 3}
    (data / "dataset.json").write_text(json.dumps({**content, "labels": plain}))
    with pytest.raises(SettingsError, match="other classes"):
        train(data, tmp_path / "run", method="supervised", steps=1, plan=tmp_path / "plan.json")
    train(data, tmp_path / "run2", method="supervised", steps=1, settings=flat)
    with pytest.raises(DataError, match="other channels or classes"):
        report(tmp_path / "run2", folders[1])


@pytest.mark.parametrize("change", ["another name", "another order", "written by another value"])
def test_a_plan_of_other_regions_is_refused_before_anything_is_trained(
    folders: tuple[Path, Path], flat: dict[str, Any], tmp_path: Path, change: str
) -> None:
    """What the model's card would not agree with once all is done."""
    data = Path(shutil.copytree(folders[0], tmp_path / "data"))
    plan(data, out=tmp_path / "plan.json")
    content = json.loads((data / "dataset.json").read_text())
    if change == "another name":
        content["labels"] = {n.replace("inside", "organ"): v for n, v in LABELS.items()}
    elif change == "another order":
        content["labels"] = {n: LABELS[n] for n in ("background", "inside", "chamber", "middle")}
        content["regions_class_order"] = [3, 1, 2]
    else:
        content["regions_class_order"] = [3, 1, 2]
        content["labels"]["chamber"], content["labels"]["inside"] = [1, 2, 3], [1, 2]
    content["may_be_empty"] = []
    (data / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(SettingsError, match=r"other classes than the scans.*found .*expected .*plan DATA"):
        train(data, tmp_path / "run", method="supervised", steps=1, plan=tmp_path / "plan.json")
    assert not (tmp_path / "run" / "plan.json").exists()


def test_regions_are_compared(folders: tuple[Path, Path], flat: dict[str, Any], tmp_path: Path) -> None:
    compare(
        folders[0], methods="supervised", labeled="3", seeds="0", test=folders[1], out=tmp_path / "cmp",
        steps=1, settings=flat,
    )  # fmt: skip
    content = json.loads((tmp_path / "cmp" / "comparison.json").read_text())
    assert content["results"][0]["classes"] == NAMES
    report(tmp_path / "cmp")
