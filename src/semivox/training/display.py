"""What a person sees while training: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as TimeLeft

from semivox.duration import show_duration


class Display(Protocol):
    """What commands tell the outside. The default, :class:`Silent`, is what Python callers get."""

    def say(self, text: str) -> None: ...
    def work(self, what: str, done: int, total: int) -> None: ...
    def step(self, step: int, steps: int, record: dict[str, Any]) -> None: ...


class Silent:
    """Says nothing."""

    def say(self, text: str) -> None: ...
    def work(self, what: str, done: int, total: int) -> None: ...
    def step(self, step: int, steps: int, record: dict[str, Any]) -> None: ...


class ConsoleDisplay:
    """``with ConsoleDisplay() as display``: rich progress on a terminal, plain lines when piped."""

    def __init__(self, console: Console | None = None, line_seconds: float = 15.0) -> None:
        self.console = console or Console(file=sys.stderr, soft_wrap=True)
        self.live = self.console.is_terminal
        self.line_seconds = line_seconds
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._last_line = 0.0
        self._first: tuple[float, int] | None = None

    def __enter__(self) -> ConsoleDisplay:
        if self.live:
            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeLeft(),
                TextColumn("{task.fields[note]}"),
                console=self.console,
            )
            self._progress.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._progress is not None:
            self._progress.stop()

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False)

    def work(self, what: str, done: int, total: int) -> None:
        if self._progress is not None:
            self._bar(what, done, total, "")
        elif done == total:
            self.say(f"{what}: {done} of {total}")

    def step(self, step: int, steps: int, record: dict[str, Any]) -> None:
        now = time.monotonic()
        if self._first is None or step <= self._first[1]:  # a run begins
            self._first = (now, step)
        if self._progress is not None:
            note = _summary(record) if record else None
            self._bar("train", step, steps, note)
        elif record and (now - self._last_line >= self.line_seconds or step == steps):
            self._last_line = now
            begun, first = self._first
            left = (now - begun) / max(1, step - first) * (steps - step)
            self.say(f"step {step}/{steps}  {_summary(record)}  left {show_duration(left)}")

    def _bar(self, what: str, done: int, total: int, note: str | None) -> None:
        assert self._progress is not None
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total, note="")
        self._progress.update(self._tasks[what], completed=done, total=total)
        if note is not None:
            self._progress.update(self._tasks[what], note=note)


def _summary(record: dict[str, Any]) -> str:
    terms = "  ".join(f"{name} {value:.3f}" for name, value in record["terms"].items())
    lr = max(record["lr"].values())
    wait = record["data_seconds"] / max(1e-9, record["seconds"])
    return f"{terms}  lr {lr:.4f}  data {wait:.0%}"
