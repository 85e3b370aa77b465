from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from semivox.training.display import ConsoleDisplay
from semivox.training.journal import Journal, read_journal


def record(step: int, value: float = 0.5) -> dict[str, Any]:
    return {
        "kind": "step", "step": step, "lr": {"segmenter": 0.02}, "terms": {"segmentation": value},
        "weights": {"segmentation": 1.0}, "seconds": 0.5, "data_seconds": 0.05,
    }  # fmt: skip


def test_a_journal_is_cut_back_to_the_checkpoint_with_its_half_written_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "metrics.jsonl")
    for step in range(5):
        journal.write(record(step))
    with journal.path.open("a") as file:
        file.write('{"kind": "st')
    assert [r["step"] for r in read_journal(journal.path)] == [0, 1, 2, 3, 4]
    journal.cut_back(3)
    assert [r["step"] for r in read_journal(journal.path)] == [0, 1, 2]
    assert journal.path.read_text().endswith("}\n")


def test_what_is_not_finite_becomes_null(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "metrics.jsonl")
    journal.write(record(0, float("nan")))
    journal.write(record(1, float("inf")))
    lines = [json.loads(line) for line in journal.path.read_text().splitlines()]
    assert [line["terms"]["segmentation"] for line in lines] == [None, None]


def test_listeners_hear_what_is_written(tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []
    Journal(tmp_path / "metrics.jsonl", (heard.append,)).write(record(7))
    assert heard[0]["step"] == 7


def test_plain_lines_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    with ConsoleDisplay(Console(file=out, width=200), line_seconds=0.0) as display:
        display.say("a [bracket]")
        display.work("prepare", 1, 2)
        display.work("prepare", 2, 2)
        display.step(1, 10, record(0))
        display.step(2, 10, {})
        display.step(10, 10, record(9))
        display.watched(10, 65.0, {"atrium": 0.5, "wall": None, "foreground": 0.25})
    lines = out.getvalue().splitlines()
    assert lines[0] == "a [bracket]"
    assert lines[1] == "prepare: 2 of 2"
    assert lines[2].startswith("step 1/10  segmentation 0.500  lr 0.0200  data 10%")
    assert lines[4] == "watch: after 10 steps and 1 m 05 s mean Dice atrium 0.500, mean of classes 0.250"
    assert len(lines) == 5
    assert "\x1b" not in out.getvalue()


def test_a_second_run_is_told_its_own_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 1000.0, 1010.0])
    monkeypatch.setattr("semivox.training.display.time.monotonic", lambda: next(clock))
    out = io.StringIO()
    with ConsoleDisplay(Console(file=out, width=200), line_seconds=0.0) as display:
        for _ in range(2):
            display.step(1, 21, record(0))
            display.step(11, 21, record(10))  # 10 steps took 10 s
    lines = out.getvalue().splitlines()
    assert [line.partition("  left ")[2] for line in lines] == ["", "10 s"] * 2, "no pace at the first step"


def test_a_live_bar_on_a_terminal() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    with ConsoleDisplay(console) as display:
        display.work("prepare", 1, 2)
        display.step(5, 10, record(4))
    assert "train" in out.getvalue()
    assert "5/10" in out.getvalue()
    assert "segmentation 0.500" in out.getvalue()
