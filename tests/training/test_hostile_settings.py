"""Values of settings that no training can have are refused by name, before anything is read or started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from semivox.errors import SettingsError
from semivox.methods.catalog import parse_method
from semivox.prepare.fingerprint import RUNGS, CaseFingerprint, Fingerprint, Intensity
from semivox.prepare.planner import make_plan
from semivox.settings import parse_assignment
from semivox.training.config import resolve
from semivox.training.launch import launch

SOME = Intensity(-50.0, 250.0, 80.0, 40.0)
CASE = CaseFingerprint("a", (64,) * 3, (1.0,) * 3, (1000,), tuple((1.0,) for _ in RUNGS), (1.0,))
COHORT = Fingerprint(
    dims=3, axes=(0, 1, 2), native_spacing=(1.0,) * 3, spacing_known=True, channels=("MR",), values=(1,),
    names=("organ",), rungs=RUNGS, labeled=1, foreground=(SOME,), cases=(CASE,),
)  # fmt: skip


@pytest.mark.parametrize("name", ["lr", "momentum", "weight_decay", "clip", "power", "factor"])
@pytest.mark.parametrize("value", ["-1", "-0.001", ".nan", ".inf", "-.inf", "[]", "x", "\u00b2"])
def test_numbers_of_the_optimizer(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"optimizer.{name}"):
        resolve(Path("scans"), {}, assignments=dict([parse_assignment(f"optimizer.{name}={value}")]))


@pytest.mark.parametrize(
    "text",
    ["run.threads=100000", "run.threads=0", "run.checkpoint_seconds=-1", "run.steps=1e30x", "run.devices=0"],
)
def test_numbers_of_the_run(text: str) -> None:
    name, value = parse_assignment(text)
    with pytest.raises(SettingsError, match=name):
        resolve(Path("scans"), {}, assignments={name: value})


@pytest.mark.parametrize(
    "override",
    [
        {"patch": [10**6, 10**6, 10**6]}, {"patch": [16, 16, 2**24]}, {"batch": [10**7, 10**7]},
        {"rung": float("inf")}, {"spacing": [float("inf"), 1.0, 1.0]}, {"patch": [float("nan"), 16, 16]},
        {"steps": float("inf")},
    ],
)  # fmt: skip
def test_numbers_of_the_plan(override: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=f"plan.{next(iter(override))}"):
        make_plan(COHORT, 1800, override=override)


def test_no_machine_is_asked_for_thousands_of_processes(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--devices 9999"):
        launch(9999, "nothing", {}, tmp_path)


def test_deep_nesting_is_a_text_or_refused() -> None:
    deep = 5000 * "["
    assert parse_assignment(f"plan.patch={deep}") == ("plan.patch", deep)
    with pytest.raises(SettingsError, match="cannot read"):
        parse_method(f"bcp{{beta={deep}}}")
