"""Some of the tries of benchmarks/hostile_requests.py in each run, and what that harness must see."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hostile_requests import Server, sweep
from semivox.annotating import Desk


@pytest.fixture
def drawn(scenes: Path, tmp_path: Path) -> Path:
    for name in ("model1", "phantoms"):
        shutil.copytree(scenes / name, tmp_path / name)
    shutil.copytree(tmp_path / "phantoms/train", tmp_path / "drawn")
    return tmp_path


def test_hostile_requests_are_answered_and_change_nothing_else(drawn: Path) -> None:
    counts, wrong = sweep(drawn, 120, 0)
    assert wrong == []
    assert {"200", "204", "400", "401", "404", "405"} <= set(counts)
    routes = {path.split("/")[1] for path, _ in Server(drawn).routes}
    assert {"", "api", "page", "infer", "datastore", "train", "auth"} <= routes


def test_the_harness_sees_what_is_wrong(drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(desk: Desk, *asked: object) -> None:
        (drawn / "phantoms/more.txt").write_text("x")
        raise KeyError("x")

    monkeypatch.setattr(Desk, "listing", fail)
    _, wrong = sweep(drawn, 60, 0)
    assert any("KeyError" in line for line in wrong)
    assert wrong[-1] == "changed: phantoms/more.txt"
