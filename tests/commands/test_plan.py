"""``semivox plan``: the overrides that it prints are ones that it takes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import semivox
from semivox.cli import main
from semivox.cohort import LabeledSet
from semivox.cohort.phantom import write_phantom_cohort
from semivox.commands.plan import PlanOptions
from semivox.commands.rank import RankOptions
from semivox.errors import SettingsError
from semivox.files import read_json
from semivox.options import hints_of
from semivox.prepare.overrides import OVERRIDES
from semivox.training.options import TrainOptions

Capture = pytest.CaptureFixture[str]


def test_settings_replace_what_the_planner_chooses(phantoms: tuple[Path, Path], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    own = semivox.plan(phantoms[0], cache=cache, method="supervised")
    asked = semivox.plan(
        phantoms[0], cache=cache, settings={"plan.network.kind": "unet", "plan.batch": [1, 1]}
    )
    assert (asked.network.kind, asked.batch) == ("unet", (1, 1)) != (own.network.kind, own.batch)
    assert semivox.plan(phantoms[0], cache=cache, settings=["batch=[1,1]"]).batch == (1, 1)


def test_the_plan_is_that_of_train_with_the_method_that_it_is_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, _ = write_phantom_cohort(tmp_path / "scans", labeled=2, unlabeled=2, test=1)
    more: dict[str, Any] = {
        "cache": tmp_path / "cache",
        "settings": ["plan.spacing=[2,2,2]", "patch=[48,48,48]"],
    }
    for method, kind in ((None, "unet"), ("auto", "unet"), ("supervised", "vnet"), ("cvrl:miccai", "vnet")):
        assert semivox.plan(data, method=method, **more).network.kind == kind
        asked = {"method": method, "steps": 1, "precision": "fp32", "threads": 1}
        if method != "cvrl:miccai":
            semivox.train(data, tmp_path / f"{method}", **asked, **more)
            assert read_json(tmp_path / f"{method}" / "plan.json")["network"]["kind"] == kind
    monkeypatch.setattr("semivox.runs.asked.FEW_LABELED", 2)
    assert semivox.plan(data, **more).network.kind == "vnet"
    with pytest.raises(SettingsError, match=r"unknown method 'supervized'.*supervised"):
        semivox.plan(data, method="supervized", **more)


def test_the_command_line_takes_them(phantoms: tuple[Path, Path], tmp_path: Path, capsys: Capture) -> None:
    line = ["plan", str(phantoms[0]), "--cache", str(tmp_path), "--json", "--set", "plan.rung=2"]
    assert main([*line, "--set", "plan.batch=[1,1]"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["rung"], made["batch"]) == (2, [1, 1])


def test_every_override_that_is_printed_has_a_setting(phantoms: tuple[Path, Path], tmp_path: Path) -> None:
    said = " ".join(semivox.plan(phantoms[0], cache=tmp_path).assumptions)
    named = set(re.findall(r"plan\.([a-z]+(?:\.\w+)*)=", said))
    assert len(named) >= 4
    assert {re.sub(r"\.\d+\.", ".N.", name) for name in named} <= set(OVERRIDES)


@pytest.mark.parametrize("name", ["plan.bacth", "bacth", "optimizer.lr", "plan.channels.7.scheme"])
def test_an_unknown_name_is_refused(phantoms: tuple[Path, Path], tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=f"unknown setting '{name}'"):
        semivox.plan(phantoms[0], cache=tmp_path, settings={name: 1})


def test_what_is_told_before_the_first_step_is_short(tmp_path: Path, capsys: Capture) -> None:
    """Of the demo's cohort: twelve lines of a hundred characters; the rest is there for who asks."""
    data, _ = write_phantom_cohort(tmp_path / "demo", labeled=4, unlabeled=20, test=1)
    quick = ["--set", "plan.rung=4", "--set", "plan.batch=[1,1]", "--cache", str(tmp_path / "cache")]
    line = ["train", str(data), "--out", str(tmp_path / "run"), "--steps", "1", *quick]

    def before_the_first_step(*more: str) -> list[str]:
        assert main([*line, *more]) == 0
        lines = capsys.readouterr().err.splitlines()
        return lines[: next(i for i, text in enumerate(lines) if text.startswith("step 1/"))]

    def planned(*more: str) -> list[str]:
        assert main(["plan", str(data), *quick, *more]) == 0
        return [text.rstrip() for text in capsys.readouterr().out.splitlines()]

    for told in (before_the_first_step(), planned()):
        assert 3 <= len(told) <= 12
        assert [text for text in told if len(text) > 100] == []
    for told in (before_the_first_step("--verbose", "--out", str(tmp_path / "again")), planned("--verbose")):
        assert any("(override: --set plan.rung=R" in " ".join(text.split()) for text in told)


def test_the_labelled_set_is_taken_as_train_takes_it(phantoms: tuple[Path, Path], tmp_path: Path) -> None:
    data, cache = phantoms[0], tmp_path / "cache"
    (tmp_path / "names").write_text("phantom_001\nphantom_002\n")
    plans = [
        semivox.plan(data, cache=cache, labeled=given) for given in ("2", 2, np.int64(2), tmp_path / "names")
    ]
    assert all(plan == plans[0] for plan in plans)
    for wrong in ([2], 2.0, True):
        with pytest.raises(SettingsError, match=r"labeled is of another kind; found .*expected"):
            semivox.plan(data, cache=cache, labeled=cast(Any, wrong))


def test_every_command_takes_the_same_as_a_labelled_set() -> None:
    hints = [hints_of(options)["labeled"].__origin__ for options in (PlanOptions, RankOptions, TrainOptions)]
    assert hints == [LabeledSet | None] * 3
