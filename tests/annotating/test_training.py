"""``Train again``: a run beside the run, with the labels that were saved; stopped, it goes on."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semivox.annotating import Desk, jobs
from semivox.annotating.book import Reader
from semivox.annotating.drawn import Drawn
from semivox.annotating.jobs import Length, Training
from semivox.errors import DiskFault


def wait(told: Callable[[], dict[str, Any]], until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    end = time.monotonic() + 120
    while not until(state := told()):
        assert time.monotonic() < end, state
        time.sleep(0.05)
    return state


def test_a_training_stops_with_the_server_and_goes_on(
    data: Path, run: Path, tmp_path: Path, readers: tuple[Reader, Reader]
) -> None:
    own = Path(shutil.copytree(run, tmp_path / "run"))
    desk = Desk(own, data)
    mask = np.random.default_rng(0).integers(0, 3, 14 * 12 * 10).astype(np.uint8)
    desk.save("thick", readers[0], "", mask.tobytes(), 1.0)

    def told(training: Training) -> Callable[[], dict[str, Any]]:
        return lambda: training.progress(desk.run)

    first = Training(data, Length(steps=100_000, threads=1), desk.use)
    out = first.start(own, "supervised", desk.labeled(), desk.folder)
    wait(told(first), lambda state: state["step"] > 0)
    first.stop()
    state = told(first)()
    assert (state["state"], state["run"], state["said"]) == ("stopped", "run-2", "")
    roles = {row["case"]: row["role"] for row in json.loads((out / "cases.json").read_text())["cases"]}
    assert {case for case, role in roles.items() if role == "labeled"} == {"known_a", "known_b", "thick"}
    assert json.loads((out / "cases.json").read_text())["parent"]["model_id"] == desk.card["model_id"]
    assert desk.run == own  # masks are still by the run that is whole

    again = Training(
        data, Length(steps=1), desk.use
    )  # another server: what was begun goes on, as it was begun
    assert told(again)()["state"] == "stopped"
    again.start(own, "supervised", desk.labeled(), desk.folder)
    resumed = wait(told(again), lambda now: now["phase"] == "training" and now["step"] >= state["step"])
    again.stop()
    assert resumed["steps"] == 100_000
    assert told(again)()["state"] == "stopped"


def test_a_run_that_is_done_makes_the_masks_from_then_on(
    data: Path, run: Path, tmp_path: Path, readers: tuple[Reader, Reader]
) -> None:
    own = Path(shutil.copytree(run, tmp_path / "run"))
    desk = Desk(own, data)
    mask = np.random.default_rng(0).integers(0, 3, 14 * 12 * 10).astype(np.uint8)
    desk.save("thick", readers[0], "", mask.tobytes(), 1.0, Drawn.parse("2:3,4,5,6"), [1])
    training = Training(data, Length(steps=1, threads=1), desk.use)
    training.start(own, "supervised", desk.labeled(), desk.folder)
    before = desk.card["model_id"]
    state = wait(lambda: training.progress(own), lambda state: state["state"] != "running")
    assert (state["state"], state["step"], state["steps"]) == ("done", 1, 1)
    rows = {row["case"]: row for row in json.loads((own.parent / "run-2/cases.json").read_text())["cases"]}
    assert (rows["thick"]["role"], rows["thick"]["annotated"], rows["known_a"]["annotated"]) == (
        "labeled",
        [3],
        None,
    )
    wait(lambda: {"run": desk.run.name}, lambda found: found["run"] == "run-2")
    assert desk.card["model_id"] != before


def test_a_training_that_cannot_begin_leaves_what_is_told_of_the_last(
    data: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the page would say that a run is done which was never begun."""
    own = Path(shutil.copytree(run, tmp_path / "run"))
    training = Training(data, Length(steps=1, threads=1), lambda run: None)
    training.start(own, "no such method", ["known_a"], tmp_path)
    before = wait(lambda: training.progress(own), lambda state: state["state"] != "running")
    assert (before["state"], before["run"]) == ("failed", "run-2")
    (tmp_path / "run-2").mkdir(exist_ok=True)

    def full(*_: Any) -> None:
        raise DiskFault("cannot be written")

    monkeypatch.setattr(jobs, "write_text", full)
    with pytest.raises(DiskFault):
        training.start(own, "supervised", ["known_a"], tmp_path)
    assert training.progress(own) == before
