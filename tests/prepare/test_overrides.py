"""A working grid that is asked for leaves something of the scans, and fits into the memory."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from semivox.commands.train import train
from semivox.errors import SettingsError
from semivox.prepare.fingerprint import RUNGS, CaseFingerprint, Fingerprint, Intensity
from semivox.prepare.planner import make_plan

SOME = Intensity(-50.0, 250.0, 80.0, 40.0)
ONES = tuple((1.0, 1.0) for _ in RUNGS)
CASES = (
    CaseFingerprint("a", (24, 20, 12), (1.0, 1.0, 2.0), (200, 320), ONES, (1.0, 1.0), 1.0, (9, 9, 5)),
    CaseFingerprint("b", (24, 20, 12), (1.0, 1.0, 2.0), (200, None), ONES, (1.0, None)),
    CaseFingerprint("c", (24, 20, 12), (1.0, 1.0, 2.0)),
)
COHORT = Fingerprint(
    dims=3, axes=(0, 1, 2), native_spacing=(1.0, 1.0, 2.0), spacing_known=True, channels=("MR",),
    values=(1, 2), names=("one", "two"), rungs=RUNGS, labeled=2, foreground=(SOME,), cases=CASES,
)  # fmt: skip


@pytest.mark.parametrize(
    "override",
    [
        {"rung": 10}, {"rung": 12}, {"rung": 100.0}, {"rung": 1e300}, {"spacing": [12, 12, 12]},
        {"spacing": [1e9, 9, 1e9]},
    ],
)  # fmt: skip
def test_a_grid_on_which_nothing_is_left(override: dict[str, Any]) -> None:
    name = f"plan.{next(iter(override))}"
    with pytest.raises(SettingsError, match=f"{name} leaves nothing.*; found .* voxels; expected.*1 x 1 x 2"):
        make_plan(COHORT, 1800, override=override)


def test_a_scan_or_a_structure_may_be_all_that_is_missing() -> None:
    """320 voxels are half a voxel where 24 x 20 x 12 are 8; a third of the scan is more than one."""
    alone = replace(CASES[0], voxels=(None, 24 * 20 * 4))
    full = replace(COHORT, cases=(alone,), labeled=1)
    assert make_plan(full, 1800, override={"rung": 10}).shape == (2, 2, 2)
    with pytest.raises(SettingsError, match="leaves nothing.*1 x 1 x 1"):  # though it fills the scan
        make_plan(
            replace(full, cases=(replace(alone, voxels=(None, 24 * 20 * 12)),)), 1800, override={"rung": 30}
        )


@pytest.mark.parametrize("spacing", [[0.01, 0.01, 0.01], [1, 1, 1e-5], [1e-4, 1e-4, 1e-4]])
def test_a_grid_beyond_the_memory(spacing: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMIVOX_CASE_MEMORY", "2GiB")
    with pytest.raises(
        SettingsError, match=r"too large at plan\.spacing; found .*GiB; expected at most 2 GiB"
    ):
        make_plan(COHORT, 1800, override={"spacing": spacing})


@pytest.mark.parametrize("spacing", [[1e-300] * 3, [5e-324, 1, 1], [1, 1, 1e-7]])
def test_a_grid_that_cannot_be_counted(spacing: list[float]) -> None:
    with pytest.raises(SettingsError, match=r"plan\.spacing does not fit.*at least 1e-06"):
        make_plan(COHORT, 1800, override={"spacing": spacing})


@pytest.mark.parametrize(
    "override",
    [
        {"rung": 1}, {"rung": 3}, {"rung": 4}, {"spacing": [1, 1, 50]}, {"spacing": [2, 2, 2]},
        {"spacing": [0.5, 0.5, 0.5]}, {"patch": [8, 8, 8]},
    ],
)  # fmt: skip
def test_other_grids_are_planned(override: dict[str, Any]) -> None:
    plan = make_plan(COHORT, 1800, override=override)
    assert math.prod(plan.shape) >= 8


def test_scans_that_are_small_themselves_are_not_refused() -> None:
    tiny = replace(COHORT, cases=tuple(replace(case, shape=(1, 1, 1), voxels=(1, 1)) for case in CASES[:2]))
    for override in ({}, {"rung": 1}, {"spacing": [1, 1, 2]}):
        assert make_plan(tiny, 1800, override=override).shape == (1, 1, 1)


@pytest.mark.parametrize("patch", [[1, 1, 1], [1, 2, 3], [7, 1, 1]])
def test_a_patch_without_neighbours(patch: list[int]) -> None:
    with pytest.raises(SettingsError, match=r"plan\.patch does not fit.*at least 8 voxels"):
        make_plan(COHORT, 1800, override={"patch": patch})


@pytest.mark.parametrize(
    ("name", "value"), [("rung", 100), ("spacing", [0.01, 0.01, 0.01]), ("spacing", [99, 99, 99])]
)
def test_training_is_refused_before_anything_is_prepared(
    name: str, value: Any, phantoms: tuple[Path, Path], small: dict[str, Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("SEMIVOX_CASE_MEMORY", "4GiB")
    others = {k: v for k, v in small.items() if k not in ("plan.rung", "plan.patch")}
    with pytest.raises(SettingsError, match=rf"plan\.{name}"):
        train(
            phantoms[0], tmp_path / "run", method="supervised", steps=1, cache=tmp_path / "cache",
            settings={**others, f"plan.{name}": value},
        )  # fmt: skip
