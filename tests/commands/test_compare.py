"""Comparisons: cells that are shared, resumed, isolated and kept; a stand-in for training where it does."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file

import semivox
from semivox.cohort import read_label, read_volume, write_volume
from semivox.commands import compare as module
from semivox.commands.compare import Comparison, list_cells, render, render_cells
from semivox.commands.train import train
from semivox.comparison import work
from semivox.comparison.cell_run import Brief, CellRunner
from semivox.comparison.cells import Cell, claim, read_failure, read_finished, state_of, write_finished
from semivox.errors import DataError, SettingsError, Stopped
from semivox.evaluation import METRICS, paired_difference, summarise
from semivox.files import write_json
from semivox.testing.displays import StopAfter, Told
from semivox.training.journal import read_journal

draw = module._draw  # of the real command
FACTS = {
    "steps": 3, "seconds": 1.5, "dice": 0.5, "model_id": "m", "plan": "p", "precision": "fp32", "threads": 1,
    "device": "cpu", "processor": "x", "commit": "c", "torch": "2",
}  # fmt: skip
Folders = tuple[Path, Path]


def stand_in(
    dice: Callable[[Cell, str], float] = lambda cell, case: 0.5, log: list[str] | None = None
) -> Callable[[CellRunner, Cell], None]:
    """Runs a cell without training: ``dice(cell, case)`` is what its model gets."""

    def run(self: CellRunner, cell: Cell) -> None:
        if log is not None:
            log.append(cell.place)
        held_out = self.request.group(cell).held_out
        rows = {c.name: {"1": {**dict.fromkeys(METRICS), "dice": dice(cell, c.name)}} for c in held_out}
        mean, ci95 = summarise(rows, {c.name: c.name for c in held_out}, ["1"])
        content = {
            "format": 1,
            "classes": {"1": "atrium"},
            "mean": mean,
            "ci95": ci95,
            "policy": {"name": "default", "tolerance_mm": 2.0},
            "patients": {c.name: c.patient for c in held_out},
            "cases": rows,
        }
        write_json(cell.evaluation, content)
        write_finished(cell, FACTS)

    return run


@pytest.fixture
def compare(
    phantoms: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: dict[str, Any]
) -> Callable[..., Comparison]:
    """``compare`` on the phantoms into tmp_path/out; ``run`` stands in for the training of a cell."""
    monkeypatch.setattr(work, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(module, "_draw", lambda out, display: None)  # seconds each; its own test is below

    def call(run: Callable[[CellRunner, Cell], None] | None = None, **options: Any) -> Comparison:
        with monkeypatch.context() as patched:
            patched.setattr(CellRunner, "run", run or stand_in())
            data = options.pop("data", phantoms[0])
            if "folds" not in options:
                options.setdefault("test", phantoms[1])
            out = options.pop("out", tmp_path / "out")
            return semivox.compare(data, out, **{"methods": "supervised,cps", "steps": 3, **options})

    return call


def states(phantoms: Folders, out: Path, **options: Any) -> list[str]:
    given = {"methods": "supervised,cps", "steps": 3, "test": phantoms[1], **options}
    return [state.kind for _, state in list_cells(phantoms[0], out, **given)]


# ---- the grid


def test_cells_are_methods_x_labelled_x_folds_x_seeds(
    compare: Callable[..., Comparison], tmp_path: Path
) -> None:
    log: list[str] = []
    compare(stand_in(log=log), methods="cps,supervised{ema_decay=0.9}", labeled="1,all", seeds="0,7")
    assert log == [
        f"cells/{method}/{labeled}/test/{seed}"
        for method in ("supervised", "cps", "supervised+ema_decay=0.9")  # the reference was added
        for labeled in ("1", "all")
        for seed in ("0", "7")
    ]
    assert all((tmp_path / "out" / place / "cell.json").is_file() for place in log)


def test_what_is_written(compare: Callable[..., Comparison], tmp_path: Path) -> None:
    def dice(cell: Cell, case: str) -> float:
        return 0.5 + (cell.variant.name == "cps") * 0.1 + cell.seed * 0.01 + int(case[-1]) * 0.001

    result = compare(stand_in(dice), labeled="1,2", seeds="0,1")
    assert json.loads((tmp_path / "out/comparison.json").read_text()) == result.content
    content = result.content
    assert (content["format"], content["reference"], content["folds"]) == (1, "supervised", ["test"])
    assert [c["state"] for c in content["cells"]] == ["finished"] * 8
    assert (
        content["cells"][0].items()
        >= {"variant": "supervised", "labeled": "1", "seed": 0, "steps": 3}.items()
    )
    rows = content["results"]
    assert [(r["labeled"], r["variant"], r["verdict"]) for r in rows] == [
        ("1", "supervised", "reference"), ("1", "cps", "gains"),
        ("2", "supervised", "reference"), ("2", "cps", "gains"),
    ]  # fmt: skip
    assert rows[1]["difference"]["mean"]["1"]["dice"] == pytest.approx(0.1)
    with (tmp_path / "out/cases.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == 8 * 2
    assert {row["case"] for row in table} == {"phantom_006", "phantom_007"}
    of = [r for r in table if (r["variant"], r["labeled"], r["seed"]) == ("cps", "2", "1")]
    assert [float(r["dice"]) for r in of] == pytest.approx([0.616, 0.617])
    assert [r["hd95_mm"] for r in of] == ["", ""]
    page = (tmp_path / "out/table.md").read_text()
    assert "* cps (1 labelled) gains on supervised: +0.100 [+0.100, +0.100]" in page
    console = Console(width=200, file=io.StringIO())
    console.print(render(result))
    assert "8 of 8 cells finished" in console.file.getvalue()


def test_the_list_numbers_the_cells_and_writes_nothing(
    phantoms: Folders, compare: Callable[..., Comparison], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert states(phantoms, out, seeds="0,1") == ["free"] * 4
    assert not out.exists()

    def fail(self: CellRunner, cell: Cell) -> None:
        raise DataError("no scan today") if cell.seed else KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare(fail, cell=1)
    compare(fail, seeds="1", methods="cps")
    compare(seeds="0", methods="supervised")
    options: dict[str, Any] = {"methods": "supervised,cps", "seeds": "0,1", "steps": 3, "test": phantoms[1]}
    with claim(out / "cells/cps/all/test/0") as mine:
        assert mine
        listed = list_cells(phantoms[0], out, **options)
    assert [(c.number, s.kind) for c, s in listed] == [
        (1, "finished"), (2, "failed"), (3, "running"), (4, "failed"),
    ]  # fmt: skip
    assert listed[2][1].detail.startswith(f"process {os.getpid()} on ")
    assert "no scan today" in listed[3][1].detail
    console = Console(width=160, file=io.StringIO())
    console.print(render_cells(listed))
    assert "no scan today" in console.file.getvalue()
    write_json(out / "cells/cps/all/test/2/status.json", {"state": "stopped", "step": 7})
    last = list_cells(phantoms[0], out, **{**options, "seeds": "2"})[-1]
    assert (last[1].kind, last[1].detail) == ("free", "stopped at step 7")


def test_one_cell_of_a_job_array(compare: Callable[..., Comparison]) -> None:
    log: list[str] = []
    run = stand_in(log=log)
    result = compare(run, seeds="0,1", cell=3)
    assert log == ["cells/cps/all/test/0"]
    assert [c["state"] for c in result.content["cells"]] == ["free", "free", "finished", "free"]
    assert not compare(run, seeds="0,1", cell=3).failed  # finished already: no error, no work
    assert len(log) == 1
    for wrong in (0, 5):
        with pytest.raises(SettingsError, match=f"--cell {wrong}; expected 1 to 4"):
            compare(run, seeds="0,1", cell=wrong)


def test_a_cell_that_another_process_works_on_is_refused(
    compare: Callable[..., Comparison], tmp_path: Path
) -> None:
    with claim(tmp_path / "out/cells/cps/all/test/0"), pytest.raises(SettingsError, match="another process"):
        compare(cell=2)


# ---- kept, tried again, refused


def test_finished_cells_are_kept_and_lists_may_grow(
    compare: Callable[..., Comparison], tmp_path: Path
) -> None:
    log: list[str] = []
    run = stand_in(log=log)
    compare(run)
    compare(run, labeled="all,1", seeds="0,1", methods="supervised")
    assert len(log) == 5
    assert len(set(log)) == 5
    result = compare(run, methods="bcp")
    # what earlier calls made is still in the table, and no cell that nobody asked for is missed
    listed = [(r["labeled"], r["variant"], r["seeds"]) for r in result.content["results"]]
    assert listed == [
        ("all", "supervised", [0, 1]), ("all", "cps", [0]), ("all", "bcp", [0]), ("1", "supervised", [0, 1]),
    ]  # fmt: skip
    assert len(result.content["cells"]) == 6
    # a cell that lost its evaluation is done again
    (tmp_path / "out/cells/bcp/all/test/0/evaluations/test/evaluation.json").unlink()
    compare(run, methods="bcp")
    assert log[5:] == ["cells/bcp/all/test/0"] * 2


def test_a_failed_cell_stops_nothing_and_is_tried_again(
    compare: Callable[..., Comparison], tmp_path: Path
) -> None:
    listener, calls = Told(), []

    def broken(self: CellRunner, cell: Cell) -> None:
        calls.append(cell.place)
        if cell.variant.name == "supervised" and cell.seed == 0:
            raise DataError("the scan is torn", remedy="mend it")
        if cell.variant.name == "cps" and cell.seed == 1:
            raise ZeroDivisionError("by zero")
        stand_in()(self, cell)

    result = compare(broken, seeds="0,1", display=listener)
    assert len(calls) == 4
    assert [cell.place for cell in result.failed] == ["cells/supervised/all/test/0", "cells/cps/all/test/1"]
    first, second = (read_failure(cell) for cell in result.failed)
    assert first is not None
    assert second is not None
    assert (first["error"], first["message"], first["traceback"]) == (
        "DataError", "the scan is torn. Remedy: mend it", None,
    )  # fmt: skip
    assert second["message"] == "ZeroDivisionError: by zero"
    assert "Traceback" in second["traceback"]
    assert (
        "failed: supervised, all labelled, test, seed 0: the scan is torn. Remedy: mend it" in listener.said
    )
    page = (tmp_path / "out/table.md").read_text()
    assert "failed: cells/supervised/all/test/0: the scan is torn" in page
    assert "cps (all labelled) cannot be compared" in page  # no seed in common
    done = [c["state"] for c in result.content["cells"]]
    assert done == ["failed", "finished", "finished", "failed"]

    again: list[str] = []
    result = compare(stand_in(log=again), seeds="0,1")
    assert again == ["cells/supervised/all/test/0", "cells/cps/all/test/1"]
    assert result.failed == ()
    assert not list((tmp_path / "out").rglob("failed.json"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"steps": 4}, "steps: 3 -> 4"),
        ({"steps": None, "budget": "30m"}, "steps: 3 -> none; budget: none -> 1800.0"),
        ({"settings": {"optimizer.lr": 0.5}}, r"settings: \{\} -> \{'optimizer.lr': 0.5\}"),
        ({"recipe": "paper"}, "recipe: none -> paper"),
        ({"precision": "bf16"}, "precision: none -> bf16"),
        ({"folds": 2}, "test: .* -> none; .*folds: none -> 2"),
    ],
)
def test_a_changed_request_is_refused_by_name(
    change: dict[str, Any], said: str, compare: Callable[..., Comparison], tmp_path: Path
) -> None:
    compare()
    before = {p: p.read_bytes() for p in (tmp_path / "out").rglob("*.json")}
    with pytest.raises(SettingsError, match=f"asked for differently; found {said}"):
        compare(methods="supervised,cps,bcp", **change)
    assert {p: p.read_bytes() for p in (tmp_path / "out").rglob("*.json")} == before


def test_a_finished_cell_that_lacks_or_claims_something_is_shown_as_what_it_is(
    compare: Callable[..., Comparison], phantoms: Folders, tmp_path: Path
) -> None:
    compare()
    given = {"methods": "supervised,cps", "steps": 3, "test": phantoms[1]}
    _, (cell, _) = list_cells(phantoms[0], tmp_path / "out", **given)
    path = tmp_path / "out/cells/cps/all/test/0/cell.json"
    whole = json.loads(path.read_text())
    path.write_text(json.dumps({"request": whole["request"], "folder": "../..", "variant": "x"}))
    row = compare().content["cells"][1]
    assert (row["state"], row["folder"], row["variant"]) == ("finished", "cells/cps/all/test/0", "cps")
    for key in FACTS:
        path.write_text(json.dumps({**whole, key: [1]}))
        with pytest.raises(DataError, match=r"cell\.json"):
            read_finished(cell)


def test_changed_cases_and_other_data_are_refused(
    phantoms: Folders, compare: Callable[..., Comparison], tmp_path: Path
) -> None:
    data, other = tmp_path / "data", tmp_path / "other"
    for folder in (data, other):
        shutil.copytree(phantoms[0], folder, ignore=shutil.ignore_patterns(".semivox"))
    compare(data=data)
    with pytest.raises(SettingsError, match=r"found data: \S+data -> \S+other\. Remedy"):
        compare(data=other)
    (data / "cases.csv").write_text("case,use\nphantom_005,no\n")
    with pytest.raises(SettingsError, match="found cases of data: 5 cases, .* -> 4 cases, "):
        compare(data=data)


def copies(phantoms: Folders, to: Path) -> dict[str, Path]:
    """Of both folders, by the names of ``compare``'s options."""
    ignore = shutil.ignore_patterns(".semivox")
    named = zip(("data", "test"), phantoms, strict=True)
    return {name: Path(shutil.copytree(source, to / name, ignore=ignore)) for name, source in named}


@pytest.mark.parametrize("which", ["data", "test"])
@pytest.mark.parametrize("what", ["labelsTr", "imagesTr"])
def test_files_of_the_same_size_are_not_the_same(
    phantoms: Folders, compare: Callable[..., Comparison], tmp_path: Path, which: str, what: str
) -> None:
    folders = copies(phantoms, tmp_path)
    compare(**folders)
    file = sorted((folders[which] / what).iterdir())[0]
    volume = read_volume(file) if what == "imagesTr" else read_label(file)
    array = volume.array.copy()
    array[0, 0, 0, :2] = array[0, 0, 0, 1::-1] + 1
    write_volume(file, array, like=volume)
    with pytest.raises(SettingsError, match=f"content of {which}: [0-9a-f]+ -> [0-9a-f]+"):
        compare(**folders)
    kept = json.loads((tmp_path / "out/request.json").read_text())
    for name in [name for name in kept["fixed"] if name.startswith(("content", "cases"))]:
        del kept["fixed"][name]  # as an earlier version wrote it
    write_json(tmp_path / "out/request.json", kept)
    for path in (tmp_path / "out/cells").rglob("cell.json"):
        content = json.loads(path.read_text())
        content["request"] = {k: v for k, v in content["request"].items() if not k.startswith(("co", "ca"))}
        write_json(path, content)
    assert not compare(**folders).failed


@pytest.mark.parametrize("labels", [{"other": 1}, {"atrium": 1, "rest": 2}, {"atrium": 1, "ignore": 2}])
def test_a_class_that_means_something_else_now_is_refused(
    phantoms: Folders, compare: Callable[..., Comparison], tmp_path: Path, labels: dict[str, Any]
) -> None:
    folders = copies(phantoms, tmp_path)
    compare(**folders)
    for folder in folders.values():
        described = json.loads((folder / "dataset.json").read_text())
        described["labels"] = {"background": 0, **labels}
        (folder / "dataset.json").write_text(json.dumps(described))
    with pytest.raises(SettingsError, match="classes of data: .* -> .*; classes of test: "):
        compare(**folders)


def test_a_cell_made_for_another_request_is_refused(
    compare: Callable[..., Comparison], tmp_path: Path
) -> None:
    compare()
    path = tmp_path / "out/cells/cps/all/test/0/cell.json"
    content = json.loads(path.read_text())
    content["request"]["steps"] = 99
    path.write_text(json.dumps(content))
    with pytest.raises(SettingsError, match="another request; found steps: 99 -> 3"):
        compare()


def test_what_is_wrong_is_said_before_anything_is_trained(
    phantoms: Folders, compare: Callable[..., Comparison], tmp_path: Path
) -> None:
    def refused(said: str, **options: Any) -> None:
        given = {"data": phantoms[0], "out": tmp_path / "out", "methods": "supervised,cps", "steps": 3}
        given |= {} if "folds" in options else {"test": phantoms[1]}
        for command in (compare, list_cells):  # job arrays take their numbers from the list
            with pytest.raises((SettingsError, DataError), match=said):
                command(**{**given, **options})
        assert not (tmp_path / "out").exists()

    refused("unknown method 'csp'.*did you mean 'cps'", methods="csp")
    refused("unknown setting.*method.contrst", methods="simcvd{contrst=0}")
    refused("unknown method 'superwised'", reference="superwised")
    refused("--labeled 9 cannot be met.*1 to 2", labeled="1,9")
    refused("both --test and --folds", test=phantoms[1], folds=2)
    refused("neither --test nor --folds", test=None)
    refused("--folds 3 cannot be met; found 2 patients", folds=3)
    refused("--folds 2 cannot be met; found 1 patients", folds=2, labeled="1")
    refused("both steps and budget", budget="1h")
    refused(r"run.seed cannot be set.*--seeds", settings={"seed": 5})
    refused(r"run.method cannot be set.*--methods", settings={"run.method": "bcp"})
    refused(r"run.labeled cannot be set.*--labeled", settings={"run.labeled": "1"})
    refused(r"run.labeled cannot be set.*--labeled", labeled="1,2", settings={"run.labeled": "1"})
    refused(r"run.labeled cannot be set.*--labeled", labeled="1", oracle=True, settings={"run.labeled": 1})
    refused(r"run.seed cannot be set.*--seeds", seeds="5,6", settings={"run.seed": 5})
    refused("no such cell; found --cell 9; expected 1 to 2", cell=9)
    refused("no such cell; found --cell 0", cell=0)
    refused("exchange.*expected", methods="supervised{exchange=}")
    refused("exchange.*expected", methods="supervised{exchange=.nan}")
    refused("exchange.*expected", methods="supervised{exchange=nan}")
    refused("unknown setting 'run.sed'", settings={"run.sed": 1})
    refused("--on.*nowhere", on="nowhere")
    refused("no such folder", test=tmp_path / "none")
    refused("no such file", plan=tmp_path / "none.json")
    bare, same = tmp_path / "bare", tmp_path / "same"
    shutil.copytree(phantoms[1], bare)
    shutil.rmtree(bare / "labelsTr")
    refused("no held-out labels", test=bare)
    refused("none with a label and role test.*role=test", test=phantoms[0])
    shutil.copytree(phantoms[1], same)
    shutil.copy(phantoms[0] / "imagesTr/phantom_003_0000.nii.gz", same / "imagesTr/phantom_006_0000.nii.gz")
    refused("a held-out scan is also a training scan.*phantom_003_0000", test=same)
    described = json.loads((bare / "dataset.json").read_text())
    described["labels"]["aorta"] = 2
    shutil.copytree(phantoms[1], tmp_path / "more")
    (tmp_path / "more/dataset.json").write_text(json.dumps(described))
    refused("other channels or classes", test=tmp_path / "more")
    full = tmp_path / "full"
    shutil.copytree(phantoms[0], full, ignore=shutil.ignore_patterns(".semivox"))
    (full / "cases.csv").write_text("case,use\n" + "".join(f"phantom_00{i},no\n" for i in (3, 4, 5)))
    refused("cps needs unlabelled cases.*2 labelled", data=full)


def test_held_out_cases_may_lie_in_the_data_folder_itself(
    phantoms: Folders, compare: Callable[..., Comparison], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(phantoms[0], data, ignore=shutil.ignore_patterns(".semivox"))
    (data / "cases.csv").write_text("case,patient,role\nphantom_002,p,test\n")
    result = compare(data=data, test=data)
    assert result.content["results"][0]["cases"] == 1
    assert {row["case"] for row in csv.DictReader((tmp_path / "out/cases.csv").open())} == {"phantom_002"}


def test_unequal_conditions_and_known_patients_are_told(
    phantoms: Folders, compare: Callable[..., Comparison], tmp_path: Path
) -> None:
    def run(self: CellRunner, cell: Cell) -> None:
        stand_in()(self, cell)
        other = {"precision": "bf16", "plan": "q"} if cell.variant.name == "cps" else {}
        write_finished(cell, {**FACTS, **other})

    test = tmp_path / "test"
    shutil.copytree(phantoms[1], test)
    (test / "cases.csv").write_text("case,patient\nphantom_006,phantom_001\nphantom_007,p7\n")
    found = compare(run, test=test).content["notes"]
    assert found == [
        "the cells differ in precision: fp32 (1), bf16 (1)",
        "the cells of all labelled, test, have 2 different plans",
        "1 held-out patients have the names of training patients (phantom_001); if they are the same people, "
        "their numbers are too good",
    ]


def test_a_seed_with_far_fewer_steps_than_another_is_told(compare: Callable[..., Comparison]) -> None:
    def run(self: CellRunner, cell: Cell) -> None:
        stand_in()(self, cell)
        steps = 79 if (cell.variant.name, cell.seed) == ("cps", 1) else 100 - 10 * cell.seed
        write_finished(cell, {**FACTS, "steps": steps})

    assert compare(run, seeds="0,1,2").content["notes"] == [
        "cells/cps/all/test/1 had time for 79 steps, seed 0 for 100: was the machine busy? To make it again, "
        "remove its folder and repeat the command",
    ]


def test_what_is_the_same_for_all_cells_is_told_once() -> None:
    listener = Told()
    brief = Brief(listener)
    for _ in range(2):
        for line in (
            "a patch of 16 (override: --set)",
            "done: 2 steps",
            "next: semivox predict",
            "warning: x",
        ):
            brief.say(line)
    assert listener.said == [
        "a patch of 16 (override: --set)",
        "done: 2 steps",
        "warning: x",
        "done: 2 steps",
    ]


# ---- the page and the tables beside it


def test_the_page_is_written_at_the_end_and_refreshed(
    compare: Callable[..., Comparison], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_draw", draw)
    listener = Told()
    compare(stand_in(lambda cell, case: 0.5 + 0.1 * (cell.variant.name == "cps")), display=listener)
    page = tmp_path / "out/report.html"
    assert listener.said[-1] == f"report: {page}"
    assert "cps gains over supervised" in page.read_text(encoding="utf-8")
    compare(stand_in(lambda cell, case: 0.5), methods="supervised,cps,bcp")
    assert "1 shows no difference" in page.read_text(encoding="utf-8")


def test_a_page_that_fails_loses_nothing(
    compare: Callable[..., Comparison], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("no ink")

    monkeypatch.setattr(module, "_draw", draw)
    monkeypatch.setattr("semivox.report.comparison_page.render_page", broken)
    listener = Told()
    result = compare(display=listener)
    assert result.failed == ()
    assert listener.said[-1] == "the report could not be written: ValueError: no ink"
    assert json.loads((tmp_path / "out/comparison.json").read_text()) == result.content
    assert not (tmp_path / "out/report.html").exists()


def test_the_table_is_there_for_papers_and_spreadsheets(
    compare: Callable[..., Comparison], tmp_path: Path
) -> None:
    content = compare(stand_in(lambda cell, case: 0.2 + 0.1 * int(case[-1])), seeds="0,1").content
    with (tmp_path / "out/table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["variant"] for row in rows] == ["supervised", "cps"]
    for row, expected in zip(rows, content["results"], strict=True):
        assert float(row["dice"]) == expected["mean"]["foreground"]["dice"]
        assert [float(row["dice_low"]), float(row["dice_high"])] == expected["ci95"]["foreground"]["dice"]
    assert "\\begin{tabular}" in (tmp_path / "out/table.tex").read_text()


# ---- several processes

WORKER = """
import json, sys, time, types
from pathlib import Path
out, log, data, test, seconds = *map(Path, sys.argv[1:5]), float(sys.argv[5])

class CellRunner:  # in place of training, so that torch is not loaded
    def __init__(self, request, display): self.request = request
    def run(self, cell):
        with open(log, "a") as file: file.write(cell.place + chr(10))
        time.sleep(seconds)
        from semivox.files import write_json
        from semivox.comparison.cells import write_finished
        from semivox.evaluation import METRICS
        names = [c.name for c in self.request.group(cell).held_out]
        numbers = dict.fromkeys(METRICS, 0.5)
        write_json(cell.evaluation, {"classes": {"1": "a"}, "policy": {}, "patients": {},
            "mean": dict.fromkeys(["1", "foreground"], numbers),
            "ci95": dict.fromkeys(["1", "foreground"], dict.fromkeys(METRICS)),
            "cases": {n: {"1": numbers} for n in names}})
        numbers = dict.fromkeys("steps seconds dice threads".split(), 1)
        words = dict.fromkeys("model_id plan precision device processor commit torch".split(), "x")
        write_finished(cell, {**numbers, **words})

sys.modules["semivox.comparison.cell_run"] = types.SimpleNamespace(
    CellRunner=CellRunner, check_settings=id, minutes_of=lambda request: None)
display = types.ModuleType("semivox.training.display"); display.Silent = lambda: types.SimpleNamespace(say=id)
sys.modules["semivox.training.display"] = display
from semivox.comparison import work
work.POLL_SECONDS = 0.05
from semivox.commands import compare
compare._draw = lambda out, display: None
compare.compare(data, out, methods="supervised,cps", seeds="0,1,2", test=test, steps=3)
assert "torch" not in sys.modules
"""


@pytest.fixture
def worker(tmp_path: Path, phantoms: Folders) -> Iterator[Callable[[float], subprocess.Popen[str]]]:
    """Starts a real process that compares into tmp_path/out; a cell takes it so many seconds."""
    file = tmp_path / "worker.py"
    file.write_text(WORKER)
    started: list[subprocess.Popen[str]] = []

    def start(seconds: float) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            str(file),
            str(tmp_path / "out"),
            str(tmp_path / "log"),
            *map(str, phantoms),
        ]
        process = subprocess.Popen([*command, str(seconds)], stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def logged(tmp_path: Path, at_least: int = 0) -> list[str]:
    """The cells that worker processes began, once there are ``at_least`` so many."""
    deadline = time.monotonic() + 120
    while True:
        lines = (tmp_path / "log").read_text().splitlines() if (tmp_path / "log").exists() else []
        if len(lines) >= at_least:
            return lines
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_processes_share_the_cells_and_all_write_the_comparison(
    worker: Callable[[float], subprocess.Popen[str]], tmp_path: Path
) -> None:
    processes = [worker(0.3) for _ in range(3)]
    for process in processes:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    places = logged(tmp_path)
    assert len(places) == 6
    assert len(set(places)) == 6
    content = json.loads((tmp_path / "out/comparison.json").read_text())
    assert [c["state"] for c in content["cells"]] == ["finished"] * 6
    assert not list((tmp_path / "out").rglob("claim.json"))
    assert not list((tmp_path / "out").rglob(".writing-*"))


def test_a_killed_process_frees_its_cell(
    worker: Callable[[float], subprocess.Popen[str]], tmp_path: Path, compare: Callable[..., Comparison]
) -> None:
    process = worker(600.0)
    (place,) = logged(tmp_path, 1)
    while not (tmp_path / "out" / place / "claim.json").exists():
        time.sleep(0.01)
    listener, log = Told(), []
    killer = threading.Timer(1.0, process.kill)
    killer.start()
    began = time.monotonic()
    result = compare(stand_in(log=log), seeds="0,1,2", display=listener)
    assert time.monotonic() - began > 0.5
    assert log[-1] == place  # skipped at first, taken once its process was dead
    assert len(set(log)) == len(log) == 6
    assert (
        f"waiting for supervised, all labelled, test, seed 0 (process {process.pid} on " in listener.said[-2]
    )
    assert result.failed == ()
    assert process.wait() == -signal.SIGKILL


def test_what_a_killed_process_claimed_is_taken_away(
    compare: Callable[..., Comparison], tmp_path: Path
) -> None:
    """Killed after its last word on a finished cell, it claims it for ever."""
    compare()
    cells = [path.parent for path in (tmp_path / "out").rglob("cell.json")]
    for cell in cells:
        write_json(cell / "claim.json", {"format": 1, "pid": 1, "host": "gone"})
    with claim(cells[0]):  # by a living one
        compare()
        assert (cells[0] / "claim.json").exists()
    assert list((tmp_path / "out").rglob("claim.json")) == []


def test_a_failure_of_another_process_is_not_tried_at_once(
    compare: Callable[..., Comparison], tmp_path: Path
) -> None:
    """While this call runs, another one fails on a cell: it is reported, and left to the next call."""
    calls = []

    def run(self: CellRunner, cell: Cell) -> None:
        calls.append(cell.place)
        other = tmp_path / "out/cells/cps/all/test/0"
        write_json(other / "failed.json", {"format": 1, "message": "no memory there", "time": time.time()})
        stand_in()(self, cell)

    result = compare(run)
    assert calls == ["cells/supervised/all/test/0"]
    assert [cell.place for cell in result.failed] == ["cells/cps/all/test/0"]
    assert "no memory there" in (tmp_path / "out/table.md").read_text()


# ---- real trainings


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_folds_predict_every_case_once_by_a_model_that_never_saw_it(
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(phantoms[0], data, ignore=shutil.ignore_patterns(".semivox"))
    # phantom_004 is another scan of phantom_001's patient, without a label
    (data / "cases.csv").write_text("case,patient\nphantom_002,b\nphantom_001,a\nphantom_004,a\n")
    result = semivox.compare(
        data, out, methods="mean_teacher", folds=2, steps=2, settings=small, cache=cache, workers=1
    )
    assert result.failed == ()
    tested: dict[str, list[str]] = {}
    for cell in result.content["cells"]:
        folder = out / cell["folder"]
        evaluation = json.loads((folder / f"evaluations/{cell['fold']}/evaluation.json").read_text())
        tested.setdefault(cell["variant"], []).extend(evaluation["cases"])
        trained = json.loads((folder / "cases.json").read_text())["cases"]
        held_out = {row["case"] for row in trained}
        assert not held_out & set(evaluation["cases"])  # neither as labelled nor as unlabelled
        assert not {row["patient"] for row in trained} & set(evaluation["patients"].values())
        expected = {"a": {"phantom_002", "phantom_003", "phantom_005"}, "b": {*PHANTOMS} - {"phantom_002"}}
        (patient,) = evaluation["patients"].values()
        assert held_out == expected[patient]
        assert [r["role"] for r in trained].count("labeled") == 1
        # it is a run like any other: its folder is enough to predict with
        masks = sorted((folder / f"evaluations/{cell['fold']}/masks").glob("*.nii.gz"))
        assert [m.name.removesuffix(".nii.gz") for m in masks] == list(evaluation["cases"])
    assert {v: sorted(cases) for v, cases in tested.items()} == {
        variant: ["phantom_001", "phantom_002"] for variant in ("supervised", "mean_teacher")
    }
    rows = result.content["results"]
    assert [(r["cases"], r["patients"]) for r in rows] == [(2, 2), (2, 2)]
    assert result.content["notes"] == []
    plans = {(c["fold"], c["plan"]) for c in result.content["cells"]}
    assert len(plans) == 2  # one a fold, the same for both methods
    # the scans were neither copied nor linked
    assert [p.name for p in sorted((out / "data").rglob("*")) if p.is_file()] == [
        "cases.csv",
        "dataset.json",
    ] * 4

    # a model of a cell is that of the ordinary command on the listed cases
    fold = result.content["cells"][0]
    plain = tmp_path / "plain"
    train(
        out / "data/all" / fold["fold"] / "train",
        plain,
        method="supervised",
        steps=2,
        settings=small,
        cache=cache,
    )
    one, two = weights(plain), weights(out / fold["folder"])
    assert all(torch.equal(one[k], two[k]) for k in one)


PHANTOMS = [f"phantom_00{i}" for i in range(1, 6)]


def test_an_interrupted_cell_goes_on_to_the_same_bits(
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"

    def go(**more: Any) -> Comparison:
        return semivox.compare(
            phantoms[0], out, methods="supervised", labeled="2", seeds=3, test=phantoms[1], steps=4,
            settings={**small, "run.checkpoint_seconds": 0}, cache=cache, workers=1, **more,
        )  # fmt: skip

    stopping = StopAfter(2)
    with pytest.raises(
        Stopped, match="supervised, 2 labelled, test, seed 3: stopped by SIGTERM after step 2 of 4"
    ):
        go(display=stopping)
    assert not any("go on with" in line for line in stopping.said)  # nobody asked a new cell to go on
    run = out / "cells/supervised/2/test/3"
    assert not (run / "claim.json").exists()
    ((cell, state),) = list_cells(
        phantoms[0], out, methods="supervised", labeled="2", seeds=3, test=phantoms[1], steps=4,
        settings={**small, "run.checkpoint_seconds": 0},
    )  # fmt: skip
    assert (state.kind, state.detail) == ("free", "stopped at step 2")

    listener = Told()
    result = go(display=listener)
    assert not any(line.startswith("next: ") for line in listener.said)
    assert [r["step"] for r in read_journal(run / "metrics.jsonl")] == [0, 1, 2, 3]
    plain = tmp_path / "plain"
    train(
        phantoms[0], plain, method="supervised", labeled=2, seed=3, steps=4, settings=small, cache=cache,
        plan=out / "plans/2/test.json",
    )  # fmt: skip
    one, two = weights(plain), weights(run)
    assert all(torch.equal(one[k], two[k]) for k in one)

    (row,) = result.content["results"]
    evaluation = json.loads((run / "evaluations/test/evaluation.json").read_text())
    assert row["mean"]["1"]["dice"] == pytest.approx(evaluation["mean"]["1"]["dice"])
    assert paired_difference(evaluation, evaluation)["mean"] == 0

    cell.evaluation.unlink()  # as if killed between the last step and the evaluation: no second training
    stamp = (run / "model.safetensors").stat().st_mtime_ns
    go()
    assert cell.evaluation.is_file()
    assert (run / "model.safetensors").stat().st_mtime_ns == stamp
    assert state_of(cell).kind == "finished"
    assert np.isfinite(result.content["cells"][0]["seconds"])


def test_an_oracle_is_the_reference_with_every_label(compare: Callable[..., Comparison]) -> None:
    def dice(cell: Cell, case: str) -> float:
        return {"all": 0.9}.get(
            cell.labeled.name, {"supervised": 0.5, "mean_teacher": 0.6}[cell.variant.name]
        )

    log: list[str] = []
    result = compare(stand_in(dice, log), methods="supervised,mean_teacher", labeled="1", oracle=True)
    assert log == [
        "cells/supervised/1/test/0", "cells/mean_teacher/1/test/0", "cells/supervised/all/test/0",
    ]  # fmt: skip
    rows = {(r["variant"], r["labeled"]): r for r in result.content["results"]}
    assert rows["mean_teacher", "1"]["gap_closed"] == pytest.approx(0.25)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render(result))
    words = console.export_text()
    assert "share of the gap to all labels" in words
    assert "25%" in words


def test_an_oracle_of_a_folder_of_labels_alone_is_no_matter_for_methods_that_need_others(
    phantoms: Folders, compare: Callable[..., Comparison], tmp_path: Path
) -> None:
    """As in every benchmark: labels are there for all scans, and hidden from the methods."""
    full = tmp_path / "full"
    shutil.copytree(phantoms[0], full, ignore=shutil.ignore_patterns(".semivox"))
    (full / "cases.csv").write_text("case,use\n" + "".join(f"phantom_00{i},no\n" for i in (3, 4, 5)))
    log: list[str] = []
    compare(stand_in(log=log), data=full, methods="cps", labeled="1", oracle=True)
    assert log == ["cells/supervised/1/test/0", "cells/cps/1/test/0", "cells/supervised/all/test/0"]
    for given in ({"reference": "cps"}, {"labeled": "1,all"}):
        with pytest.raises(SettingsError, match=r"cps needs unlabelled cases.*2 labelled"):
            compare(
                data=full, out=tmp_path / "no", **{"methods": "cps", "labeled": "1", "oracle": True} | given
            )


def test_an_oracle_among_the_labelled_sets_is_trained_once(compare: Callable[..., Comparison]) -> None:
    log: list[str] = []
    compare(stand_in(log=log), methods="supervised", labeled="1,all", oracle=True)
    assert log == ["cells/supervised/1/test/0", "cells/supervised/all/test/0"]


def test_an_oracle_needs_the_same_cases_for_every_set(compare: Callable[..., Comparison]) -> None:
    with pytest.raises(SettingsError, match=r"oracle needs held-out cases.*--test"):
        compare(methods="supervised", labeled="2", oracle=True, folds=2, test=None)
