"""Files of a run, a predictions folder or a comparison that hold anything: read, or refused by name."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from semivox.comparison.cells import write_failure
from semivox.comparison_contents import Comparison, FailedCell
from semivox.contents import Cases, Environment, Evaluation, Predictions, Source, Status
from semivox.errors import SemivoxError
from semivox.files import read_json, write_json
from semivox.prepare import plan_from_json, plan_to_json, write_plan
from semivox.report.run_page import write_run_page
from semivox.report.run_record import read_run
from semivox.runs.environment import environment
from semivox.testing.synthetic import tiny_plan

STRANGE = [None, -1, 1e20, "", "\u00b2", [], {}, True, [[[]]], {"a": 1}, 10**30, "../x", [None], {"a": {}}]


def places(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [p for key, each in inner for p in ((*before, key), *places(each, (*before, key)))]


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    whole = copy.deepcopy(value)
    inner = whole
    for key in path[:-1]:
        inner = inner[key]
    if new is places:
        del inner[path[-1]]
    else:
        inner[path[-1]] = new
    return whole


@pytest.mark.parametrize("name", ["status.json", "cases.json", "environment.json", "plan.json", "model.json",
                                  "evaluations", "predictions"])  # fmt: skip
def test_a_page_is_made_or_the_file_named(
    name: str, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # of voxels, which no file of these has, and nearly half of the time
    monkeypatch.setattr("semivox.report.slices.outlines", lambda stack, _: [[]] * stack.shape[2])
    run = tmp_path / "run"
    shutil.copytree(finished_run, run)
    found = {"evaluations": "evaluation.json", "predictions": "predictions.json"}.get(name, name)
    write_plan(tiny_plan(), run / "plan.json")
    write_json(run / "environment.json", environment(1, torch.device("cpu"), "fp32"))
    path = sorted(run.rglob(found))[0]
    faults: list[SemivoxError] = []
    whole, rng = json.loads(path.read_text()), np.random.default_rng(1)
    all_places = places(whole)
    some = rng.permutation(len(all_places))[:40]
    for number in some:
        new = [*STRANGE, places][rng.integers(len(STRANGE) + 1)]
        path.write_text(json.dumps(changed(whole, all_places[number], new)))
        try:
            write_run_page(read_run(run), tmp_path / "page.html")
        except SemivoxError as error:
            faults.append(error)
    assert faults
    assert all(error.path is not None for error in faults)
    for text in (
        "",
        "[]",
        "{",
        "NaN",
        '{"a": NaN}',
        '{"a": 1e999}',
        100_000 * "[",
        '{"format": "x"}',
        "\u00e9",
    ):
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(SemivoxError):
            read_json(path)


@pytest.mark.parametrize("kind", [Cases, Comparison, Environment, Evaluation, Predictions, Source, Status])
@pytest.mark.parametrize(
    "value", [3, [], None, [[]], {"cases": 3}, {"cases": [3]}, {"cases": [{"case": []}]}]
)
def test_what_is_read_back_is_checked(tmp_path: Path, kind: Any, value: Any) -> None:
    fields = dict.fromkeys(kind.__annotations__, value) if not isinstance(value, dict) else value
    if not set(fields) & set(kind.__annotations__):
        return
    (tmp_path / "x.json").write_text(json.dumps({"format": 1, **fields}))
    with pytest.raises(SemivoxError, match=r"x\.json: .* is not as semivox writes it; found .*expected"):
        read_json(tmp_path / "x.json", kind=kind)


@pytest.mark.parametrize(
    ("metric", "value"),
    [("dice", 1.5), ("dice", -0.1), ("nsd", 2), ("hd95_mm", 1e300), ("volume_error_ml", -1e13)],
)
def test_an_evaluation_holds_what_masks_can_have(tmp_path: Path, metric: str, value: float) -> None:
    rows = {key: {"dice": 0.5, "hd95_mm": None} for key in ("1", "foreground")}
    ends = {key: dict.fromkeys(row) for key, row in rows.items()}
    content = {"format": 1, "classes": {"1": "x"}, "mean": rows, "ci95": ends}
    for number, metrics in enumerate(({"dice": 0.5}, {"dice": 0.5, metric: value})):
        write_json(tmp_path / "x.json", {**content, "cases": {"a": {"1": metrics}}})
        if number == 0:
            read_json(tmp_path / "x.json", kind=Evaluation)
            continue
        with pytest.raises(SemivoxError, match=rf"cases\.a\.1\.{metric} .*which no mask has"):
            read_json(tmp_path / "x.json", kind=Evaluation)


def test_every_field_of_a_failed_cell_is_checked(tmp_path: Path) -> None:
    class Cell:
        folder = tmp_path

    write_failure(Cell(), ValueError("x"))  # type: ignore[arg-type]
    written = read_json(tmp_path / "failed.json", kind=FailedCell)
    for name in ("time", "message", "error"):
        write_json(tmp_path / "failed.json", {**written, name: []})
        with pytest.raises(SemivoxError, match=name):
            read_json(tmp_path / "failed.json", kind=FailedCell)


def test_a_plan_that_holds_anything() -> None:
    whole, refused = plan_to_json(tiny_plan()), 0
    for path in places(whole):
        for new in STRANGE:
            try:
                plan_from_json(changed(whole, path, new))
            except SemivoxError:
                refused += 1
    assert refused > 100
