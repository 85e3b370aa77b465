"""A real Slurm, started here: jobs die, are stopped, cancelled and requeued, and none is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from of_tests import arrived

import semivox
from semivox.commands import compare as compare_command
from semivox.engines import Needs, Outcome, Task, done_on, engine_on, on_slurm
from semivox.engines import slurm as slurm_commands
from semivox.errors import PartialFailure, SettingsError
from semivox.files import read_text

KIND = "of_tests"
HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _asked_often(slurm_cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_slurm, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(on_slurm, "ASK_SECONDS", 0.2)


@pytest.fixture
def of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_slurm, "COMMAND", (sys.executable, str(HERE / "of_tests.py")))


def until(holds: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def slurm(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def jobs(*states: str) -> list[str]:
    """ARRAY_INDEX of each in one of these states."""
    rows = (line.split() for line in slurm("squeue", "-h", "--array", "-o", "%F_%K %T").splitlines())
    return [place for place, state in rows if state in states]


def task(folder: Path, number: int, what: str) -> Task:
    return Task(number, KIND, {"folder": str(folder), "number": number, "what": what}, f"the {number}.")


def tries(folder: Path, number: int) -> int:
    return (folder / f"tried-{number}").stat().st_size


@pytest.mark.usefixtures("of_tests")
def test_every_task_is_done_once_whatever_becomes_of_its_job(tmp_path: Path) -> None:
    """More tasks than one array may hold, which is 5 here, two at a time."""
    whats = ["wait", "wait", "add", "die once", "stop once", "fail", "die", "environment", "add", "refuse"]
    said: list[str] = []

    def requeue_one_and_cancel_one() -> None:
        until(lambda: all((tmp_path / f"begun-{n}").exists() for n in (0, 1)))
        first, second = sorted(jobs("RUNNING"))
        slurm("scancel", second)
        slurm("scontrol", "requeue", first)
        until(lambda: first in jobs("PENDING"))
        (tmp_path / "go").touch()
        slurm("scontrol", "update", f"JobId={first}", "StartTime=now")  # it would wait for two minutes

    place = tmp_path / 'a place\'s "folder"'
    with (
        engine_on("slurm:day", Needs(cpus=1, minutes=5), said.append, place) as engine,
        ThreadPoolExecutor(1) as other,
    ):
        with pytest.raises(SettingsError, match="another process"):
            engine_on("slurm", Needs(), said.append, place)
        beside = other.submit(requeue_one_and_cancel_one)
        found: dict[int, Outcome] = {
            o.task: o for o in done_on(engine, (task(tmp_path, n, what) for n, what in enumerate(whats)))
        }
        beside.result()
    assert [found[n].result for n in (0, 2, 3, 4, 8)] == [1, 3, 4, 5, 9]
    assert [tries(tmp_path, n) for n in range(10)] == [2, 1, 1, 2, 2, 1, 3, 1, 1, 1]
    errors = {n: o.failure.error for n, o in found.items() if o.failure is not None}
    assert sorted(errors) == [1, 5, 6, 9]
    assert arrived(errors[9])
    assert isinstance(errors[1], PartialFailure)
    assert "cancelled" in str(errors[1])
    assert "ValueError: task 5 is wrong" in str(errors[5])
    assert "3 times (the 6.)" in str(errors[6])
    assert found[7].result[:2] == [1, "1"]
    assert found[7].result[3] == str(Path.cwd())
    assert said == []


@pytest.mark.usefixtures("of_tests")
def test_what_an_earlier_command_left_is_taken_back_first(tmp_path: Path) -> None:
    """As after a driver that was killed: it has let nothing go."""
    place = tmp_path / "engine"
    killed = on_slurm.OnSlurm(None, Needs(), print, place)
    killed.put(task(tmp_path, 0, "slow"))
    killed._hand_in()
    until((tmp_path / "begun-0").exists)
    killed._lock.release()
    with engine_on("slurm", Needs(), print, place) as engine:
        assert jobs("RUNNING", "PENDING") == []
        assert [o.result for o in done_on(engine, [task(tmp_path, 1, "add")])] == [2]
    assert not place.exists()  # neither the tasks nor the lock
    with engine_on("slurm", Needs(), print, place), pytest.raises(SettingsError, match="another process"):
        engine_on("slurm", Needs(), print, place)


@pytest.mark.usefixtures("of_tests")
def test_what_slurm_does_not_take_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="no such partition.*expected slurm:day or slurm:night"):
        engine_on("slurm:moon", Needs(), print, tmp_path)
    with (
        pytest.raises(SettingsError, match="takes no such job.*man sbatch"),
        engine_on("slurm", Needs(gpus=1), print, tmp_path) as engine,
    ):
        list(done_on(engine, [task(tmp_path, 0, "add")]))

    def tell(text: str) -> None:
        raise InterruptedError(text)

    with (  # a minute at most
        pytest.raises(InterruptedError, match="jobs wait in Slurm: Partition"),
        engine_on("slurm:night", Needs(minutes=5), tell, tmp_path) as engine,
    ):
        list(done_on(engine, [task(tmp_path, 1, "add")]))
    assert jobs("PENDING") == []
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "none.conf"))
    monkeypatch.setattr(slurm_commands, "SECONDS", 1.0)
    with pytest.raises(SettingsError, match="does not answer"):
        engine_on("slurm", Needs(), print, tmp_path)


def test_a_requeued_cell_goes_on_from_its_checkpoint_to_the_same_bytes(
    phantoms: tuple[Path, Path], small: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare_command, "_draw", lambda out, display: None)  # seconds each

    def compared(out: Path, **more: Any) -> None:
        result = semivox.compare(
            phantoms[0], out, methods="supervised", labeled="1", test=phantoms[1], steps=24,
            settings=small, threads=1, **more,
        )  # fmt: skip
        assert result.failed == ()

    def requeue() -> int:
        run = tmp_path / "there" / "cells/supervised/1/test/0"
        until(lambda: (run / "metrics.jsonl").exists() and len(read_text(run / "metrics.jsonl")) > 500)
        first = sorted(jobs("RUNNING"))[0]
        slurm("scontrol", "requeue", first)
        until(lambda: first in jobs("PENDING"))
        step = int(json.loads(read_text(run / "status.json"))["step"])
        slurm("scontrol", "update", f"JobId={first}", "StartTime=now")
        return step

    with ThreadPoolExecutor(1) as other:
        stopped = other.submit(requeue)
        compared(tmp_path / "there", on="slurm")
    assert 0 < stopped.result() < 24
    compared(tmp_path / "here")
    for name in ("cells/supervised/1/test/0/model.safetensors", "cases.csv"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    assert not (tmp_path / "there/engine/arrays").exists()
