"""Commands of a benchmark end in time, and what fails is told once the others have ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from in_time import Commands
from semivox.errors import PartialFailure


def sleeper(seconds: float, left: Path) -> list[str]:
    code = (
        "import signal, sys, time\n"
        f"left = open({str(left)!r}, 'w')\n"
        "signal.signal(signal.SIGTERM, lambda *_: (left.write('stopped'), sys.exit(4)))\n"
        f"time.sleep({seconds})\nleft.write('done')"
    )
    return ["-c", code]


def waiting(place: Path, mine: int, others: int) -> list[str]:
    """It ends well once as many have begun."""
    code = (
        "import pathlib, sys, time\n"
        f"place = pathlib.Path({str(place)!r})\n(place / '{mine}').touch()\n"
        "end = time.monotonic() + 30\n"
        f"while len(list(place.iterdir())) < {others} and time.monotonic() < end: time.sleep(0.05)\n"
        "sys.exit(time.monotonic() >= end)"
    )
    return ["-c", code]


def test_they_run_side_by_side_and_one_after_the_other(tmp_path: Path) -> None:
    assert Commands(None, 4).run([waiting(tmp_path, i, 4) for i in range(4)])
    names = [tmp_path / f"alone {i}" for i in range(2)]
    assert Commands(None, 1).run([sleeper(0, name) for name in names])
    assert [name.read_text() for name in names] == ["done"] * 2


def test_when_the_time_is_over_they_are_asked_to_stop_and_no_other_begins(tmp_path: Path) -> None:
    commands = Commands(1.5, 1)
    assert not commands.run([sleeper(60, tmp_path / "first"), sleeper(0, tmp_path / "second")])
    assert (tmp_path / "first").read_text() == "stopped"
    assert not (tmp_path / "second").exists()
    assert commands.time_is_over
    assert not commands.run([sleeper(0, tmp_path / "third")])
    assert not (tmp_path / "third").exists()


def test_a_failure_is_told_and_stops_no_other(tmp_path: Path) -> None:
    with pytest.raises(PartialFailure, match="exit code 3"):
        Commands(None, 1).run([["-c", "raise SystemExit(3)"], sleeper(0, tmp_path / "left")])
    assert (tmp_path / "left").read_text() == "done"


def test_a_command_that_was_stopped_is_not_finished() -> None:
    assert not Commands(None, 1).run([["-c", "raise SystemExit(4)"]])


def test_a_benchmark_in_the_background_hears_that_it_is_to_stop(tmp_path: Path) -> None:
    """A shell without job control starts what stands before & with SIGINT ignored."""
    left = tmp_path / "left"
    here = Path(__file__).parents[2] / "benchmarks"
    code = (
        "import signal, sys\n"
        f"sys.path.insert(0, {str(here)!r})\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from in_time import Commands\n"
        f"Commands(None, 1).run([{sleeper(60, left)!r}])"
    )
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as benchmark:
        deadline = time.monotonic() + 60
        while not left.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.5)  # its child has its handler now
        os.kill(benchmark.pid, signal.SIGTERM)
        assert benchmark.wait(30) != 0
    assert left.read_text() == "stopped"
