"""Does it pay to annotate the scans that ``semivox rank`` chooses, rather than as many at random?

``python benchmarks/rank_proof.py DATA DEV --out DIR``: a base run with the first labels of DATA ranks the
other scans; the chosen ones join the labelled set, and against it stand random sets of the same size. All
train for the base run's steps on its plan, and are measured on DEV. What is in DIR already is not done again.
With ``--json`` the last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import semivox
from semivox.cohort import split_cohort
from semivox.duration import parse_duration
from semivox.errors import SettingsError
from semivox.evaluation import case_value, read_evaluation
from semivox.files import read_json, write_json, write_text
from semivox.randomness import Key


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("dev")
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--method", default="supervised")
    parser.add_argument("--first", type=int, default=8, help="labelled cases of the base run")
    parser.add_argument("--add", type=int, default=8, help="labels that are added")
    parser.add_argument("--draws", type=int, default=5, help="random sets to compare with")
    parser.add_argument("--repeats", type=int, default=1, help="runs on the chosen set, seed after seed")
    parser.add_argument("--budget", type=parse_duration, default=60.0, help="of the base run")
    parser.add_argument("--steps", type=int, help="of every run, in place of the budget")
    parser.add_argument("--score", default="combined")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--cache")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of every run")
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    remember(a)

    base = Trial(a, "base", str(a.first), a.seed, a.out / "base")
    base.train(steps=a.steps, budget=None if a.steps else a.budget)
    ranking = a.out / "ranking"
    if not (ranking / "contact_sheet.png").exists():
        semivox.rank(base.run, a.data, a.add, a.score, out=ranking, threads=a.threads)
    trials = [
        Trial(a, f"chosen_{i}", str(ranking / "next_labeled.txt"), a.seed + i, base.run)
        for i in range(a.repeats)
    ]
    trials += [Trial(a, f"random_{i}", str(random_set(a, i)), a.seed + i, base.run) for i in range(a.draws)]
    for trial in trials:
        trial.train(steps=read_json(base.run / "model.json")["steps"])
    evaluations = {trial.name: trial.measure() for trial in (base, *trials)}
    result = summary(a, evaluations)
    write_json(a.out / "rank_proof.json", result)
    print(table(result))
    if a.json:
        print(json.dumps(result))


def remember(a: argparse.Namespace) -> None:
    """What DIR was asked for; another request is refused, as its results would be mixed."""
    kept = {
        name: value
        for name, value in vars(a).items()
        if name not in ("out", "json", "draws", "repeats", "cache")
    }
    path = a.out / "request.json"
    if path.exists() and read_json(path)["request"] != kept:
        raise SettingsError(
            "this folder belongs to another request", path=path, found=read_json(path)["request"]
        )
    write_json(path, {"format": 1, "request": kept})


def random_set(a: argparse.Namespace, draw: int) -> Path:
    """The first labels and as many others as are chosen, drawn at random, as a file for ``--labeled``."""
    cohort = semivox.load_cohort(a.data)
    first = [case.name for case in split_cohort(cohort, str(a.first)).labeled]
    others = [case.name for case in split_cohort(cohort, None).labeled if case.name not in first]
    order = (Key(a.seed) / "rank proof" / draw).numpy().permutation(len(others))
    path = a.out / f"random_{draw}.txt"
    write_text(path, "\n".join([*first, *(others[i] for i in order[: a.add])]) + "\n")
    return path


class Trial:
    """One labelled set: a run below DIR, its masks of DEV, and their evaluation."""

    def __init__(self, a: argparse.Namespace, name: str, labeled: str, seed: int, base: Path) -> None:
        self.a, self.name, self.labeled, self.seed, self.base = a, name, labeled, seed, base
        self.run, self.masks = a.out / name, a.out / f"{name}-masks"

    def train(self, *, steps: int | None, budget: float | None = None) -> None:
        """Train, or go on; the base run makes the plan."""
        status = self.run / "status.json"
        if status.exists() and read_json(status)["state"] == "done":
            return
        plan = None if self.run == self.base else self.base / "plan.json"
        print(f"{self.name} ...", flush=True)
        semivox.train(
            self.a.data, self.run, method=self.a.method, labeled=self.labeled, steps=steps, budget=budget,
            seed=self.seed, plan=plan, threads=self.a.threads, cache=self.a.cache, settings=self.a.set,
            resume=True,
        )  # fmt: skip

    def measure(self) -> Mapping[str, Any]:
        if not (self.masks / "evaluation.json").exists():
            report = semivox.predict(
                self.run, self.a.dev, self.masks, threads=self.a.threads, skip_existing=True
            )
            if report.failed:
                raise SystemExit(f"{report.failed[0].case}: {report.failed[0].reason}")
            semivox.evaluate(self.masks, self.a.dev)
        return read_evaluation(self.masks / "evaluation.json")


def summary(a: argparse.Namespace, evaluations: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    chosen, drawn = (
        [evaluation for name, evaluation in evaluations.items() if name.startswith(kind)]
        for kind in ("chosen", "random")
    )
    over_draws = semivox.paired_difference([mean_of(chosen)] * len(drawn), drawn)
    return {
        "format": 1,
        "method": a.method,
        "score": a.score,
        "labels": [a.first, a.first + a.add],
        "steps": read_json(a.out / "base/model.json")["steps"],
        "runs": {
            name: {"dice": e["mean"]["foreground"]["dice"], "ci95": e["ci95"]["foreground"]["dice"]}
            for name, e in evaluations.items()
        },
        "difference": semivox.paired_difference(mean_of(chosen), mean_of(drawn)),
        "ci95_over_patients_and_draws": over_draws["ci95"],
        "added": [row["case"] for row in read_json(a.out / "ranking/ranking.json")["cases"] if row["chosen"]],
    }


def mean_of(evaluations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """An evaluation whose foreground Dice of each case is the mean over ``evaluations``."""
    first = evaluations[0]

    def dice(case: str) -> float:
        return statistics.fmean(case_value(e["cases"][case], "dice") for e in evaluations)

    return {
        **first,
        "classes": {"1": "mean"},
        "cases": {case: {"1": {"dice": dice(case)}} for case in first["cases"]},
    }


def table(result: Mapping[str, Any]) -> str:
    few, many = result["labels"]
    lines = [f"{result['method']}, {result['steps']} steps, ranked by {result['score']}", ""]
    lines += ["| run | labels | Dice on DEV |", "|---|---|---|"]
    for name, row in result["runs"].items():
        low, high = row["ci95"] or (float("nan"), float("nan"))
        lines.append(
            f"| {name} | {few if name == 'base' else many} | {row['dice']:.4f} [{low:.4f}, {high:.4f}] |"
        )
    drawn = [row["dice"] for name, row in result["runs"].items() if name.startswith("random")]
    difference = result["difference"]
    lines += [
        "",
        f"chosen minus the mean of {len(drawn)} random sets: {difference['mean']:+.4f} "
        f"{interval(difference['ci95'])} over {difference['patients']} patients, "
        f"{interval(result['ci95_over_patients_and_draws'])} over patients and draws",
        f"chosen {difference['mean_a']:.4f}, random {min(drawn):.4f} to {max(drawn):.4f}; "
        f"{sum(dice < difference['mean_a'] for dice in drawn)} of {len(drawn)} random sets are worse",
    ]
    return "\n".join(lines)


def interval(ci95: Sequence[float] | None) -> str:
    return "[no interval]" if ci95 is None else f"[{ci95[0]:+.4f}, {ci95[1]:+.4f}]"


if __name__ == "__main__":
    main()
