"""Several rounds of drawing by each score of ``semivox rank``, against lots, from many first sets.

``python benchmarks/rank_rounds.py DATA DEV --labeled 8 --add 8 --rounds 3 --draws 10 --steps 300 --out DIR``:
each draw begins with a random labelled set. From there a chain goes on for each score: train, rank, add the
scans that it chooses, train again. ``plain`` adds by lot whatever scan; ``random`` is rank's own lot among
the scans in which something is found, which is what a score has to beat. All trainings have one plan and
number of steps. Chains run side by side, each resumable; ``--stop-after`` ends with what there is. A line of
DIR/results.jsonl is a training, measured on DEV. DATA needs a label file for each case.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from equal_runs import Trial, carry_out, hand_over, of_cases, one_plan
from in_time import Commands, add_options
from rank_proof import interval
from semivox.cohort import load_cohort
from semivox.evaluation import paired_difference
from semivox.files import write_text

PLAIN, BEATEN = "plain", "random"
SCORES = (PLAIN, BEATEN, "combined", "stratified")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("dev")
    parser.add_argument("--labeled", required=True, help="K scans, or Kp patients, of the first sets")
    parser.add_argument("--add", type=int, default=8, help="scans, or patients, that a round adds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--scores", nargs="*", default=list(SCORES))
    add_options(parser)
    a = parser.parse_args()
    commands, plan = Commands(a.stop_after, a.workers), one_plan(a, f"{a.labeled}@0")
    carry_on(a, commands, plan)
    rows = results(a)
    result = {"data": a.data, "steps": a.steps, "draws": a.draws, "rounds": summary(a, rows)}
    hand_over(a, rows, result, told(result))


def carry_on(a: argparse.Namespace, commands: Commands, plan: Path) -> None:
    """Round after round, of all chains: what a round needs is there when it begins."""
    for number in range(a.rounds + 1):
        chains = chains_of(a, number)
        choices = (choose_words(a, draw, score, number) for draw, score in chains)
        if not commands.run([words for words in choices if words]):
            return
        if not carry_out(commands, [trial_of(a, draw, score, number) for draw, score in chains], plan):
            return


def chains_of(a: argparse.Namespace, number: int) -> list[tuple[int, str]]:
    """Draws and scores; round 0 is of all scores of a draw."""
    return [(draw, score) for draw in range(a.draws) for score in (a.scores if number else [PLAIN])]


def folder_of(a: argparse.Namespace, draw: int, score: str, number: int) -> Path:
    return Path(a.out / f"draw{draw}" / (f"{score}/{number}" if number else "first"))


def trial_of(a: argparse.Namespace, draw: int, score: str, number: int) -> Trial:
    folder, unit = folder_of(a, draw, score, number), "p" if a.labeled.endswith("p") else ""
    labeled = f"{int(a.labeled.removesuffix('p')) + number * a.add}{unit}@{draw}"
    if number and score != PLAIN:
        named = folder / "ranking/next_labeled.txt"
        labeled = str(whole_patients(Path(a.data), named) if unit and named.exists() else named)
    return Trial(a, Path(a.data), labeled, folder, draw)


def whole_patients(data: Path, named: Path) -> Path:
    """The scans that are named, and all others of their patients, as a file beside."""
    cases, path = load_cohort(data).cases, named.with_name("whole_patients.txt")
    names = {line for line in named.read_text(encoding="utf-8").splitlines() if not line.startswith("#")}
    patients = {case.group for case in cases if case.name in names}
    write_text(path, "".join(f"{case.name}\n" for case in cases if case.group in patients))
    return path


def choose_words(a: argparse.Namespace, draw: int, score: str, number: int) -> list[str] | None:
    """``rank`` by the run of the round before; lots of any scan need none."""
    ranking = folder_of(a, draw, score, number) / "ranking"
    if not number or score == PLAIN or (ranking / "next_labeled.txt").exists():
        return None
    run = folder_of(a, draw, score, number - 1) / "run"
    return [
        "-m", "semivox", "rank", str(run), a.data, "--score", score, "--top", str(a.add),
        "--seed", str(draw), "--out", str(ranking), "--device", a.device, "--threads", "1",
    ]  # fmt: skip


def results(a: argparse.Namespace) -> list[dict[str, Any]]:
    """A row a training that is measured."""
    rows = []
    for number in range(a.rounds + 1):
        for draw, score in chains_of(a, number):
            if (row := trial_of(a, draw, score, number).row()) is not None:
                rows.append({"draw": draw, "round": number, "score": score if number else "first", **row})
    return rows


def summary(a: argparse.Namespace, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each round and score the Dice, and its difference to ``random`` over the draws that both have."""
    found = []
    for number in range(a.rounds + 1):
        by_score: dict[str, dict[int, Mapping[str, Any]]] = {}
        for row in rows:
            if row["round"] == number:
                by_score.setdefault(row["score"], {})[row["draw"]] = row
        beaten = by_score.get(BEATEN, {})
        for score, of in by_score.items():
            both = sorted({*of} & {*beaten}) if score != BEATEN else []
            pairs = [[of_cases([side[draw]]) for draw in both] for side in (of, beaten)]
            found.append(
                {
                    "round": number,
                    "score": score,
                    "labels": statistics.fmean(len(row["cases"]) for row in of.values()),
                    "dice": statistics.fmean(row["dice"] for row in of.values()),
                    "draws": len(of),
                    "difference": paired_difference(*pairs) if both else None,
                }
            )
    return found


def told(result: Mapping[str, Any]) -> str:
    lines = ["| round | score | labels | draws | Dice | to random |", "|---|---|---|---|---|---|"]
    for row in result["rounds"]:
        difference = row["difference"]
        to = f"{difference['mean']:+.4f} {interval(difference['ci95'])}" if difference else ""
        dice = f"{row['dice']:.4f}"
        lines.append(
            f"| {row['round']} | {row['score']} | {row['labels']:.3g} | {row['draws']} | {dice} | {to} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
