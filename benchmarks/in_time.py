"""Commands of semivox that a benchmark starts, some side by side, and that end when its time is over.

A stopped command has saved what it did, and goes on when the benchmark is started again.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from semivox.errors import PartialFailure, Stopped
from semivox.machine import cpus

PATIENCE = 90.0
"""Seconds in which a command that is asked to stop has ended."""


class Commands:
    """``stop_after``: seconds from now; None: as long as it takes. ``places``: commands at a time.

    A signal to this process is one to them: :meth:`run` then raises KeyboardInterrupt, once they have ended.
    """

    def __init__(self, stop_after: float | None, places: int = 1) -> None:
        self._end = None if stop_after is None else time.monotonic() + stop_after
        self._places = places
        # not by way of SIGINT: a script that starts a benchmark with & has it ignored
        signal.signal(signal.SIGTERM, signal.default_int_handler)

    @property
    def time_is_over(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end

    def run(self, commands: Sequence[Sequence[str | Path]]) -> bool:
        """Whether all have ended well in time; ``commands`` are words after python, in the order of their
        start. Raises PartialFailure where one has failed, once the others have ended."""
        left = [[str(word) for word in command] for command in commands]
        running: list[tuple[list[str], subprocess.Popen[bytes]]] = []
        failed: list[str] = []
        stopped = False
        try:
            while (left or running) and not self.time_is_over:
                while left and len(running) < self._places:
                    command = left.pop(0)
                    running.append((command, subprocess.Popen([sys.executable, *command])))
                time.sleep(0.1)
                for command, process in [one for one in running if one[1].poll() is not None]:
                    running.remove((command, process))
                    stopped |= process.returncode == Stopped.exit_code
                    if process.returncode not in (0, Stopped.exit_code):
                        failed.append(f"exit code {process.returncode}: {' '.join(command)}")
        finally:
            _end([process for _, process in running])
        if failed:
            raise PartialFailure(f"{len(failed)} commands have failed", found="; ".join(failed))
        return not (left or running or stopped)


def _end(running: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in running:
        process.terminate()
    deadline = time.monotonic() + PATIENCE
    for process in running:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def add_options(parser: argparse.ArgumentParser) -> None:
    """What every benchmark of trainings takes."""
    parser.add_argument("--out", required=True, type=Path, help="repeated with it, the command goes on")
    parser.add_argument("--steps", type=int, required=True, help="of every training")
    parser.add_argument("--method", default="supervised")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of plan and runs")
    parser.add_argument("--cache", help="where prepared scans are kept")
    parser.add_argument("--workers", type=int, default=cpus(), help="trainings at a time")
    parser.add_argument("--stop-after", type=float, metavar="SECONDS", help="and end with what there is")
    parser.add_argument("--json", action="store_true", help="the last line is JSON")


def training_words(a: argparse.Namespace) -> list[str]:
    """The options of trainings, as ``train`` and ``compare`` take them, but for the plan's."""
    words = ["--steps", str(a.steps), "--device", a.device, "--precision", a.precision]
    words += ["--cache", a.cache] if a.cache else []
    for each in a.set:
        words += [] if each.startswith("plan.") else ["--set", each]
    return words


def plan_settings(a: argparse.Namespace) -> list[str]:
    """Those of ``--set`` that are the plan's."""
    return [each for each in a.set if each.startswith("plan.")]
