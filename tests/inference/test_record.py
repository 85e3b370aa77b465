"""A predictions folder's record: whole at the end, but not written anew for each of thousands of rows."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from semivox.files import append_text, write_json
from semivox.inference import record
from semivox.inference.record import Record, Row, read_rows

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


def row(i: int) -> Row:
    return Row(f"case{i:05d}", "ok", "ok", "", "m", "teacher", runs=[], mask=f"case{i:05d}.nii.gz")


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
    monkeypatch.setattr(record, "write_csv", slowly(record.write_csv, clock, 0.05))
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


def slowly(write: Callable[..., None], clock: Clock, seconds: float) -> Callable[..., None]:
    def slow(*what: Any) -> None:
        write(*what)
        clock.now += seconds

    return slow


def test_writing_takes_a_small_share_of_the_time(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenth of a millisecond a row."""
    writings: list[int] = []

    def write_json(self: Record, cases: Collection[str]) -> None:
        writings.append(len(cases))
        clock.now += 0.0001 * len(cases)

    monkeypatch.setattr(Record, "_write_json", write_json)
    rows = Record(tmp_path, HEAD)
    began = clock.now
    for i in range(1_000):
        clock.now += 0.03  # a case
        rows.put(row(i))
    assert sum(writings) * 0.0001 < 0.06 * (clock.now - began)
    assert len(writings) > 10
    assert writings[-1] > 800


def test_a_killed_process_loses_no_row_and_no_row_outlives_its_mask(tmp_path: Path, clock: Clock) -> None:
    """Against a dict, over random deeds: the record is always that of the last one. The JSON file alone may
    lack rows, and has none of an earlier process that is forgotten."""
    draw, model, put = random.Random(0), dict[int, Row](), set[str]()
    rows = Record(tmp_path, HEAD)
    rows.write()
    for deed in draw.choices(["put", "forget", "kill", "tear", "end", "wait"], [8, 4, 1, 1, 1, 4], k=200):
        i = draw.randrange(8)
        if deed == "put":
            model[i] = replace(row(i), reason=f"zu groß\u2028{draw.random()}", volume_ml={"1": draw.random()})
            (tmp_path / f"case{i:05d}.nii.gz").touch()
            rows.put(model[i])
            put.add(row(i).case)
        elif deed == "forget" and i in model:
            rows.forget(f"case{i:05d}")
            del model[i]
        elif deed == "wait":
            clock.now += 10 * draw.random()
        elif deed in ("kill", "end"):
            if deed == "end":
                rows.close()
                assert not (tmp_path / "predictions.jsonl").exists()
                written = [asdict(model[i]) for i in sorted(model)]
                write_json(tmp_path / "whole", {"format": 1, **HEAD, "cases": written})
                assert (tmp_path / "predictions.json").read_bytes() == (tmp_path / "whole").read_bytes()
                assert len(cases_in(tmp_path)) == len(model)
            rows = Record(tmp_path, HEAD)
            rows.write()
            put.clear()
        elif deed == "tear":
            append_text(tmp_path / "predictions.jsonl", '{"row": {"case": "gr\u00f6')
        wanted = {f"case{i:05d}": each for i, each in model.items()}
        assert {each.case: each for each in read_rows(tmp_path / "predictions.json")} == wanted
        assert all(rows.get(case) == each for case, each in wanted.items())
        shown = json.loads((tmp_path / "predictions.json").read_text())["cases"]
        assert {each["case"] for each in shown} <= {*wanted, *put}
        clock.now += 0.001
