"""A run that begins with another one's weights: what it records of it, refuses, and resumes."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from semivox.cohort import load_cohort
from semivox.commands.report import report
from semivox.commands.train import train
from semivox.errors import DataError, SettingsError, Stopped
from semivox.inference import load_network, parent_of
from semivox.inference.weights import load_networks
from semivox.networks import build_network, fitting_weights
from semivox.prepare import plan_from_json
from semivox.pretrained import generated_weights
from semivox.randomness import Key
from semivox.testing.displays import StopAfter, Told

Folders = tuple[Path, Path]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def first(
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run with one labelled case. Do not write into it."""
    run = tmp_path_factory.mktemp("first") / "run"
    train(phantoms[0], run, method="supervised", labeled=1, steps=2, settings=small, cache=cache)
    return run


def read(run: Path, name: str) -> dict[str, Any]:
    return dict(json.loads((run / name).read_text()))


def test_the_parent_is_recorded(
    first: Path, phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    train(phantoms[0], run, method="mean_teacher", steps=1, init=first, settings=small, cache=cache)
    expected = {
        "path": str(first),
        "model_id": read(first, "model.json")["model_id"],
        "method": "supervised",
        "steps": 2,
        "undertrained": read(first, "model.json")["undertrained"],
        "labeled_then": 1,
        "labeled_now": 2,
        "fresh_heads": False,
    }
    assert read(run, "model.json")["parent"] == expected
    assert read(run, "cases.json")["parent"] == expected
    assert read(first, "model.json")["parent"] is None
    assert read(first, "cases.json")["parent"] is None
    learned = read(first, "cases.json")["cases"][0]
    assert learned["role"] == "labeled"
    before = read(run, "cases.json")["learned_before"]
    assert before == sorted([learned["sha256"], learned["files_sha256"]])


def test_what_the_parent_has_learned_from_is_not_held_out(
    first: Path, phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    """Three generations; the first one's labelled scan is in the test folder of the third."""
    data = Path(shutil.copytree(phantoms[0], tmp_path / "data", ignore=shutil.ignore_patterns(".semivox")))
    (data / "cases.csv").write_text("case,use\nphantom_001,no\n")
    for begun, run in ((first, tmp_path / "second"), (tmp_path / "second", tmp_path / "third")):
        train(data, run, method="supervised", steps=1, init=begun, settings=small, cache=cache)
    held_out = Path(shutil.copytree(phantoms[0], tmp_path / "held_out"))
    (held_out / "cases.csv").write_text("case,use\nphantom_002,no\n")
    with pytest.raises(DataError, match=r"began with, was trained on.*found 1 of .*phantom_001"):
        report(tmp_path / "third", test=held_out)


def test_the_two_model_files_are_parent_enough(
    first: Path, phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    handed_on = tmp_path / "handed_on"
    handed_on.mkdir()
    for name in ("model.json", "model.safetensors"):
        shutil.copy(first / name, handed_on)
    train(
        phantoms[0],
        tmp_path / "run",
        method="supervised",
        steps=1,
        init=handed_on,
        settings=small,
        cache=cache,
    )
    parent = read(tmp_path / "run", "model.json")["parent"]
    assert (parent["labeled_then"], parent["labeled_now"]) == (None, 2)


def test_a_run_with_a_parent_resumes_to_the_same_bits(
    first: Path, phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    def go(out: str, **more: Any) -> None:
        train(
            phantoms[0], tmp_path / out, method="mean_teacher", steps=4, init=first, settings=small,
            cache=cache, **more,
        )  # fmt: skip

    go("whole")
    with pytest.raises(Stopped):
        go("parts", display=StopAfter(2))
    go("parts", resume=True)
    whole, parts = (load_file(tmp_path / run / "model.safetensors") for run in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    for name in ("model.json", "cases.json"):
        assert read(tmp_path / "whole", name) == read(tmp_path / "parts", name)


@pytest.mark.parametrize("place", ["changed", "moved", "relative"])
def test_a_run_goes_on_by_its_own_copy_of_what_it_began_with(
    place: str, first: Path, phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Also a method that builds its networks anew between stages, from the weights that it began with."""
    parent = Path(shutil.copytree(first, tmp_path / "parent"))
    monkeypatch.chdir(tmp_path)
    init = Path("parent") if place == "relative" else parent
    asked: dict[str, Any] = {"method": "atso", "steps": 8, "settings": small, "cache": cache}
    train(phantoms[0], tmp_path / "whole", init=init, **asked)
    with pytest.raises(Stopped):
        train(phantoms[0], tmp_path / "parts", init=init, display=StopAfter(2), **asked)
    if place == "changed":
        shutil.rmtree(parent)
        train(phantoms[0], parent, method="supervised", steps=1, seed=5, settings=small, cache=cache)
    elif place == "moved":
        parent.rename(tmp_path / "elsewhere")
    else:
        monkeypatch.chdir(phantoms[0])
    train(phantoms[0], tmp_path / "parts", resume=True, cache=cache)
    whole, parts = (load_file(tmp_path / run / "model.safetensors") for run in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    assert read(tmp_path / "whole", "cases.json") == read(tmp_path / "parts", "cases.json")


def test_without_a_copy_a_parent_that_has_changed_is_refused_on_resume(
    first: Path, phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    """As earlier versions left their runs."""
    parent = Path(shutil.copytree(first, tmp_path / "parent"))

    def go(**more: Any) -> None:
        train(
            phantoms[0], tmp_path / "run", method="supervised", steps=3, init=parent, settings=small,
            cache=cache, **more,
        )  # fmt: skip

    with pytest.raises(Stopped):
        go(display=StopAfter(1))
    shutil.rmtree(tmp_path / "run/beginning")
    other = tmp_path / "other"
    train(phantoms[0], other, method="supervised", steps=1, seed=5, settings=small, cache=cache)
    for name in ("model.json", "model.safetensors"):
        shutil.copy(other / name, parent)
    with pytest.raises(DataError, match=r"has changed since this run began; found model .*expected model"):
        go(resume=True)
    for name in ("model.json", "model.safetensors"):
        shutil.copy(first / name, parent)
    go(resume=True)
    assert read(tmp_path / "run", "status.json")["state"] == "done"


@pytest.mark.parametrize("with_parent", [False, True])
def test_what_an_earlier_try_began_with_is_not_taken_by_the_next(
    with_parent: bool, first: Path, phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    asked: dict[str, Any] = {"method": "supervised", "steps": 1, "settings": small, "cache": cache}
    other = tmp_path / "other"
    train(phantoms[0], other, seed=9, **asked)
    for out in ("new", "again"):
        if out == "again":
            shutil.copytree(first, tmp_path / out / "beginning")
        train(phantoms[0], tmp_path / out, init=other if with_parent else None, **asked)
    new, again = (load_file(tmp_path / out / "model.safetensors") for out in ("new", "again"))
    assert all(torch.equal(new[name], again[name]) for name in new)


@pytest.fixture
def data(phantoms: Folders, tmp_path: Path) -> Path:
    """A copy of the training scans whose description may be changed."""
    return Path(shutil.copytree(phantoms[0], tmp_path / "data", ignore=shutil.ignore_patterns(".semivox")))


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("labels", {"background": 0, "liver": 1}, r"has other classes; found 1 atrium; expected 1 liver"),
        ("channel_names", {"0": "CT"}, r"has other channels; found phantom; expected CT"),
    ],
)
def test_other_classes_or_channels_are_refused_before_any_work(
    key: str, value: dict[str, Any], told: str, first: Path, data: Path, small: dict[str, Any], tmp_path: Path
) -> None:
    described = {**read(data, "dataset.json"), key: value}
    (data / "dataset.json").write_text(json.dumps(described))
    with pytest.raises(DataError, match=told):
        train(data, tmp_path / "run", method="supervised", steps=1, init=first, settings=small)
    assert not (tmp_path / "run").exists()
    assert not (data / ".semivox").exists()


def test_with_fresh_heads_a_run_of_other_classes_and_names_gives_all_but_its_heads(
    first: Path, data: Path, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    described = read(data, "dataset.json")
    described |= {"labels": {"background": 0, "liver": 1, "tumour": 2}, "channel_names": {"0": "MR"}}
    (data / "dataset.json").write_text(json.dumps(described))
    label = data / "labelsTr/phantom_001.nii.gz"
    scan = nib.load(label)
    values = np.asarray(scan.dataobj)
    halved = np.where((values == 1) & (np.arange(len(values)) % 2 == 1)[:, None, None], 2, values)
    nib.save(nib.Nifti1Image(halved.astype(np.uint8), scan.affine), label)
    run, still = tmp_path / "run", {**small, "run.fresh_heads": True, "optimizer.lr": 1e-12}
    train(data, run, method="supervised", steps=1, init=first, settings=still, cache=cache)
    taken, given = (load_file(each / "model.safetensors") for each in (run, first))
    heads = {f"{role}.head.{part}" for role in ("student", "teacher") for part in ("weight", "bias")}
    assert {n for n, x in taken.items() if x.shape != given[n].shape} == heads
    for name, weights in taken.items():
        if "head" not in name and "running" not in name and weights.is_floating_point():
            predictor = given[f"teacher.{name.split('.', 1)[1]}"]
            torch.testing.assert_close(weights, predictor, rtol=0, atol=1e-6)
    card = read(run, "model.json")
    assert card["parent"]["fresh_heads"]
    assert card["undertrained"]  # its heads have learned one step


def test_fresh_heads_of_no_run_are_refused(data: Path, small: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no run whose heads.*add --init RUN"):
        train(data, tmp_path / "run", steps=1, settings={**small, "run.fresh_heads": True})
    assert not (tmp_path / "run").exists()


def test_with_fresh_heads_weights_are_fitted_to_other_channels_and_kernels(first: Path, data: Path) -> None:
    cohort = replace(load_cohort(data), channels=("T1", "T2"))
    assert parent_of(first, cohort, 1, fresh_heads=True)["fresh_heads"]
    (trained,) = load_networks(first, ["teacher"]).values()
    plan = plan_from_json(read(first, "plan.json")).network
    flat = replace(plan, kernels=((3, 3, 1), *plan.kernels[1:]))
    network = build_network(flat, channels=2, classes=4, key=Key(0))
    load_network(first, network, fresh_heads=True)
    expected = fitting_weights(trained.state_dict(), network)
    taken = network.state_dict()
    assert all(torch.equal(taken[name], weight) for name, weight in expected.items())
    assert {name.split(".")[0] for name in taken if name not in expected} == {"head"}
    with pytest.raises(DataError, match="has another network"):
        load_network(first, build_network(flat, channels=2, classes=4, key=Key(0)))


@pytest.mark.parametrize(
    ("asked", "begun"),
    [
        ({"method": "supervised", "init": "generated"}, True),
        ({"method": "supervised", "init": "auto"}, True),
        ({"method": "supervised"}, False),
        ({}, True),
        ({"method": "auto"}, True),
        ({"init": "scratch"}, False),
    ],
)
def test_the_packages_weights_are_begun_with_where_they_are_asked_for_or_the_method_is_auto(
    asked: dict[str, Any], begun: bool, data: Path, small: dict[str, Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, first: Path,
) -> None:  # fmt: skip
    shutil.copytree(first, tmp_path / "generated")  # a run of this name is another thing: ./generated
    monkeypatch.chdir(tmp_path)
    told = Told()
    train(data, "run", steps=1, settings={**small, "optimizer.lr": 1e-12}, display=told, **asked)
    card, cases = read(Path("run"), "model.json"), read(Path("run"), "cases.json")
    assert cases["learned_before"] == []
    assert any("generated scans (override: --init scratch)" in line for line in told.said) == begun
    assert card["parent"] == cases["parent"]
    if not begun:
        assert card["parent"] is None
        return
    folder = generated_weights(plan_from_json(read(Path("run"), "plan.json")).network)
    assert folder is not None
    assert card["parent"]["path"] == "generated"
    assert card["parent"]["model_id"] == read(folder, "model.json")["model_id"]
    taken = load_file("run/model.safetensors")
    given = load_file(folder / "model.safetensors")["teacher.trunk.encoders.1.layers.1.conv.weight"]
    taken = taken["student.trunk.encoders.1.layers.1.conv.weight"]
    torch.testing.assert_close(taken, given.float(), rtol=0, atol=1e-6)


def test_another_network_is_refused(
    first: Path, phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    settings = {**small, "plan.network.kind": "vnet"}
    with pytest.raises(DataError, match=r"has another network; found \{'kind': 'unet'.*--plan"):
        train(
            phantoms[0], tmp_path / "run", method="supervised", steps=1, init=first, settings=settings,
            cache=cache,
        )  # fmt: skip
    assert not (tmp_path / "run/config.yaml").exists(), "nothing stands in the way of a second try"


def test_no_model_is_refused(phantoms: Folders, small: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no model"):
        train(phantoms[0], tmp_path / "run", method="supervised", steps=1, init=tmp_path, settings=small)
    assert not (tmp_path / "run").exists()
