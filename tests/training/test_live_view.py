"""The live view as a terminal would show it: drawn in place, cut off, alive after a change of size."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from semivox.training import live_view
from semivox.training.display import ConsoleDisplay
from semivox.training.live_view import TrainingState


class Terminal(io.StringIO):
    """Lines of text as a terminal shows them after the few codes that rich writes."""

    encoding = "utf-8"

    def __init__(self) -> None:
        super().__init__(newline="")
        self.lines, self.row, self.column = [""], 0, 0

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        for code, plain in re.findall(r"(\x1b\[[?\d;]*[A-Za-z]|[\r\n])|([^\x1b\r\n]+)", text):
            if plain:
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + plain + line[self.column + len(plain) :]
                self.column += len(plain)
            elif code == "\n":
                self.row, self.column = self.row + 1, 0
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif code == "\r":
                self.column = 0
            elif code.endswith("A"):
                self.row -= int(code[2:-1])
            elif code == "\x1b[2K":
                self.lines[self.row] = ""
            else:
                assert code.endswith(("m", "h", "l"))
        return len(text)

    def narrow(self, width: int) -> None:
        """What a terminal does with long lines when it becomes narrower."""
        self.lines = [line[i : i + width] for line in self.lines for i in range(0, max(1, len(line)), width)]
        self.row, self.column = len(self.lines) - 1, len(self.lines[-1])

    def shown(self) -> list[str]:
        return [line.rstrip() for line in self.lines if line.strip()]


def record(step: int) -> dict[str, Any]:
    terms = {"segmentation": 0.5, "distance": 0.25, "contrast": 1.5, "pairwise": 2.0, "consistency": 0.125}
    return {
        "kind": "step", "step": step, "stage": "train", "terms": terms, "lr": {"segmenter": 0.05},
        "weights": dict.fromkeys(terms, 1.0), "seconds": 0.5, "data_seconds": 0.05,
    }  # fmt: skip


@pytest.fixture
def always_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_view, "REFRESH_SECONDS", 0.0)
    monkeypatch.setattr(live_view.LiveView._draw, "__defaults__", (0.0,))


def console(terminal: Terminal, width: int) -> Console:
    return Console(file=terminal, force_terminal=True, width=width, height=24, soft_wrap=True)


@pytest.mark.usefixtures("always_draw")
def test_the_view_is_drawn_in_place_below_what_is_said() -> None:
    terminal = Terminal()
    with ConsoleDisplay(console(terminal, 100)) as display:
        display.work("prepare", 0, 2)
        display.work("prepare", 1, 2)
        assert terminal.shown()[0].startswith("prepare  ━━━")
        display.work("prepare", 2, 2)
        display.say("a [bracket], 8 cases")
        for step in range(1, 31):
            display.step(step, 40, record(step) if step % 10 == 1 else {})
        display.watched(30, 100.0, {"atrium": 0.875, "wall": None})
        display.step(40, 40, record(39))
        during = terminal.shown()
    assert terminal.shown() == during
    assert during[:3] == [
        "prepare: 2 of 2",
        "a [bracket], 8 cases",
        "watch: after 30 steps and 1 m 40 s mean Dice atrium 0.875",
    ]
    view = during[3:]
    assert view[0].startswith("train  ━━━")
    assert "40/40  100%" in view[0]
    assert view[1] == (
        "  train  segmentation 0.500  distance 0.250  contrast 1.500  pairwise 2.000  consistency 0.125"
    )
    assert view[2].startswith("  pace  lr 0.0500  0.50 s a step  data 10%  memory ")
    assert view[3] == "  Dice  atrium 0.875  after 30 steps"
    assert len(view) == 4


@pytest.mark.usefixtures("always_draw")
@pytest.mark.parametrize("width", [1, 12, 30, 60, 80, 300])
def test_no_line_is_wider_than_the_terminal_and_no_term_is_lost(width: int) -> None:
    terminal = Terminal()
    with ConsoleDisplay(console(terminal, width)) as display:
        for step in range(1, 4):
            display.step(step, 3, record(step))
    lines = terminal.shown()
    assert max(map(len, lines)) <= min(width, 100)
    assert sum("train" in line for line in lines) <= 2  # its bar and its stage: one copy of the view
    if width >= 30:
        assert all(f"{name} {value:.3f}" in " ".join(lines) for name, value in record(0)["terms"].items())


@pytest.mark.usefixtures("always_draw")
@pytest.mark.parametrize(("before", "after"), [(100, 40), (90, 25), (40, 100)])
def test_a_change_of_size_leaves_nothing_behind(before: int, after: int) -> None:
    terminal = Terminal()
    screen = console(terminal, before)
    with ConsoleDisplay(screen) as display:
        display.say("said before")
        display.step(1, 9, record(1))
        display.step(2, 9, record(2))
        if after < before:
            terminal.narrow(after)
        screen.width = after
        display.step(3, 9, record(3))
        display.step(4, 9, record(4))
    lines = terminal.shown()
    assert lines[0] == "said before"
    assert lines[1].startswith("train")
    assert sum("4/9" in line for line in lines) == 1
    assert not any("3/9" in line or "2/9" in line for line in lines)
    assert max(map(len, lines)) <= after


def test_it_is_not_drawn_more_often_than_needed() -> None:
    terminal = Terminal()
    written: list[str] = []
    terminal.write = lambda text: written.append(text) or len(text)  # type: ignore[assignment,func-returns-value]
    with ConsoleDisplay(console(terminal, 80)) as display:
        for step in range(1, 501):
            display.step(step, 1000, {})
    drawings = "".join(written).count("/1000")
    assert drawings < 50


def test_time_left_is_at_the_pace_so_far_of_this_run() -> None:
    state = TrainingState().after(101, 201, {}, 50.0)  # resumed: the pace is that of this process
    state = state.after(111, 201, record(110), 60.0)
    assert state.seconds_left == pytest.approx(90.0)
    assert (state.shown_left, state.after(201, 201, {}, 150.0).shown_left) == ("1 m 30 s", "")
    assert state.after(121, 201, {}, 70.0).record["step"] == 110
    again = state.after(1, 11, {}, 1000.0)
    assert (again.step, again.steps, again.seconds_gone, again.watch) == (1, 11, 0.0, None)
    assert again.seconds_left is None  # one step has no pace
