"""Commands of a benchmark end in time, and what fails is told once the others have ended."""

from __future__ import annotations

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


def test_they_run_side_by_side_and_one_after_the_other(tmp_path: Path) -> None:
    names = [tmp_path / str(i) for i in range(4)]
    began = time.monotonic()
    assert Commands(None, 4).run([sleeper(0.8, name) for name in names])
    assert time.monotonic() - began < 4 * 0.8
    assert [name.read_text() for name in names] == ["done"] * 4
    assert Commands(None, 1).run([sleeper(0, name) for name in names])


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
