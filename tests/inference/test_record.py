"""A predictions folder's record: whole at the end, but not written anew for each of thousands of rows."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from semivox.inference import record
from semivox.inference.record import Record, Row

HEAD = {"classes": {"1": "organ"}}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(record, "time", clock)
    return clock


@pytest.fixture
def writings(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> list[int]:
    """Rows of each writing; it takes a tenth of a millisecond a row."""
    found: list[int] = []

    def write_json(path: Path, content: dict) -> None:
        found.append(len(content["cases"]))
        clock.now += 0.0001 * len(content["cases"])

    monkeypatch.setattr(record, "write_json", write_json)
    monkeypatch.setattr(record, "write_text", lambda path, text: None)
    return found


def row(i: int) -> Row:
    return Row(f"case{i:05d}", "ok", "ok", "", "m", "teacher", mask=f"case{i:05d}.nii.gz")


def cases_in(folder: Path) -> list[str]:
    table = [line["case"] for line in csv.DictReader((folder / "predictions.csv").open())]
    assert table == [r["case"] for r in json.loads((folder / "predictions.json").read_text())["cases"]]
    return table


def test_a_row_is_on_record_as_its_case_ends_unless_writing_takes_too_long(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = Record(tmp_path, HEAD)
    for i in (1, 0):
        rows.put(row(i))
        assert cases_in(tmp_path) == [f"case{k:05d}" for k in range(i, 2)]
    monkeypatch.setattr(record, "write_text", slowly(record.write_text, clock, 0.05))
    rows.put(row(2))
    clock.now += 0.9  # less than 20 times what that took
    rows.put(row(3))
    assert len(cases_in(tmp_path)) == 3
    clock.now += 0.2
    rows.put(row(4))
    assert len(cases_in(tmp_path)) == 5
    rows.put(row(5))
    rows.write()
    assert len(cases_in(tmp_path)) == 6


def slowly(write: Callable[[Path, str], None], clock: Clock, seconds: float) -> Callable[[Path, str], None]:
    def slow(path: Path, text: str) -> None:
        write(path, text)
        clock.now += seconds

    return slow


def test_writing_takes_a_small_share_of_the_time(clock: Clock, writings: list[int], tmp_path: Path) -> None:
    rows = Record(tmp_path, HEAD)
    began = clock.now
    for i in range(1_000):
        clock.now += 0.03  # a case
        rows.put(row(i))
    assert sum(writings) * 0.0001 < 0.06 * (clock.now - began)
    assert len(writings) > 10
    assert writings[-1] > 800
