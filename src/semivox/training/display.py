"""What a person sees while training: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Protocol

from rich.console import Console

from semivox.duration import show_duration
from semivox.errors import shortened
from semivox.training.live_view import LiveView, TrainingState, name_of


class Display(Protocol):
    """What commands tell the outside. The default, :class:`Silent`, is what Python callers get.

    ``say`` a line for everybody, ``detail`` one for who wants to know how and why; ``work`` is done so far;
    ``step`` of a training, ``record`` where one was logged (else empty); ``watched``: mean Dice of held-out
    cases after ``step`` steps and ``seconds``.
    """

    def say(self, text: str) -> None: ...
    def detail(self, text: str) -> None: ...
    def work(self, what: str, done: int, total: int) -> None: ...
    def step(self, step: int, steps: int, record: dict[str, Any]) -> None: ...
    def watched(self, step: int, seconds: float, dice: Mapping[str, float | None]) -> None: ...


class Silent:
    """Says nothing; whoever overrides ``say`` is told details and the results of watching too."""

    def say(self, text: str) -> None: ...

    def detail(self, text: str) -> None:
        self.say(text)

    def work(self, what: str, done: int, total: int) -> None: ...
    def step(self, step: int, steps: int, record: dict[str, Any]) -> None: ...

    def watched(self, step: int, seconds: float, dice: Mapping[str, float | None]) -> None:
        self.say(watch_line(step, seconds, dice))


class ConsoleDisplay:
    """``with ConsoleDisplay() as display``: a live view on a terminal, plain lines when piped. Details are
    told if it is ``verbose``."""

    def __init__(
        self, console: Console | None = None, line_seconds: float = 15.0, verbose: bool = False
    ) -> None:
        self.verbose = verbose
        self.console = console or Console(file=sys.stderr, soft_wrap=True)
        self.line_seconds = line_seconds
        live = self.console.is_terminal and not self.console.is_dumb_terminal
        self._view = LiveView(self.console) if live else None
        self._training = TrainingState()
        self._last_line = 0.0

    def __enter__(self) -> ConsoleDisplay:
        if self._view is not None:
            self._view.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._view is not None:
            self._view.stop()

    def say(self, text: str) -> None:
        self.console.print(shortened(text), highlight=False, markup=False, soft_wrap=True)

    def detail(self, text: str) -> None:
        if self.verbose:
            self.say(text)

    def work(self, what: str, done: int, total: int) -> None:
        if self._view is not None:
            self._view.work(what, done, total)
        elif done == total:
            self.say(f"{what}: {done} of {total}")

    def step(self, step: int, steps: int, record: dict[str, Any]) -> None:
        now = time.monotonic()
        self._training = self._training.after(step, steps, record, now)
        if self._view is not None:
            self._view.show(self._training)
        elif record and (now - self._last_line >= self.line_seconds or step == steps):
            self._last_line = now
            left = self._training.shown_left
            self.say(f"step {step}/{steps}  {_summary(record)}" + (f"  left {left}" if left else ""))

    def watched(self, step: int, seconds: float, dice: Mapping[str, float | None]) -> None:
        self._training = replace(self._training, watch=(step, dice))
        if self._view is not None:
            self._view.show(self._training)
        self.say(watch_line(step, seconds, dice))


def watch_line(step: int, seconds: float, dice: Mapping[str, float | None]) -> str:
    """The result of watching in one line."""
    shown = ", ".join(f"{name_of(key)} {value:.3f}" for key, value in dice.items() if value is not None)
    return f"watch: after {step} steps and {show_duration(seconds)} mean Dice {shown}"


def _summary(record: dict[str, Any]) -> str:
    terms = "  ".join(f"{name} {value:.3f}" for name, value in record["terms"].items())
    lr = max(record["lr"].values())
    wait = record["data_seconds"] / max(1e-9, record["seconds"])
    return f"{terms}  lr {lr:.4f}  data {wait:.0%}"
