"""A worker that knows the tasks of the tests as well: ``python of_tests.py``."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from semivox.errors import SettingsError

KIND = "of_tests"
REFUSAL = SettingsError(
    "is none", path="a/b.yaml", found="word " * 300, expected="another", remedy="write it anew"
)
"""What a task says that is refused; all of it arrives."""


def do_as_told(tell: Callable[[str], None], folder: str, number: int, what: str) -> Any:
    """``what``: add, fail, refuse, die, die once, stop once, slow, wait for a file, tell the environment."""
    place = Path(folder)
    with (place / f"tried-{number}").open("a") as file:
        file.write("x")
    first = (place / f"tried-{number}").stat().st_size == 1
    if what == "die" or (what == "die once" and first):
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "stop once" and first:
        os.kill(os.getpid(), signal.SIGUSR1)
    if what == "fail":
        raise ValueError(f"task {number} is wrong")
    if what == "refuse":
        raise REFUSAL
    if what == "slow":
        (place / f"begun-{number}").touch()
        time.sleep(60)
    if what == "wait":
        (place / f"begun-{number}").write_text(str(os.getpid()))
        while not (place / "go").exists():
            time.sleep(0.05)
    if what == "environment":
        from semivox.machine import cpus

        return [cpus(), os.environ["OMP_NUM_THREADS"], os.getpid(), os.getcwd()]
    tell(f"at {number}")
    print("this is no answer")
    return number + 1


def arrived(error: Exception) -> bool:
    """Whether it is the refusal, in full."""
    return type(error) is SettingsError and str(error) == str(REFUSAL) and error.remedy == REFUSAL.remedy


if __name__ == "__main__":
    from semivox.engines import task, worker

    task.KINDS = {**task.KINDS, KIND: "of_tests:do_as_told"}
    sys.exit(worker.main())
