"""A plan, or a run that goes on, beside scans of other axes, channels or classes: refused before a step."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import semivox
from semivox.errors import SemivoxError, SettingsError, Stopped
from semivox.testing.displays import StopAfter


def copied(source: Path, to: Path) -> Path:
    return Path(shutil.copytree(source, to, ignore=shutil.ignore_patterns(".semivox")))


def describe(data: Path, **changes: Any) -> None:
    content = json.loads((data / "dataset.json").read_text())
    (data / "dataset.json").write_text(json.dumps({**content, **changes}))


def with_second_channel(data: Path) -> None:
    for first in sorted((data / "imagesTr").glob("*_0000.*")):
        shutil.copy(first, first.with_name(first.name.replace("_0000.", "_0001.")))


@pytest.mark.parametrize("flat_plan", [False, True])
def test_of_other_axes(
    phantoms: tuple[Path, Path], flat_phantoms: tuple[Path, Path], tmp_path: Path, flat_plan: bool
) -> None:
    solid, flat = copied(phantoms[0], tmp_path / "solid"), copied(flat_phantoms[0], tmp_path / "flat")
    of, beside = (flat, solid) if flat_plan else (solid, flat)
    semivox.plan(of, out=tmp_path / "plan.json")
    found = f"found {3 - flat_plan}D; expected {2 + flat_plan}D"
    with pytest.raises(SettingsError, match=f"other axes than the scans.*{found}"):
        semivox.train(beside, tmp_path / "run", method="supervised", steps=1, plan=tmp_path / "plan.json")
    assert not (tmp_path / "run" / "plan.json").exists()


@pytest.mark.parametrize(
    ("planned", "found"),
    [
        (["MR", "CT"], ["MR"]),
        (["MR"], ["MR", "CT"]),
        (["MR", "CT"], ["CT", "MR"]),
        (["MR"], ["CT"]),
    ],
)
def test_of_other_channels(
    phantoms: tuple[Path, Path], tmp_path: Path, planned: list[str], found: list[str]
) -> None:
    folders = []
    for name, channels in (("planned", planned), ("found", found)):
        data = copied(phantoms[0], tmp_path / name)
        if len(channels) == 2:
            with_second_channel(data)
        describe(data, channel_names=dict(enumerate(channels)))
        folders.append(data)
    semivox.plan(folders[0], out=tmp_path / "plan.json")
    with pytest.raises(SettingsError, match="other channels than the scans"):
        semivox.train(folders[1], tmp_path / "run", method="supervised", steps=1, plan=tmp_path / "plan.json")
    assert not (tmp_path / "run" / "plan.json").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": {"background": 0, "zz": 1}}, "other classes .*; found .* 1 atrium; expected .* 1 zz"),
        ({"spacing_known": False}, "other spacing .*; found spacing_known: true"),
    ],
)
def test_of_other_names_or_another_spacing(
    phantoms: tuple[Path, Path], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    """As after an edit of the plan by hand."""
    data = copied(phantoms[0], tmp_path / "data")
    semivox.plan(data, out=tmp_path / "plan.json")
    describe(data, **change)
    with pytest.raises(SettingsError, match=rf"plan\.json.*{said}.*semivox plan"):
        semivox.train(data, tmp_path / "run", method="supervised", steps=1, plan=tmp_path / "plan.json")
    assert not (tmp_path / "run" / "plan.json").exists()


def test_scans_that_do_not_tell_their_spacing_have_none_by_a_plan(
    flat_phantoms: tuple[Path, Path], tmp_path: Path
) -> None:
    """Though ``dataset.json`` does not say so: PNG has no place for it."""
    data = copied(flat_phantoms[0], tmp_path / "data")
    semivox.plan(data, out=tmp_path / "plan.json")
    content = json.loads((tmp_path / "plan.json").read_text())
    assert content["spacing_known"] is False
    (tmp_path / "plan.json").write_text(json.dumps({**content, "spacing_known": True}))
    describe(data, spacing_known=True)
    with pytest.raises(SettingsError, match=r"other spacing than the scans; found spacing_known: true"):
        semivox.train(data, tmp_path / "run", method="supervised", steps=1, plan=tmp_path / "plan.json")


def test_names_that_nobody_declared_contradict_none(
    phantoms: tuple[Path, Path], small: dict[str, Any], tmp_path: Path
) -> None:
    data, plan, run = copied(phantoms[0], tmp_path / "data"), tmp_path / "plan.json", tmp_path / "run"
    semivox.plan(data, out=plan, settings={k: v for k, v in small.items() if k.startswith("plan.")})
    content = json.loads(plan.read_text())
    content["classes"][0]["name"], content["channels"][0]["name"] = "class_1", "channel_0"
    plan.write_text(json.dumps(content))
    assert semivox.train(data, run, method="supervised", steps=1, plan=plan, threads=1).steps == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": {"background": 0, "heart": 1}}, r"1 channel \(phantom\); label values 1 atrium"),
        ({"labels": {"background": 0, "atrium": 1, "ignore": 2}}, "ignore 2"),
        ({"channel_names": {"0": "CT"}}, r"1 channel \(phantom\)"),
        ({"spacing_known": False}, "spacing_known: true"),
    ],
)
def test_a_run_does_not_go_on_with_another_description(
    phantoms: tuple[Path, Path], small: dict[str, Any], tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    data, run = copied(phantoms[0], tmp_path / "data"), tmp_path / "run"
    whole = (data / "dataset.json").read_text()
    before = set(json.loads(whole)["labels"])
    assert "atrium" in before
    with pytest.raises(Stopped):
        semivox.train(data, run, method="supervised", steps=4, settings=small, display=StopAfter(2))
    describe(data, **change)
    with pytest.raises(
        SemivoxError,
        match=f"(?:have changed|other (?:channels|classes|spacing)).*found {said}.*dataset.json of then back",
    ):
        semivox.train(data, run, resume=True)
    (data / "dataset.json").write_text(whole)
    record = json.loads((run / "cases.json").read_text())
    del record["task"]  # an earlier version's
    (run / "cases.json").write_text(json.dumps(record))
    assert semivox.train(data, run, resume=True).steps == 4
