"""The room on the disk is asked for before the work, and what is asked for is about what is written."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from semivox.commands.predict import predict
from semivox.commands.train import train
from semivox.errors import DiskFault, Stopped
from semivox.files import read_json, refuse_full
from semivox.testing.displays import Told
from semivox.training.run_folder import RunFolder

Usage = namedtuple("Usage", "total used free")


def free(monkeypatch: pytest.MonkeyPatch, of: Any) -> None:
    """The disk has ``of(folder)`` bytes free."""
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**12, 0, of(Path(folder))))


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_the_message_names_folder_needed_free_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, lambda folder: 3 * 2**20)
    refuse_full(tmp_path / "new/run", 3 * 2**20, "masks")
    with pytest.raises(
        DiskFault,
        match="new/run: there is no room for masks; found 3 MiB free; expected 5 GiB. Remedy: free",
    ):
        refuse_full(tmp_path / "new/run", 5 * 2**30, "masks")


def test_a_run_asks_for_about_what_it_writes(
    flat_phantoms: tuple[Path, Path], small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, int] = {}
    for place in ("semivox.runs.room", "semivox.prepare.shares"):
        monkeypatch.setattr(
            f"{place}.refuse_full", lambda folder, needed, what: asked.__setitem__(what.split()[-1], needed)
        )
    settings = {
        **small,
        "plan.patch": [32, 32],
        "plan.rung": 1,
        "run.checkpoint_seconds": 0,
        "run.sweeps": 1,
        "method.alone": 0.5,
    }  # a checkpoint within a stage: one at its end has no optimizer

    given = {"method": "self_training", "steps": 4, "settings": settings, "cache": tmp_path / "cache"}
    train(flat_phantoms[0], tmp_path / "run", **given)
    arrays = size(tmp_path / "cache/images") + size(tmp_path / "cache/targets")
    assert 0.5 * arrays < asked["arrays"] <= arrays
    written = sum(size(tmp_path / "run" / part) for part in ("checkpoints", "pseudo_labels"))
    written += (tmp_path / "run/model.safetensors").stat().st_size
    assert written < asked["pseudo-labels"] < 2 * written  # a third checkpoint while it is written


def test_no_room_is_told_before_the_first_step_and_the_run_goes_on(
    flat_phantoms: tuple[Path, Path], small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, cache = tmp_path / "run", tmp_path / "cache"
    settings = {**small, "plan.patch": [32, 32], "plan.rung": 1}
    given = {"method": "supervised", "steps": 1, "settings": settings, "cache": cache}
    with monkeypatch.context() as patched:
        free(patched, lambda folder: 10**6 if folder == run else 10**12)
        with pytest.raises(
            Stopped, match=r"run: there is no room for the run's .* free; expected .* MiB.*the same command"
        ) as stopped:
            train(flat_phantoms[0], run, **given)
    assert not (run / "metrics.jsonl").exists()
    # --resume alone would begin a run of another method and length
    assert "--resume" not in str(stopped.value)
    assert '"stopped"' in (run / "status.json").read_text()
    shutil.rmtree(cache)
    with monkeypatch.context() as patched:
        free(patched, lambda folder: 10 if folder == cache else 10**12)
        with pytest.raises(Stopped, match=r"cache: there is no room for \d+ prepared arrays.*10 bytes free"):
            train(flat_phantoms[0], run, **given, resume=True)
    display = Told()
    train(flat_phantoms[0], run, **given, resume=True, display=display)
    assert any("holds no run to go on with yet: a new one begins" in line for line in display.said)
    with monkeypatch.context() as patched:
        free(patched, lambda folder: 10)
        with pytest.raises(DiskFault, match=r"masks: there is no room for the masks of 2 scans"):
            predict(run, flat_phantoms[1], tmp_path / "masks")
    assert not (tmp_path / "masks").exists()
    predict(run, flat_phantoms[1], tmp_path / "masks")


def test_a_signal_while_the_state_is_written_leaves_a_true_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt("SIGTERM")

    with pytest.raises(KeyboardInterrupt), RunFolder(tmp_path / "run") as run:
        run.status("training", 3)
        with monkeypatch.context() as patched:
            patched.setattr("semivox.disk.sync_file", interrupted)
            run.status("done", 4)
    status = read_json(tmp_path / "run/status.json")
    assert (status["state"], status["step"]) == ("stopped", 3)
