"""The same number of drawn slices: whole scans, or a few slices each of many scans?

``python benchmarks/slices_proof.py DATA DEV --labeled 3p --scans 2 --draws 10 --steps 300 --out DIR``: each
draw begins with a random labelled set and a training on it. ``rank --top`` then names whole scans by lot; as
many slices as show anything in them are named by ``rank --slices`` in other scans, and are drawn there as
the labels of DATA have them, with all other slices ignored. Both sets are trained on by one plan and number
of steps, and measured on DEV. What DIR holds is not done again; ``--stop-after`` ends with what there is. A
line of DIR/results.jsonl is a training. DATA is in 3D and needs a label file for each case.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from equal_runs import Trial, carry_out, hand_over, of_cases, one_plan
from in_time import Commands, add_options
from rank_proof import interval
from semivox.cohort import Case, Cohort, load_cohort, read_label, read_volume, split_cohort, write_mask
from semivox.cohort.subset_folder import write_subset_folder
from semivox.evaluation import paired_difference
from semivox.files import read_json

ARMS = ("whole", "slices")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("dev")
    parser.add_argument("--labeled", required=True, help="K scans, or Kp patients, of the first sets")
    parser.add_argument("--scans", type=int, default=2, help="whole scans that are added")
    parser.add_argument("--draws", type=int, default=10)
    add_options(parser)
    a = parser.parse_args()
    commands, plan = Commands(a.stop_after, a.workers), one_plan(a, f"{a.labeled}@0")
    carry_on(a, commands, plan)
    rows = results(a)
    result = summary(a, rows)
    hand_over(a, rows, result, told(result))


def carry_on(a: argparse.Namespace, commands: Commands, plan: Path) -> None:
    cohort = load_cohort(Path(a.data))
    cohort = replace(cohort, ignore=max(cohort.values) + 1 if cohort.ignore is None else cohort.ignore)
    write_subset_folder(cohort, cohort.cases, a.out / "data")
    draws = range(a.draws)
    if not carry_out(commands, [first_of(a, draw) for draw in draws], plan):
        return
    if not commands.run([w for d in draws if (w := rank_words(a, d, "whole", "--top", a.scans))]):
        return
    counts = [slices_of(cohort, chosen_of(a, draw)) for draw in draws]
    named = (rank_words(a, d, "slices", "--slices", count) for d, count in zip(draws, counts, strict=True))
    if not commands.run([words for words in named if words]):
        return
    for draw in draws:
        fill(a, cohort, draw)
    carry_out(commands, [trial_of(a, draw, arm) for arm in ARMS for draw in draws], plan)


def first_of(a: argparse.Namespace, draw: int) -> Trial:
    return Trial(a, a.out / "data", f"{a.labeled}@{draw}", a.out / f"draw{draw}/first", draw)


def trial_of(a: argparse.Namespace, draw: int, arm: str) -> Trial:
    folder = a.out / f"draw{draw}/{arm}"
    data = a.out / "data" if arm == "whole" else folder / "data"
    return Trial(a, data, str(folder / "ranking/next_labeled.txt"), folder, draw)


def rank_words(a: argparse.Namespace, draw: int, arm: str, flag: str, count: int) -> list[str] | None:
    ranking = a.out / f"draw{draw}/{arm}/ranking"
    if (ranking / "ranking.json").exists():
        return None
    return [
        "-m", "semivox", "rank", str(first_of(a, draw).run), str(a.out / "data"), flag, str(count),
        "--score", "random", "--seed", str(draw), "--out", str(ranking),
        "--device", a.device, "--threads", "1",
    ]  # fmt: skip


def chosen_of(a: argparse.Namespace, draw: int) -> list[str]:
    rows = read_json(a.out / f"draw{draw}/whole/ranking/ranking.json")["cases"]
    return [row["case"] for row in rows if row["chosen"]]


def slices_of(cohort: Cohort, names: Sequence[str]) -> int:
    """How many slices of whole scans show anything, across the axis with the thickest ones."""
    count = 0
    for case in (case for case in cohort.cases if case.name in names):
        label = read_label(case.label or "", regions=cohort.regions)
        axis = label.dims - 1 - int(np.argmax(label.spacing_mm[::-1]))
        shown = np.isin(label.array[0], cohort.values)
        count += int(np.moveaxis(shown, axis, 0).reshape(shown.shape[axis], -1).any(1).sum())
    return count


def fill(a: argparse.Namespace, cohort: Cohort, draw: int) -> None:
    """Draw the named slices as the true labels have them; a data folder of these and the first set."""
    folder, labels = a.out / f"draw{draw}/slices", {}
    for template in sorted((folder / "ranking/slices").iterdir()):
        case = next(case for case in cohort.cases if template.name.startswith(f"{case.name}."))
        empty = read_volume(template)
        true = read_label(case.label or "", regions=cohort.regions).array[0]
        drawn = np.where(empty.array[0] == cohort.ignore, empty.array[0], true)
        labels[case.name] = write_mask(folder / "labels" / template.name, drawn, empty)
    first = {case.name for case in split_cohort(cohort, f"{a.labeled}@{draw}").labeled}

    def seen(case: Case) -> Case:
        return case if case.name in first else replace(case, label=labels.get(case.name))

    write_subset_folder(cohort, [seen(case) for case in cohort.cases], folder / "data")


def results(a: argparse.Namespace) -> list[dict[str, Any]]:
    """A row a training that is measured."""
    rows = []
    for draw in range(a.draws):
        for arm in ("first", *ARMS):
            trial = first_of(a, draw) if arm == "first" else trial_of(a, draw, arm)
            if (row := trial.row()) is not None:
                rows.append({"draw": draw, "arm": arm, **row})
    return rows


def summary(a: argparse.Namespace, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    by_arm = {arm: {row["draw"]: row for row in rows if row["arm"] == arm} for arm in ("first", *ARMS)}
    both = sorted({*by_arm["whole"]} & {*by_arm["slices"]})
    pairs = [[of_cases([by_arm[arm][draw]]) for draw in both] for arm in ("slices", "whole")]
    return {
        "data": a.data,
        "steps": a.steps,
        "draws": len(both),
        **{arm: statistics.fmean(r["dice"] for r in of.values()) for arm, of in by_arm.items() if of},
        "difference": paired_difference(*pairs) if both else None,
    }


def told(result: Mapping[str, Any]) -> str:
    if not result["draws"]:
        return "no draw is finished: repeat the command"
    difference = result["difference"]
    return (
        f"{result['draws']} draws: first {result['first']:.4f}, whole scans {result['whole']:.4f}, slices "
        f"{result['slices']:.4f}; slices minus whole {difference['mean']:+.4f} {interval(difference['ci95'])}"
    )


if __name__ == "__main__":
    main()
