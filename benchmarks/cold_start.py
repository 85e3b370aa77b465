"""Are the first scans that ``semivox rank DATA`` names, without a run, better than as many at random?

``python benchmarks/cold_start.py DATA DEV --labeled 3p --steps 300 --out DIR``: rank sees DATA without any
label and names patients; against them stand random draws of as many patients. Every set is trained on with
the same plan and number of steps, the named one with several seeds, and measured on DEV. Behind it is
``semivox compare``, so what DIR holds is not done again, and ``--stop-after`` ends with what there is. At
the end DIR/results.jsonl has a line a training. DATA needs a label file for each case.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import semivox
from equal_runs import compare_words, hand_over, measured, of_cases, one_plan
from in_time import Commands, add_options
from semivox.cohort import load_cohort
from semivox.cohort.subset_folder import write_subset_folder
from semivox.evaluation import paired_difference
from semivox.files import write_text

NAMED = "named"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("dev")
    parser.add_argument("--labeled", required=True, help="K scans, or Kp patients")
    parser.add_argument("--draws", type=int, default=20, help="random sets")
    parser.add_argument("--seeds", type=int, default=5, help="trainings on the named set")
    add_options(parser)
    a = parser.parse_args()
    commands = Commands(a.stop_after)
    named, plan = first_set(a), one_plan(a, f"{a.labeled}@0")
    draws = [f"{a.labeled}@{i}" for i in range(a.draws)]
    seeds = ",".join(map(str, range(a.seeds)))
    for sets, of in (([str(named)], seeds), (draws, "0")):
        if not commands.run([compare_words(a, plan, sets, of)]):
            break
    rows = [{**row, "set": row["set"] if "@" in row["set"] else NAMED} for row in measured(a)]
    result = summary(a, rows)
    hand_over(a, rows, result, told(result))


def first_set(a: argparse.Namespace) -> Path:
    """The patients that rank names, with all their scans, as a file for ``--labeled``."""
    cohort, path = load_cohort(Path(a.data)), a.out / f"{NAMED}.txt"
    if not path.exists():
        bare = a.out / "unlabeled"
        write_subset_folder(cohort, [replace(case, label=None) for case in cohort.cases], bare)
        ranking = semivox.rank(bare, top=int(a.labeled.removesuffix("p")), out=a.out / "first")
        patients = {row.patient for row in ranking.chosen}
        chosen = [case.name for case in cohort.cases if case.group in patients]
        if not a.labeled.endswith("p"):
            chosen = [row.case for row in ranking.chosen]
        write_text(path, "\n".join(chosen) + "\n")
    return path


def summary(a: argparse.Namespace, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    chosen = [row for row in rows if row["set"] == NAMED]
    drawn = [row for row in rows if row["set"] != NAMED]
    result: dict[str, Any] = {
        "data": a.data,
        "labeled": a.labeled,
        "steps": a.steps,
        "named": [row["dice"] for row in chosen],
        "random": [row["dice"] for row in drawn],
    }
    if chosen and drawn:
        result["difference"] = paired_difference(
            [of_cases(chosen)] * len(drawn), [of_cases([row]) for row in drawn]
        )
    return result


def told(result: Mapping[str, Any]) -> str:
    named, drawn = result["named"], result["random"]
    if not named or not drawn:
        return f"{len(named)} trainings on the named set, {len(drawn)} on random ones: nothing to compare yet"
    difference, mean = result["difference"], statistics.fmean(named)
    low, high = difference["ci95"] or (float("nan"), float("nan"))
    return (
        f"named {mean:.4f} ({min(named):.4f} to {max(named):.4f}, {len(named)} seeds), random "
        f"{statistics.fmean(drawn):.4f} ({min(drawn):.4f} to {max(drawn):.4f}, {len(drawn)} draws)\n"
        f"named minus random {difference['mean']:+.4f} [{low:+.4f}, {high:+.4f}] over draws and "
        f"{difference['patients']} patients; {sum(d < mean for d in drawn)} of {len(drawn)} draws are worse"
    )


if __name__ == "__main__":
    main()
