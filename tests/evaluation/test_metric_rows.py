"""A metric is one row: everything that shows, writes or documents metrics reads the rows."""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import semivox
from semivox.cohort import read_label, write_phantom_cohort
from semivox.cohort.formats import stem_of, write_mask
from semivox.evaluation import (
    METRICS,
    Measured,
    class_metrics,
    compare_evaluations,
    comparison_markdown,
    evaluate_folders,
    evaluation_table,
)
from semivox.evaluation.intervals import FEW_PATIENTS, few_patients
from semivox.evaluation.metrics import DIAGONAL, hausdorff, metrics_for_people, policy_text
from semivox.report.comparison_export import comparison_latex
from semivox.report.comparison_record import read_results
from semivox.report.held_out import Section, section_of
from semivox.report.run_record import HeldOut

SOURCE = Path(semivox.__file__).parent
DOCS = Path(__file__).resolve().parents[2] / "docs"

FUNCTION = """
def _sensitivity(pair: MaskPair) -> float:
    return pair.overlap_voxels / pair.reference_voxels


ROWS = (
    Metric("sensitivity", "", "Sensitivity", 3, "higher", 1.0, 0.0, "|P and R| / |R|", _sensitivity),
"""
EVERYWHERE = """
import importlib.util, io, json, sys
from rich.console import Console
from semivox.evaluation import Measured, compare_evaluations, evaluate_folders, evaluation_table
from semivox.report.comparison_export import comparison_csv
from semivox.report.comparison_record import read_results
from semivox.report.held_out import Section, section_of
from semivox.report.run_record import HeldOut
predictions, labels, docs = sys.argv[1:]
found = evaluate_folders(predictions, labels)
console = Console(width=200, file=io.StringIO())
console.print(evaluation_table(found))
held = HeldOut("test", None, found, {}, found["classes"], True, None, {}, {}, (), ())
measured = [Measured("a", "8", "test", 0, found), Measured("supervised", "8", "test", 0, found)]
cells = [{"variant": m.variant, "labeled": "8", "fold": "test", "seed": 0, "folder": m.variant,
          "state": "finished", "steps": 1, "seconds": 1.0} for m in measured]
results = read_results({"results": compare_evaluations(measured, ["test"], "supervised"), "cells": cells})
spec = importlib.util.spec_from_file_location("make_metrics", docs + "/make_metrics.py")
maker = importlib.util.module_from_spec(spec)
spec.loader.exec_module(maker)
print(json.dumps({
    "file": found, "terminal": console.file.getvalue(), "page": section_of(held, None).classes["columns"],
    "csv": comparison_csv(results), "docs": maker.page(),
}))
"""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Predictions and references of four phantoms: the references, a little shifted."""
    folder = tmp_path_factory.mktemp("rows")
    data = write_phantom_cohort(folder, labeled=1, unlabeled=0, test=4)[1]
    for i, file in enumerate(sorted((data / "labelsTr").iterdir())):
        label = read_label(file)
        write_mask(folder / "masks" / stem_of(file), np.roll(label.array[0], 1 + i, 0), label)
    return folder / "masks", data


def section(evaluation: dict[str, Any]) -> Section:
    """The part of a page on it."""
    classes = evaluation["classes"]
    return section_of(
        HeldOut("test", Path("test"), evaluation, {}, classes, True, None, {}, {}, (), ()), None
    )


def tiles(evaluation: dict[str, Any]) -> list[str]:
    return [meaning for _, meaning in section(evaluation).tiles]


def test_a_row_and_its_function_are_all_that_a_metric_takes(
    measured: tuple[Path, Path], tmp_path: Path
) -> None:
    """The page on adding a metric, done to a copy of the package."""
    shutil.copytree(SOURCE, tmp_path / "semivox", ignore=shutil.ignore_patterns("__pycache__"))
    file = tmp_path / "semivox" / "evaluation" / "metrics.py"
    file.write_text(file.read_text().replace("\nROWS = (\n", FUNCTION, 1))
    done = subprocess.run(
        [sys.executable, "-c", EVERYWHERE, *map(str, measured), str(DOCS)],
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    seen = json.loads(done.stdout)
    found = seen["file"]
    for row in found["cases"].values():
        assert 0 < row["1"]["sensitivity"] < 1
        precision = 1 / (2 / row["1"]["dice"] - 1 / row["1"]["sensitivity"])  # Dice is their harmonic mean
        assert row["1"]["volume_error_rel"] == pytest.approx(row["1"]["sensitivity"] / precision - 1)
    assert found["policy"]["sensitivity"] == "|P and R| / |R|"
    assert "sensitivity" in found["policy"]["both_empty"]
    mean, (low, high) = found["mean"]["1"]["sensitivity"], found["ci95"]["1"]["sensitivity"]
    (line,) = (line for line in seen["terminal"].splitlines() if "Sensitivity" in line)
    assert f"{mean:.3f} [{low:.3f}, {high:.3f}]" in line
    assert seen["page"][0] == "Sensitivity"
    rows = list(csv.DictReader(io.StringIO(seen["csv"])))
    assert [float(row["sensitivity"]) for row in rows] == [found["mean"]["foreground"]["sensitivity"]] * 2
    assert [row["sensitivity_difference"] for row in rows] == ["0.0", ""]
    assert "| `sensitivity` | Sensitivity | 3 | higher | 1 | 0 |" in seen["docs"]


def test_the_names_are_those_of_the_evaluation_file() -> None:
    assert " ".join(METRICS) == (
        "dice jaccard hd95_mm assd_mm asd_mm nsd volume_error_ml volume_error_rel hd95_vox asd_vox"
    )
    policy = policy_text("default", 2.0, spacing_known=False)
    assert policy["both_empty"] == "dice, jaccard, nsd 1; distances 0"
    assert policy["one_empty"] == (
        "dice, jaccard, nsd 0; distances the diagonal of the image (shape times spacing)"
    )
    assert policy_text("literature", 2.0, spacing_known=True)["one_empty"] == (
        "dice, jaccard, nsd 0; distances 0"
    )
    assert policy["spacing"] == "unknown: *_mm, nsd and volume_error_ml are null"


def test_a_name_without_a_unit_is_that_of_a_share() -> None:
    """By which records of others are checked."""
    assert {name for name in METRICS if "_" not in name} == {n for n, m in METRICS.items() if not m.unit}
    assert all((m.best, m.worst) == (1, 0) for m in METRICS.values() if not m.unit)


def test_no_other_list_of_metrics_stands_in_the_source() -> None:
    """Three names of metrics in one literal are a list that somebody would have to keep."""
    chosen = {"commands/demo.py"}  # which four the demo's table has
    found = []
    for path in SOURCE.rglob("*.py"):
        name = path.relative_to(SOURCE).as_posix()
        if name in {"evaluation/metrics.py", *chosen}:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Tuple | ast.List | ast.Set | ast.Dict):
                texts = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
                if len(texts & set(METRICS)) > 2:
                    found.append(f"{name}:{node.lineno}")
    assert found == []


def test_headings_stand_in_the_rows_alone() -> None:
    """Text that names a quantity by hand would keep its own name and decimals."""
    headings = {metric.heading for metric in METRICS.values()} - {"Dice"}  # a word of many sentences
    found = []
    rooms = [SOURCE / name for name in ("evaluation", "report", "comparison", "commands")]
    for path in (path for room in rooms for path in room.rglob("*.*")):
        if path.name == "metrics.py" or path.suffix not in (".py", ".j2", ".js"):
            continue
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".py":
            nodes = list(ast.walk(ast.parse(text)))
            documented = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
            said = (n.value for n in nodes if isinstance(n, ast.Constant) and id(n) not in documented)
            text = "\n".join(value for value in said if isinstance(value, str))
        found += [f"{path.name}: {heading}" for heading in headings if heading in text]
    assert found == []


def test_every_table_gives_a_metric_the_same_heading_and_decimals(measured: tuple[Path, Path]) -> None:
    found = evaluate_folders(*measured)
    console = Console(width=200, file=io.StringIO())
    console.print(evaluation_table(found))
    terminal = console.file.getvalue()
    table = section(found).classes
    assert table is not None
    (row,) = table["rows"]
    cells = dict(zip(table["columns"], row["cells"], strict=True))
    mean = found["mean"]["1"]
    for metric in metrics_for_people(spacing_known=True):
        title = metric.title(tolerance_mm=2.0)
        (line,) = (line for line in terminal.splitlines() if f" {title} " in line)
        assert f" {metric.scale * mean[metric.name]:.{metric.decimals}f} [" in line
        assert (title in cells) == metric.in_pages
        if metric.in_pages:
            assert cells[title]["decimals"] == metric.decimals
            assert cells[title]["value"] == metric.scale * mean[metric.name]
    runs = [Measured(name, "8", "test", 0, found) for name in ("supervised", "other")]
    cells_of = [
        {"variant": m.variant, "labeled": "8", "fold": "test", "seed": 0, "folder": m.variant,
         "state": "finished", "steps": 1, "seconds": 1.0}
        for m in runs
    ]  # fmt: skip
    content = {
        "reference": "supervised", "folds": ["test"], "notes": [], "cells": cells_of,
        "results": compare_evaluations(runs, ["test"], "supervised"),
    }  # fmt: skip
    latex = comparison_latex(read_results(content))
    for metric in (METRICS["dice"], hausdorff(spacing_known=True)):
        shown = f"{mean[metric.name]:.{metric.decimals}f}"
        assert f"| {metric.title()} |" in comparison_markdown(content)
        assert f"| {shown} [" in comparison_markdown(content)
        assert f"& {metric.title()} &" in latex
        assert f"{shown}" in latex


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("policy", ["default", "literature"])
def test_every_row_keeps_its_word_on_empty_masks(name: str, policy: str) -> None:
    metric = METRICS[name]
    nothing, something = np.zeros((5, 6, 7), bool), np.zeros((5, 6, 7), bool)
    something[1:3, 2:4, 3:5] = True
    spacing = (1.0, 2.0, 3.0)
    pairs = [(nothing, nothing), (something, nothing), (nothing, something)]
    both, *one = [class_metrics(*p, spacing, policy=policy)[name] for p in pairs]  # type: ignore[arg-type]
    if metric.worst is None:
        return
    assert both == metric.best
    if metric.worst == DIAGONAL:
        unit = spacing if metric.unit == "mm" else (1.0, 1.0, 1.0)
        far = float(np.linalg.norm(np.multiply((5, 6, 7), unit))) if policy == "default" else 0.0
        assert one == [pytest.approx(far)] * 2
    else:
        assert one == [metric.worst] * 2


def test_few_patients_are_said_to_be_few(measured: tuple[Path, Path]) -> None:
    assert [bool(few_patients(n)) for n in (1, 2, FEW_PATIENTS - 1, FEW_PATIENTS)] == [
        False, True, True, False,
    ]  # fmt: skip
    found = evaluate_folders(*measured)
    console = Console(width=200, file=io.StringIO())
    console.print(evaluation_table(found))
    assert "4 cases, mean [95 % interval over 4 patients]" in console.file.getvalue()
    assert "few patients (4): the interval is rough" in console.file.getvalue()
    assert "Few patients (4): the interval is rough." in section(found).notes


def test_empty_masks_are_told_where_their_distance_is_shown(
    measured: tuple[Path, Path], tmp_path: Path
) -> None:
    masks, data = measured
    for file in sorted(masks.iterdir())[1:]:
        shutil.copy(file, tmp_path)
    found = evaluate_folders(tmp_path, data, missing_as_empty=True)
    assert "mean HD95, 1 empty mask as the image's diagonal" in tiles(found)
    console = Console(width=200, file=io.StringIO())
    console.print(evaluation_table(found))
    assert (
        "one of two masks is empty 1 times: distances are the image's diagonal there"
        in console.file.getvalue()
    )
    papers = evaluate_folders(tmp_path, data, missing_as_empty=True, policy="literature")
    assert "mean HD95" in tiles(papers)
