"""Work beside the page, in processes of their own: the next training, and the order of the scans."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from semivox.contents import Status
from semivox.errors import DataError, SettingsError
from semivox.files import inside, is_bare, read_json, read_yaml, real_path, write_text

PATIENCE = 120.0
"""Seconds in which a training ends its step and saves."""
LISTED = "labeled.txt"
State = Literal["none", "running", "done", "stopped", "failed"]


class Job:
    """One call of the command line; ``ended`` is called with its exit code from another thread."""

    def __init__(self, words: Sequence[str], ended: Callable[[int], None]) -> None:
        self.said: deque[str] = deque(maxlen=20)
        self.code: int | None = None
        command = [sys.executable, "-m", "semivox", *words]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            errors="replace", start_new_session=True,
        )  # fmt: skip
        self._ended = ended
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _watch(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.said.append(line.rstrip())
        self.code = self._process.wait()
        self._ended(self.code)

    @property
    def runs(self) -> bool:
        return self.code is None

    def ask_to_stop(self) -> None:
        """As Ctrl-C does: it saves and ends."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def stop(self) -> None:
        """Ask, and wait until it has ended; at last it is killed, which loses what it has not saved."""
        self.ask_to_stop()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._watcher.join(PATIENCE)


@dataclass(frozen=True)
class Length:
    """How long a training is: ``--budget`` or ``--steps``, and on what."""

    budget: str | None = None
    steps: int | None = None
    device: str | None = None
    threads: int | None = None

    @property
    def words(self) -> list[str]:
        given = {"--budget": self.budget, "--steps": self.steps, "--threads": self.threads}
        if self.device not in (None, "auto"):
            given["--device"] = self.device
        return [word for flag, value in given.items() if value is not None for word in (flag, str(value))]


class Training:
    """``Train again``: a run that begins where ``run`` ended, in a new folder beside it (RUN-2, ...)."""

    def __init__(self, data: Path, length: Length, trained: Callable[[Path], None]) -> None:
        self._data, self._length, self._trained = data, length, trained
        self._job: Job | None = None
        self._out: Path | None = None
        self._lock = threading.Lock()

    def start(self, run: Path, method: str, labeled: Sequence[str], folder: Path) -> Path:
        """Train with the scans ``labeled``; returns the new run's folder. A run that was stopped goes on.

        Raises SettingsError while one is running, DataError without a label.
        """
        with self._lock:
            if self._job is not None and self._job.runs:
                raise SettingsError("a training is running", path=self._out, remedy="wait for it, or stop it")
            if not labeled:
                raise DataError("no scan has a label to learn from", path=self._data)
            out, goes_on = next_folder(run)
            words = ["train", str(self._data), "--out", str(out)]
            if goes_on:
                words += ["--resume"]
            else:
                listed = inside(folder, LISTED)
                write_text(listed, "".join(f"{name}\n" for name in labeled))
                words += ["--init", str(run), "--plan", str(run / "plan.json"), "--labeled", str(listed)]
                words += ["--method", method, *self._length.words]
            self._job = Job(words, lambda code: self._trained(out) if code == 0 else None)
            self._out = out  # not before: what could not begin leaves what is told of the last one
            return out

    def stop(self) -> None:
        """The running one saves and ends; the next start goes on with it."""
        with self._lock:
            if self._job is not None and self._job.runs:
                self._job.stop()

    def ask_to_stop(self) -> None:
        with self._lock:
            if self._job is not None and self._job.runs:
                self._job.ask_to_stop()

    def progress(self, run: Path) -> dict[str, Any]:
        """``state``, ``step`` of ``steps``, ``run`` and, if it failed, ``said``."""
        job, out = self._job, self._out
        if job is None or out is None:
            waiting, goes_on = next_folder(run)
            return {"state": "stopped" if goes_on else "none", "run": waiting.name, **_steps(waiting)}
        state: State = "running"
        if not job.runs:
            state = {0: "done", 4: "stopped"}.get(job.code or 0, "failed")  # type: ignore[assignment]
        said = "\n".join(job.said) if state == "failed" else ""
        return {"state": state, "run": out.name, "said": said, **_steps(out)}


def next_folder(run: Path) -> tuple[Path, bool]:
    """The folder of the run that follows ``run``, and whether it was begun there and not finished."""
    # ".", as one calls it from within a run, has no name; a link keeps its own
    run = run.absolute() if is_bare(run.name) else real_path(run)
    base, _, number = run.name.rpartition("-")
    stem, first = (
        (base, int(number) + 1) if base and number.isdecimal() and len(number) < 5 else (run.name, 2)
    )
    for n in range(first, first + 10_000):
        place = run.parent / f"{stem}-{n}"
        if not place.exists():
            return place, False
        if (place / "config.yaml").is_file() and not (place / "model.json").is_file():
            return place, True
    raise SettingsError("there are too many runs", path=run.parent)


def _steps(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"step": 0, "steps": None, "phase": ""}
    with contextlib.suppress(DataError):
        status = read_json(run / "status.json", kind=Status)
        found |= {"step": status.get("step", 0), "phase": status.get("state", "")}
        settings = read_yaml(run / "config.yaml").get("run")
        steps = settings.get("steps") if isinstance(settings, dict) else None
        found["steps"] = steps if isinstance(steps, int) else None
    return found
