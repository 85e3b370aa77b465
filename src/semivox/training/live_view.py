"""The live view of a training on a terminal: a few lines that are drawn anew in place.

They are at most :data:`WIDTH` wide and are cut off rather than wrapped, so that a terminal may be narrow or
change its size.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import psutil
import torch
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

from semivox.contents import MEAN_OF_CLASSES
from semivox.duration import show_duration

WIDTH, HEIGHT = 100, 10
BAR = 30
REFRESH_SECONDS = 0.25
"""Least time between two drawings; there is no thread that draws while nothing changes."""


@dataclass(frozen=True)
class TrainingState:
    """What the view shows of a training: ``record`` is the journal's newest, ``watch`` (step, mean Dice)."""

    step: int = 0
    steps: int = 0
    seconds_gone: float = 0.0
    record: Mapping[str, Any] = field(default_factory=dict)
    watch: tuple[int, Mapping[str, float | None]] | None = None
    begun: tuple[float, int] | None = None
    """When this process saw its first step (time.monotonic), and which that was."""

    def after(self, step: int, steps: int, record: Mapping[str, Any], now: float) -> TrainingState:
        """The state after ``step``; ``record`` may be empty. An earlier step is another run's."""
        if self.begun is None or step <= self.begun[1]:
            return TrainingState(step, steps, 0.0, record, None, (now, step))
        gone = now - self.begun[0]
        return replace(self, step=step, steps=steps, seconds_gone=gone, record=record or self.record)

    @property
    def seconds_left(self) -> float | None:
        """At the mean pace so far; None before there is one."""
        done = self.step - self.begun[1] if self.begun else 0
        if done == 0 and self.step < self.steps:
            return None
        return self.seconds_gone / max(1, done) * (self.steps - self.step)

    @property
    def shown_left(self) -> str:
        """Empty before the first steps have shown the pace, and at the end."""
        left = self.seconds_left
        return "" if left is None or self.step >= self.steps else show_duration(left)


class LiveView:
    """What is being worked on and the state of the training; lines said meanwhile scroll away above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._work: dict[str, tuple[int, int]] = {}
        self._training = TrainingState()
        self._live = Live(self, console=console, auto_refresh=False, vertical_overflow="crop")
        self._drawn: list[Text] = []
        self._drawn_at = 0.0

    def start(self) -> None:
        self._live.start()

    def stop(self) -> None:
        """The last state stays on the terminal."""
        self._draw(0.0)
        self._live.stop()

    def work(self, what: str, done: int, total: int) -> None:
        """So much of ``what`` is done; it is shown until all is."""
        self._work.pop(what, None)
        if done < total:
            self._work[what] = (done, total)
            self._draw()
        else:
            self._console.print(f"{what}: {done} of {total}", highlight=False, markup=False)

    def show(self, training: TrainingState) -> None:
        """Show this state from here on."""
        self._training = training
        self._draw(0.0 if training.step == training.steps else REFRESH_SECONDS)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(1, min(options.max_width, WIDTH))
        lines = [_bar(what, done, total, "", width) for what, (done, total) in self._work.items()]
        if self._training.steps:
            lines += _training_lines(self._training, width)
        self._drawn = lines[:HEIGHT]
        for line in self._drawn:
            if options.ascii_only:
                line.plain = line.plain.replace("━", "=")
            line.truncate(width, overflow="crop" if options.ascii_only else "ellipsis")
            yield line

    def _draw(self, least_seconds: float = REFRESH_SECONDS) -> None:
        now = time.monotonic()
        if now - self._drawn_at < least_seconds:
            return
        self._drawn_at = now
        # where the terminal has become narrower, it has wrapped what was drawn before
        rows = sum(max(0, cell_len(line.plain) - 1) // self._console.width for line in self._drawn)
        if rows:
            clear = ((ControlType.ERASE_IN_LINE, 2), (ControlType.CURSOR_UP, 1))
            self._console.control(Control(*clear * rows))
        self._live.refresh()


def _training_lines(state: TrainingState, width: int) -> Iterator[Text]:
    times = f"{show_duration(state.seconds_gone)} gone"
    yield _bar(
        "train",
        state.step,
        state.steps,
        times if not state.shown_left else f"{times}, {state.shown_left} left",
        width,
    )
    record = state.record
    if record:
        terms = [f"{name} {value:.3f}" for name, value in record["terms"].items()]
        yield from _flowing(record.get("stage", "loss"), terms, width)
        wait = record["data_seconds"] / max(1e-9, record["seconds"])
        rates = ", ".join(f"{lr:.4f}" for lr in dict.fromkeys(record["lr"].values()))
        pace = [f"lr {rates}", f"{record['seconds']:.2f} s a step", f"data {wait:.0%}", _memory()]
        yield from _flowing("pace", pace, width)
    if state.watch is not None:
        step, dice = state.watch
        shown = [f"{name_of(key)} {value:.3f}" for key, value in dice.items() if value is not None]
        yield from _flowing("Dice", [*shown, f"after {step} steps"], width)


def name_of(key: str) -> str:
    """What people read for a key of mean Dice: files call the mean of classes ``foreground``."""
    return MEAN_OF_CLASSES if key == "foreground" else key


def _memory() -> str:
    text = f"memory {psutil.Process().memory_info().rss / 2**30:.1f} GiB"
    if torch.cuda.is_initialized():
        text += f", GPU {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB"
    return text


def _bar(what: str, done: int, total: int, note: str, width: int) -> Text:
    """Name, bar, count and note; the bar gives way first."""
    count = f"{done}/{total}  {done / max(1, total):.0%}  {note}".rstrip()
    text = Text(no_wrap=True).append(what, style="bold").append("  ")
    length = min(BAR, width - len(text) - len(count) - 2)
    if length >= 5:
        full = round(length * done / max(1, total))
        text.append("━" * full, style="green")
        text.append("━" * (length - full) + "  ", style="bright_black")
    return text.append(count)


def _flowing(head: str, parts: list[str], width: int) -> Iterator[Text]:
    """``head`` and as many of ``parts`` to a line as fit."""
    line = Text("  ", no_wrap=True).append(head, style="cyan")
    for k, part in enumerate(parts):
        if k > 0 and cell_len(line.plain) + 2 + cell_len(part) > width:
            yield line
            line = Text("  ", no_wrap=True)
        line.append(f"  {part}")
    yield line
