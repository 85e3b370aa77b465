"""From the finished cells of a comparison to ``comparison.json``, ``cases.csv`` and the tables."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from filelock import FileLock

from semivox.comparison.cells import Cell, read_finished, state_of
from semivox.comparison.request import TEST, Group, Request
from semivox.comparison.variants import ALL
from semivox.evaluation import METRICS, Measured, compare_evaluations, comparison_markdown, read_evaluation
from semivox.evaluation.comparison import POLICY
from semivox.files import write_json, write_text
from semivox.report.comparison_export import comparison_csv, comparison_latex
from semivox.report.comparison_record import read_results
from semivox.runs.environment import recorded_method

FORMAT = 1
COLUMNS = ("variant", "labeled", "fold", "seed", "case", "patient", "class", *METRICS)
CONDITIONS = ("precision", "threads", "device", "processor", "commit", "torch")
"""What should be the same for all cells; where it is not, the table says so."""

CONDITIONS_OF_ONE = ("method_sha256",)
"""The same, for the cells of one variant."""

BUSY = 0.8
"""A seed with fewer steps than this share of another's, at the same budget, had less of the machine."""


def write_comparison(request: Request, cells: Sequence[Cell]) -> dict[str, Any]:
    """Compare what is finished of ``cells``; write the files and return the first one's content."""
    with FileLock(str(request.out / ".comparison.lock")):
        rows = [_row(cell) for cell in cells]
        measured = [
            Measured(
                cell.variant.name, cell.labeled.name, cell.fold, cell.seed, read_evaluation(cell.evaluation)
            )
            for cell, row in zip(cells, rows, strict=True)
            if row["state"] == "finished"
        ]
        metrics = measured[0].evaluation["policy"] if measured else None
        content = {
            "format": FORMAT,
            "reference": request.reference.name,
            "folds": list(request.folds),
            "request": dict(request.fixed),
            "results": compare_evaluations(measured, request.folds, request.reference.name, oracle=ALL),
            "notes": notes(rows, request.groups, request.fixed["recipe"]),
            "cells": rows,
            "policy": {**POLICY, "metrics": metrics},
        }
        write_json(request.out / "comparison.json", content)
        write_text(request.out / "cases.csv", _case_table(measured))
        write_text(request.out / "table.md", comparison_markdown(content))
        results = read_results(content)
        write_text(request.out / "table.csv", comparison_csv(results))
        write_text(request.out / "table.tex", comparison_latex(results))
    return content


def _row(cell: Cell) -> dict[str, Any]:
    state = state_of(cell)
    about = {
        "variant": cell.variant.name,
        "method": cell.variant.text,
        "labeled": cell.labeled.name,
        "fold": cell.fold,
        "seed": cell.seed,
        "folder": cell.place,
        "state": state.kind,
    }
    done = read_finished(cell)
    if done is not None:
        facts = {k: v for k, v in done.items() if k not in ("format", "request")}
        if "method_sha256" not in facts:  # earlier versions left it with the run
            facts["method_sha256"] = recorded_method(cell.folder)
        return {**facts, **about}
    return {**about, "error": state.detail} if state.kind == "failed" else about


def notes(rows: Sequence[Mapping[str, Any]], groups: Sequence[Group], recipe: str | None) -> list[str]:
    """What was not equal among the finished cells, and held-out patients who may not be strangers."""
    done = [row for row in rows if row["state"] == "finished"]
    found = []
    variants = {row["variant"]: [each for each in done if each["variant"] == row["variant"]] for row in done}
    found += [line for name in CONDITIONS for line in _unequal("the cells", done, name)]
    for variant, own in variants.items():
        found += [
            line for name in CONDITIONS_OF_ONE for line in _unequal(f"the cells of {variant}", own, name)
        ]
    for place in dict.fromkeys((row["labeled"], row["fold"]) for row in done):
        plans = {row.get("plan") for row in done if (row["labeled"], row["fold"]) == place}
        if len(plans) > 1 and recipe != "paper":
            found.append(f"the cells of {place[0]} labelled, {place[1]}, have {len(plans)} different plans")
    for alike in dict.fromkeys((row["variant"], row["labeled"], row["fold"]) for row in done):
        own = [
            row
            for row in done
            if (row["variant"], row["labeled"], row["fold"]) == alike and row.get("steps") is not None
        ]
        if not own:
            continue
        least, most = min(own, key=itemgetter("steps")), max(own, key=itemgetter("steps"))
        if least["steps"] < BUSY * most["steps"]:
            found.append(
                f"{least['folder']} had time for {least['steps']} steps, seed {most['seed']} for "
                f"{most['steps']}: was the machine busy? To make it again, remove its folder and repeat the "
                "command"
            )
    for group in groups:
        trained = {c.group for c in (*group.split.labeled, *group.split.unlabeled)}
        known = sorted(trained & {c.group for c in group.held_out})
        if group.fold == TEST and known:
            named = f"{', '.join(known[:3])}{', ...' if len(known) > 3 else ''}"
            found.append(
                f"{len(known)} held-out patients have the names of training patients ({named}); if they are "
                "the same people, their numbers are too good"
            )
            break
    return found


def _unequal(cells: str, rows: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """A line that tells the values of ``name`` and how many rows have each, where they are not all one."""
    counts = Counter(str(row.get(name)) for row in rows)
    shown = ", ".join(f"{value} ({n})" for value, n in counts.most_common())
    return [f"{cells} differ in {name}: {shown}"] if len(counts) > 1 else []


def _case_table(measured: Sequence[Measured]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for m in measured:
        patients = m.evaluation.get("patients", {})
        for case, classes in m.evaluation["cases"].items():
            for value, numbers in classes.items():
                about = (m.variant, m.labeled, m.fold, m.seed, case, patients.get(case, case), value)
                writer.writerow([*about, *("" if (n := numbers.get(k)) is None else n for k in METRICS)])
    return text.getvalue()
