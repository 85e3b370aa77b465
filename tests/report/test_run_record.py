"""A run folder is read whatever there is of it, and what is none is refused."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from semivox.errors import DataError
from semivox.report.run_record import RunCase, read_held_out, read_run


def test_a_finished_run_is_read_whole(finished_run: Path) -> None:
    record = read_run(finished_run)
    assert (record.method, record.state, record.step, record.seconds) == ("mean_teacher", "done", 40, 20.0)
    assert [case.case for case in record.of_role("labeled")] == ["train_0", "train_1"]
    assert len(record.steps) == 40
    assert [r["dice"] for r in record.watched] == [{"a": 0.5}, {"a": 1.0}]
    (held,) = record.evaluations
    assert held.name == "test"
    assert held.content is not None
    assert len(held.rows) == 8
    assert held.data is not None
    assert held.trained_on == held.seen == ()


@pytest.mark.parametrize("only", ["config.yaml", "status.json", "model.json"])
def test_any_one_file_makes_a_run(only: str, finished_run: Path, tmp_path: Path) -> None:
    shutil.copy(finished_run / only, tmp_path / only)
    record = read_run(tmp_path)
    assert record.evaluations == record.cases == record.journal == ()
    assert record.state == ("interrupted" if only == "config.yaml" else "done")
    assert record.method == ("unknown method" if only == "status.json" else "mean_teacher")


def test_a_run_that_died_without_a_word_is_interrupted(make_run: Callable[..., Path], tmp_path: Path) -> None:
    def state(name: str, **status: object) -> str:
        return read_run(make_run(tmp_path / name, None, **status)).state

    assert state("alive", state="training", heartbeat=time.time()) == "training"
    assert state("dead", state="training", heartbeat=time.time() - 3600) == "interrupted"
    assert state("stopped", state="stopped", heartbeat=time.time() - 3600) == "stopped"
    assert state("old", state="done", heartbeat=0) == "done"


def test_a_journal_that_breaks_off_gives_what_was_written(finished_run: Path, tmp_path: Path) -> None:
    shutil.copytree(finished_run, tmp_path / "run")
    (tmp_path / "run" / "model.json").unlink()
    status = {"format": 1, "state": "stopped", "step": 12}
    (tmp_path / "run" / "status.json").write_text(json.dumps(status))
    lines = (finished_run / "metrics.jsonl").read_text().splitlines()[:12]
    (tmp_path / "run" / "metrics.jsonl").write_text("\n".join([*lines, '{"kind": "st']))
    record = read_run(tmp_path / "run")
    assert (record.state, record.step, record.planned_steps) == ("stopped", 12, 40)
    assert record.seconds == 5.5  # of the last whole line
    assert record.card is None


def test_cases_that_were_trained_on_are_known_by_their_scans(finished_run: Path) -> None:
    folder = finished_run / "evaluations" / "test"
    cases = (
        RunCase("x", "x", "labeled", "t2"),
        RunCase("y", "y", "unlabeled", "t5"),
        RunCase("z", "z", "labeled", ""),
    )
    held = read_held_out(folder, cases)
    assert held is not None
    names = list(held.rows)
    assert held.trained_on == (names[2],)
    assert held.seen == (names[5],)


def test_what_is_no_run_or_broken_is_told(tmp_path: Path, finished_run: Path) -> None:
    with pytest.raises(DataError, match=r"is no run folder; found no such folder"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"is no run folder; found none of these files"):
        read_run(tmp_path)
    for name, text in (
        ("config.yaml", "a: [1"),
        ("config.yaml", "- 1"),
        ("status.json", "{"),
        ("plan.json", '{"format": 9}'),
    ):
        run = tmp_path / "run"
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(finished_run, run)
        (run / name).write_text(text)
        with pytest.raises(DataError, match=name):
            read_run(run)
    assert read_held_out(tmp_path) is None
