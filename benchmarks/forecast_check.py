"""Was what ``semivox rank --curve`` says of the next labels right? Looked at when they are there.

``python benchmarks/forecast_check.py DATA DEV --labeled 8 --more 8 --draws 10 --steps 300 --out DIR``: each
draw is a random labelled set; folds of four and of two of it make the forecast. A larger draw with the same
seed holds the smaller one, so trainings on both, measured on DEV, tell what the labels brought. A line of
DIR/results.jsonl is a draw. Beside them stands the oracle, trained on all labels. All trainings have one
plan and number of steps; what DIR holds is not done again, and ``--stop-after`` ends with what there is. DATA
needs a label file for each case.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from equal_runs import compare_words, hand_over, measured, one_plan
from in_time import Commands, add_options, training_words
from semivox.cohort import load_cohort
from semivox.comparison.variants import ALL
from semivox.errors import SettingsError
from semivox.forecast import forecast, read_points

FOLDS = (4, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("dev")
    parser.add_argument("--labeled", required=True, help="K scans, or Kp patients")
    parser.add_argument("--more", type=int, default=8)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=2, help="trainings on each set, whose mean is compared")
    add_options(parser)
    a = parser.parse_args()
    number, unit = int(a.labeled.removesuffix("p")), "p" if a.labeled.endswith("p") else ""
    if number < max(FOLDS):
        raise SettingsError("too few for folds", found=a.labeled, expected=f"{max(FOLDS)} or more")
    commands, plan = Commands(a.stop_after, a.workers), one_plan(a, f"{a.labeled}@0")
    folds = [
        fold_words(a, plan, draw, count)
        for draw in range(a.draws)
        for count in FOLDS
        if not (folder(a, draw, count) / "cross_validation.json").exists()
    ]
    sets = [f"{n}{unit}@{draw}" for draw in range(a.draws) for n in (number, number + a.more)]
    if commands.run(folds):
        seeds = ",".join(map(str, range(a.seeds)))
        commands.run([[*compare_words(a, plan, sets, seeds), "--oracle"]])
    trained = measured(a)
    rows = results(a, trained, number, unit)
    oracle = [row["dice"] for row in trained if row["set"] == ALL]
    result = {**summary(a, rows), "oracle": statistics.fmean(oracle) if oracle else None}
    hand_over(a, rows, result, told(result))


def folder(a: argparse.Namespace, draw: int, count: int) -> Path:
    return Path(a.out / f"draw{draw}/folds{count}")


def fold_words(a: argparse.Namespace, plan: Path, draw: int, count: int) -> list[str]:
    return [
        "-m", "semivox", "train", a.data, "--labeled", f"{a.labeled}@{draw}", "--folds", str(count),
        "--out", str(folder(a, draw, count)), "--method", a.method, "--plan", str(plan), "--threads", "1",
        "--resume", *training_words(a),
    ]  # fmt: skip


def results(
    a: argparse.Namespace, trained: Sequence[Mapping[str, Any]], number: int, unit: str
) -> list[dict[str, Any]]:
    """A row a draw of which all is there."""
    rows = []
    patient_of = {case.name: case.group for case in load_cohort(Path(a.data)).cases}
    for draw in range(a.draws):
        few, many = (
            [row for row in trained if row["set"] == f"{n}{unit}@{draw}"] for n in (number, number + a.more)
        )
        places = [folder(a, draw, count) for count in FOLDS]
        if not few or not many or not all((p / "cross_validation.json").exists() for p in places):
            continue
        patients = [len({patient_of[case] for case in row["cases"]}) for row in (few[0], many[0])]
        said = forecast(read_points(places)[0], patients[0], patients[1] - patients[0])
        if said is None:
            continue
        was, became = (statistics.fmean(row["dice"] for row in side) for side in (few, many))
        change = became - was
        held = said.low <= change <= said.high
        rows.append({"draw": draw, "before": was, "change": change, "held": held, "said": said.to_json()})
    return rows


def summary(a: argparse.Namespace, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    change, said = np.array([[row["change"], row["said"]["change"]] for row in rows]).reshape(-1, 2).T
    return {
        "data": a.data,
        "labeled": a.labeled,
        "more": a.more,
        "steps": a.steps,
        "draws": len(rows),
        "held": int(sum(row["held"] for row in rows)),
        "level": rows[0]["said"]["level"] if rows else None,
        "before": statistics.fmean(row["before"] for row in rows) if rows else None,
        "change": float(change.mean()) if rows else None,
        "said": float(said.mean()) if rows else None,
        "error": float(np.abs(change - said).mean()) if rows else None,
        "width": float(np.mean([r["said"]["high"] - r["said"]["low"] for r in rows])) if rows else None,
    }


def told(result: Mapping[str, Any]) -> str:
    if not result["draws"]:
        return "no draw is finished: repeat the command"
    oracle = "not known" if result["oracle"] is None else f"{result['oracle']:.4f}"
    return (
        f"{result['held']} of {result['draws']} intervals held (promised {result['level']:.0%}), "
        f"{result['width']:.3f} wide; the labels brought {result['change']:+.4f} Dice to "
        f"{result['before']:.4f}, {result['said']:+.4f} were expected, off by {result['error']:.4f}; "
        f"with all labels {oracle}"
    )


if __name__ == "__main__":
    main()
