"""A comparison on an engine is the one that is made here, bit for bit."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import semivox
from semivox.commands import compare as module
from semivox.commands.compare import Comparison
from semivox.comparison.cell_run import minutes_of
from semivox.comparison.options import CompareOptions
from semivox.comparison.request import read_request
from semivox.errors import SettingsError, Stopped
from semivox.testing.displays import Told

Folders = tuple[Path, Path]


@pytest.fixture(autouse=True)
def _no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_draw", lambda out, display: None)  # seconds each


def compared(phantoms: Folders, out: Path, small: dict[str, Any], **more: Any) -> Comparison:
    settings = {**small, **more.pop("settings", {})}
    return semivox.compare(
        phantoms[0], out, methods="supervised,mean_teacher", labeled="1", test=phantoms[1], steps=2,
        settings=settings, threads=1, **more,
    )  # fmt: skip


def files_of(out: Path) -> dict[str, bytes]:
    weights = {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("model.safetensors"))}
    return {**weights, "cases.csv": (out / "cases.csv").read_bytes()}


def test_two_workers_make_what_one_process_makes_and_a_failure_stops_nothing(
    phantoms: Folders, small: dict[str, Any], tmp_path: Path
) -> None:
    compared(phantoms, tmp_path / "here", small)
    told = Told()
    result = compared(phantoms, tmp_path / "there", small, on="local:2", display=told)
    assert result.failed == ()
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")
    assert sum("done (" in line for line in told.said) == 2
    assert any(line.startswith("[1] ") for line in told.said)  # what a worker says is heard
    again = Told()
    compared(phantoms, tmp_path / "there", small, on="local:2", display=again)
    assert not any("done (" in line for line in again.said)  # all was finished

    # one cell fails in its process: the error arrives whole, the other cell is done
    other = tmp_path / "other"
    (other / "cells/mean_teacher/1/test/0").mkdir(parents=True)
    (other / "cells/mean_teacher/1/test/0/config.yaml").write_text("run: [")
    result = compared(phantoms, other, small, on="local:2")
    assert [cell.number for cell in result.failed] == [2]
    failure = json.loads((result.failed[0].folder / "failed.json").read_text())
    assert "config.yaml" in failure["message"]


@pytest.mark.parametrize("on", ["local:0", "cloud", "slurm:"])
def test_no_engine_no_comparison(phantoms: Folders, small: dict[str, Any], tmp_path: Path, on: str) -> None:
    with pytest.raises(SettingsError, match="--on"):
        compared(phantoms, tmp_path / "out", small, on=on)
    assert not (tmp_path / "out").exists()
    with pytest.raises(SettingsError, match="--on"):
        semivox.train(phantoms[0], tmp_path / "run", on="local:2", steps=1, settings=small)


def test_a_stopped_driver_stops_its_workers_which_save(
    phantoms: Folders, small: dict[str, Any], tmp_path: Path
) -> None:
    out, words = tmp_path / "out", [str(word) for pair in small.items() for word in (pair[0], repr(pair[1]))]
    command = [sys.executable, "-m", "semivox", "compare", str(phantoms[0]), "--test", str(phantoms[1])]
    command += ["--methods", "supervised", "--seeds", "0,1", "--labeled", "1", "--steps", "100000"]
    command += ["--out", str(out), "--on", "local:2", "--threads", "1"]
    for name, value in zip(words[::2], words[1::2], strict=True):
        command += ["--set", f"{name}={value}".replace("'", "")]
    driver = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    runs = [out / f"cells/supervised/1/test/{seed}" for seed in (0, 1)]

    def training(run: Path) -> bool:
        return (run / "status.json").exists() and '"training"' in (run / "status.json").read_text()

    deadline = time.monotonic() + 120
    while not all(map(training, runs)):
        assert driver.poll() is None, driver.stderr and driver.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    driver.send_signal(signal.SIGTERM)
    _, said = driver.communicate(timeout=90)
    assert driver.returncode == Stopped.exit_code, said
    assert "go on with: semivox compare" in said
    for run in runs:
        status = json.loads((run / "status.json").read_text())
        assert status["state"] == "stopped"
        assert (run / "checkpoint.pt").exists() or list(run.glob("checkpoint*"))


@pytest.mark.parametrize(
    ("length", "minutes"),
    [
        ({"budget": "1h"}, 90 + 10 + 4),
        ({}, 90 + 10 + 4),
        ({"steps": 5}, None),
        ({"settings": {"run.steps": 5}}, None),
    ],
)
def test_a_budget_tells_how_long_a_cell_takes_at_most(
    phantoms: Folders, tmp_path: Path, length: dict[str, Any], minutes: int | None
) -> None:
    asked = CompareOptions(phantoms[0], tmp_path, methods="supervised", test=phantoms[1], **length)
    assert minutes_of(read_request(asked)) == minutes
