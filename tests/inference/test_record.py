"""A predictions folder's record: whole at the end, but not written anew for each of thousands of rows."""

from __future__ import annotations

import csv
import json
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


def test_rows_within_a_second_of_a_writing_wait_for_the_next(tmp_path: Path, clock: Clock) -> None:
    rows = Record(tmp_path, HEAD)
    rows.put(row(1))
    assert cases_in(tmp_path) == ["case00001"]
    clock.now += 0.9
    rows.put(row(0))
    assert cases_in(tmp_path) == ["case00001"]
    clock.now += 0.2
    rows.put(row(2))
    assert cases_in(tmp_path) == ["case00000", "case00001", "case00002"]
    rows.put(row(3))
    rows.write()
    assert len(cases_in(tmp_path)) == 4


def test_writing_takes_a_small_share_of_the_time(clock: Clock, writings: list[int], tmp_path: Path) -> None:
    rows = Record(tmp_path, HEAD)
    began = clock.now
    for i in range(20_000):
        clock.now += 0.03  # a case
        rows.put(row(i))
    assert sum(writings) * 0.0001 < 0.06 * (clock.now - began)
    assert len(writings) > 10
    assert writings[-1] > 15_000
