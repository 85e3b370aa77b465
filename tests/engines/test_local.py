"""Processes side by side: every task is done once, whichever worker dies."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from of_tests import arrived

from semivox.engines import Needs, Outcome, Task, done_on, engine_on, local
from semivox.errors import PartialFailure, SettingsError
from semivox.machine import CPUS, cpus

HERE = Path(__file__).parent
KIND = "of_tests"


@pytest.fixture(autouse=True)
def _workers_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "COMMAND", (sys.executable, str(HERE / "of_tests.py")))


def ended(on: str, folder: Path, whats: list[str], said: list[str] | None = None) -> dict[int, Outcome]:
    def tasks() -> Iterator[Task]:
        for number, what in enumerate(whats):
            yield Task(
                number, KIND, {"folder": str(folder), "number": number, "what": what}, f"the {number}."
            )

    tell = (said if said is not None else []).append
    with engine_on(on, Needs(), tell, folder) as engine:
        outcomes = list(done_on(engine, tasks()))
    assert sorted(outcome.task for outcome in outcomes) == list(range(len(whats)))
    return {outcome.task: outcome for outcome in outcomes}


def tries(folder: Path, number: int) -> int:
    return (folder / f"tried-{number}").stat().st_size


def test_each_task_is_done_once_and_what_it_says_is_heard(tmp_path: Path) -> None:
    said: list[str] = []
    found = ended("local:2", tmp_path, ["add"] * 7, said)
    assert [found[n].result for n in range(7)] == [n + 1 for n in range(7)]
    assert sorted(said) == [f"at {n}" for n in range(7)]
    assert [tries(tmp_path, n) for n in range(7)] == [1] * 7


def test_a_dead_worker_takes_no_task_with_it_and_the_others_go_on(tmp_path: Path) -> None:
    found = ended("local:2", tmp_path, ["add", "die once", "fail", "die", "add", "die once", "refuse"])
    assert [found[n].result for n in (0, 1, 4, 5)] == [1, 2, 5, 6]
    assert [tries(tmp_path, n) for n in range(6)] == [1, 2, 1, 3, 1, 2]
    failed = found[2].failure
    assert failed is not None
    assert "ValueError: task 2 is wrong" in str(failed.error)
    refused = found[6].failure
    assert refused is not None
    assert arrived(refused.error)
    died = found[3].failure
    assert died is not None
    assert isinstance(died.error, PartialFailure)
    assert "signal SIGKILL, 3 times (the 3.)" in str(died.error)


def test_workers_share_the_cores_and_are_kept(tmp_path: Path) -> None:
    found = ended("local:2", tmp_path, ["environment"] * 6)
    share = max(1, cpus() // 2)
    assert {tuple(found[n].result[:2]) for n in range(6)} == {(share, str(share))}
    assert len({found[n].result[2] for n in range(6)}) <= 2


def test_closing_ends_what_is_at_work(tmp_path: Path) -> None:
    with engine_on("local:1", Needs(), print, tmp_path) as engine:
        engine.put(Task(0, KIND, {"folder": str(tmp_path), "number": 0, "what": "slow"}))
        while not (tmp_path / "begun-0").exists():
            time.sleep(0.02)
        began = time.monotonic()
    assert time.monotonic() - began < 20  # of 60
    assert tries(tmp_path, 0) == 1


@pytest.mark.parametrize(
    "on",
    ["local:0", "local:x", "local:999", "local:²", "dask", "ray2:x", "", "slurm:", "slurm:-x", "slurm:a b"],
)
def test_other_words_are_refused(on: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--on"):
        engine_on(on, Needs(), print, tmp_path)


@pytest.mark.parametrize(("told", "most"), [("1", 1), ("0", 1), ("9999", None), ("two", None), ("", None)])
def test_the_share_of_a_worker_limits_what_it_counts(
    monkeypatch: pytest.MonkeyPatch, told: str, most: int | None
) -> None:
    monkeypatch.delenv(CPUS, raising=False)
    everything = cpus()
    monkeypatch.setenv(CPUS, told)
    assert cpus() == (everything if most is None else most)


def test_a_worker_ends_with_who_started_it(tmp_path: Path) -> None:
    """At once if it has nothing to do, else it stops what it does."""
    command = [sys.executable, str(HERE / "of_tests.py")]
    assert subprocess.run(command, stdin=subprocess.DEVNULL, check=False).returncode == 0
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    given = {"folder": str(tmp_path), "number": 0, "what": "slow"}
    assert worker.stdin is not None
    worker.stdin.write(json.dumps(vars(Task(0, KIND, given))) + "\n")
    worker.stdin.flush()
    while not (tmp_path / "begun-0").exists():
        time.sleep(0.02)
    worker.stdin.close()
    assert worker.wait(20) == 4  # of 60 s
