"""Trainings on labelled sets, by one plan and equally long, each measured on DEV, and none done twice.

Sets that are known beforehand go through ``semivox compare``, in the folder ``runs`` of a benchmark's --out.
Of sets that follow from other trainings each is a :class:`Trial`.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import semivox
from in_time import Commands, plan_settings, training_words
from semivox.cohort import load_cohort, split_cohort
from semivox.comparison.variants import ALL
from semivox.evaluation import case_value, read_evaluation
from semivox.files import read_json, write_text


def one_plan(a: argparse.Namespace, labeled: str) -> Path:
    """The plan of all trainings, made for one labelled set."""
    path = Path(a.out / "plan.json")
    if not path.exists():
        semivox.plan(a.data, labeled=labeled, out=path, settings=plan_settings(a), cache=a.cache)
    return path


def compare_words(a: argparse.Namespace, plan: Path, sets: Sequence[str], seeds: str) -> list[str]:
    """The command that trains on every set with every seed."""
    return [
        "-m", "semivox", "compare", a.data, "--test", a.dev, "--out", str(a.out / "runs"),
        "--methods", a.method, "--reference", a.method, "--labeled", ",".join(sets), "--seeds", seeds,
        "--plan", str(plan), "--on", f"local:{a.workers}", *training_words(a),
    ]  # fmt: skip


def measured(a: argparse.Namespace) -> list[dict[str, Any]]:
    """A row a training that is finished and measured; ``set`` as it was given."""
    if not (a.out / "runs/request.json").exists():
        return []
    cohort, known, rows = load_cohort(Path(a.data)), read_json(a.out / "runs/request.json")["labeled"], []
    for cell in sorted((a.out / "runs").glob("cells/*/*/*/*/cell.json")):
        run = cell.parent
        content, labeled = read_json(cell), known[run.parts[-3]]
        scores = read_evaluation(run / "evaluations" / run.parts[-2] / "evaluation.json")
        rows.append(
            {
                "set": labeled,
                "seed": int(run.name),
                "cases": [
                    case.name for case in split_cohort(cohort, None if labeled == ALL else labeled).labeled
                ],
                "steps": content["steps"],
                "seconds": content["seconds"],
                "dice": content["dice"],
                "of_cases": {name: case_value(each, "dice") for name, each in scores["cases"].items()},
                "patients": scores["patients"],
            }
        )
    return rows


def of_cases(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The mean over trainings of each case's Dice, as an evaluation."""
    first = rows[0]["of_cases"]
    cases = {n: {"1": {"dice": statistics.fmean(row["of_cases"][n] for row in rows)}} for n in first}
    return {"classes": {"1": "mean"}, "cases": cases, "patients": rows[0]["patients"]}


@dataclass(frozen=True)
class Trial:
    """A training on the cases ``labeled`` of ``data``, in ``folder``, as ``a`` asks for it, and its masks of
    DEV. The words are of commands; None: it is done."""

    a: argparse.Namespace
    data: Path
    labeled: str
    folder: Path
    seed: int

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def evaluation(self) -> Path:
        return self.folder / "masks/evaluation.json"

    def train(self, plan: Path) -> list[str] | None:
        status = self.run / "status.json"
        if status.exists() and read_json(status)["state"] == "done":
            return None
        return [
            "-m", "semivox", "train", str(self.data), "--labeled", self.labeled, "--out", str(self.run),
            "--resume", "--method", self.a.method, "--plan", str(plan), "--seed", str(self.seed),
            "--threads", "1", *training_words(self.a),
        ]  # fmt: skip

    def predict(self) -> list[str] | None:
        return None if self.evaluation.exists() else [
            "-m", "semivox", "predict", str(self.run), self.a.dev, "--out", str(self.evaluation.parent),
            "--skip-existing", "--device", self.a.device, "--threads", "1",
        ]  # fmt: skip

    def evaluate(self) -> list[str] | None:
        return None if self.evaluation.exists() else [
            "-m", "semivox", "evaluate", str(self.evaluation.parent), self.a.dev,
            "--out", str(self.evaluation),
        ]  # fmt: skip

    def row(self) -> dict[str, Any] | None:
        """What it came to; None while that is not known."""
        if not self.evaluation.exists():
            return None
        scores = read_evaluation(self.evaluation)
        return {
            "cases": [case.name for case in split_cohort(load_cohort(self.data), self.labeled).labeled],
            "dice": scores["mean"]["foreground"]["dice"],
            "of_cases": {name: case_value(each, "dice") for name, each in scores["cases"].items()},
            "patients": scores["patients"],
        }


def carry_out(commands: Commands, trials: Sequence[Trial], plan: Path) -> bool:
    """Train and measure all, side by side; whether all are done in time."""
    steps: Iterable[list[list[str] | None]] = (
        [act(trial) for trial in trials] for act in (lambda t: t.train(plan), Trial.predict, Trial.evaluate)
    )
    return all(commands.run([words for words in step if words]) for step in steps)


def hand_over(
    a: argparse.Namespace, rows: Iterable[Mapping[str, Any]], result: Mapping[str, Any], told: str
) -> None:
    """The end of a benchmark: a line a row in OUT/results.jsonl, what came of it for people, and as JSON."""
    write_text(a.out / "results.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    print(told)
    if a.json:
        print(json.dumps(result))
