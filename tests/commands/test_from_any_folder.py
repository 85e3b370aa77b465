"""A run that was begun in one folder goes on from another, though what it was given was relative."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from semivox.commands.train import train
from semivox.errors import DataError, Stopped
from semivox.testing.displays import StopAfter

Folders = tuple[Path, Path]


@pytest.fixture
def begun(
    phantoms: Folders, small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """A run on one labelled scan of two, named in a file beside it."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    label = min((phantoms[0] / "labelsTr").iterdir())
    Path("names.txt").write_text(label.name.split(".")[0] + "\n")
    asked = {"data": phantoms[0], "out": tmp_path / "run", "cache": tmp_path / "cache"}
    with pytest.raises(Stopped):
        train(
            **asked, method="supervised", labeled="names.txt", steps=3, settings=small, display=StopAfter(1)
        )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return {**asked, "resume": True}


@pytest.mark.parametrize("labeled", [None, "../work/names.txt"])
def test_it_goes_on(begun: dict[str, Any], labeled: str | None) -> None:
    assert train(**begun, labeled=labeled).steps == 3
    rows = json.loads((begun["out"] / "cases.json").read_text())["cases"]
    assert [row["role"] for row in rows].count("labeled") == 1


def test_other_names_in_the_file_are_noticed(begun: dict[str, Any]) -> None:
    names = sorted(path.name.split(".")[0] for path in (begun["data"] / "labelsTr").iterdir())
    Path("../work/names.txt").write_text("\n".join(names))
    with pytest.raises(DataError, match="cohort has changed"):
        train(**begun)


@pytest.mark.parametrize("settings", [{"run.labeled": 1}, {"labeled": 1}])
def test_auto_counts_labelled_scans_that_are_a_setting(
    phantoms: Folders, small: dict[str, Any], tmp_path: Path, settings: dict[str, Any]
) -> None:
    from semivox.cohort import load_cohort
    from semivox.runs.asked import left_to_us, settings_of
    from semivox.training.options import TrainOptions

    flag = TrainOptions(phantoms[0], tmp_path / "run", labeled=1)
    as_setting = TrainOptions(phantoms[0], tmp_path / "run", settings=settings)
    cohort = load_cohort(phantoms[0])
    assert settings_of(as_setting, cohort)[0] == settings_of(flag, cohort)[0]
    assert left_to_us(as_setting, cohort) == left_to_us(flag, cohort)
