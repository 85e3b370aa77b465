"""How soon a segmenter is good: this build and an earlier one in turn, from the start of the command.

``python benchmarks/time_to_dice.py --old SRC [--data FOLDER] [--rows NAME ...]``: SRC is the source of an
earlier build (``git worktree add /tmp/old a3f26fa``, then ``--old /tmp/old/src``); FOLDER holds ``la``,
``hippocampus`` and ``acdc``, each with ``train`` and ``dev``, without it the phantoms alone are run. Each
build trains ``supervised`` with the same labels and the same budget, the builds take turns, and at ten times
of each run the Dice of held-out cases is measured. The time of these measurements is not counted; that of
everything else is, from the start of the process on: importing, reading, preparing, choosing.

Two clocks are shown to the first time with a Dice above the mark: seconds, and seconds of the processor. The
budget is one of the clock, so a machine that others use gives both builds fewer steps; run it on a quiet one.
``ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2`` before the command limits both builds to AVX2. ``--json``
prints one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1] / "src"


@dataclass(frozen=True)
class Row:
    """What is learned: ``labeled`` scans of ``data``, for ``budget``, to a Dice of each of ``marks``."""

    data: str
    labeled: str | None
    budget: str
    marks: tuple[float, ...]


ROWS = {
    "phantoms": Row("phantoms", None, "75s", (0.85,)),
    "hippocampus": Row("hippocampus", "15", "5m", (0.80,)),
    "acdc": Row("acdc", "3p", "20m", (0.50,)),
    "la": Row("la", "8", "20m", (0.85, 0.88)),
}


class Clocks:
    """Seconds since this process began, of the clock and of the processor, without what was ``left_out``."""

    def __init__(self) -> None:
        import psutil

        self.began = time.perf_counter() - (time.time() - psutil.Process().create_time())
        self.left_out = [0.0, 0.0]

    def now(self) -> list[float]:
        told = time.perf_counter() - self.began, time.process_time()
        return [seconds - out for seconds, out in zip(told, self.left_out, strict=True)]

    def leave_out(self, function: Any, tell: bool) -> Any:
        """``function``, whose time does not count; ``tell``: and whose answer is printed with the time."""

        def called(*arguments: Any, **named: Any) -> Any:
            before = self.now()
            answer = function(*arguments, **named)
            self.left_out = [out + b - a for out, a, b in zip(self.left_out, before, self.now(), strict=True)]
            if tell:
                dice = answer.get("foreground", next(iter(answer.values())))
                print(json.dumps({"clock": before[0], "cpu": before[1], "dice": dice}), flush=True)
            return answer

        return called


def serve(line: Sequence[str]) -> None:
    """A training in this process, under the names that its build has."""
    clocks = Clocks()
    try:
        watch = import_module("semivox.runs.watch").Watch
    except ModuleNotFoundError:  # an earlier build
        watch = import_module("semivox.commands.watch").Watch
    watch.__init__ = clocks.leave_out(watch.__init__, tell=False)
    watch.measure = clocks.leave_out(watch.measure, tell=True)
    raise SystemExit(import_module("semivox.cli").main(["train", *line]))


def train(source: Path, row: Row, data: Path, threads: int) -> list[dict[str, float]]:
    """The moments of one training, with nothing prepared before."""
    with tempfile.TemporaryDirectory() as folder:
        line = [
            str(data / "train"),
            "--out",
            f"{folder}/run",
            "--method",
            "supervised",
            "--budget",
            row.budget,
        ]
        line += ["--threads", str(threads), "--cache", f"{folder}/cache"]
        line += [] if row.labeled is None else ["--labeled", row.labeled]
        held_out = data / ("dev" if (data / "dev").is_dir() else "test")
        done = subprocess.run(
            [sys.executable, __file__, "--serve", *line, "--watch", str(held_out)],
            env={**os.environ, "PYTHONPATH": str(source)}, capture_output=True, text=True,
        )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    return [json.loads(text) for text in done.stdout.splitlines() if text.startswith("{")]


def reached(moments: Sequence[dict[str, float]], mark: float) -> dict[str, float] | None:
    return next((moment for moment in moments if moment["dice"] >= mark), None)


def measured(name: str, data: Path, a: argparse.Namespace) -> list[dict[str, Any]]:
    """A line for each mark, from ``--turns`` trainings of each build."""
    row, sources = ROWS[name], {"old": a.old, "new": HERE}
    runs: dict[str, list[list[dict[str, float]]]] = {build: [] for build in sources}
    for _ in range(a.turns):
        for build, source in sources.items():
            runs[build].append(train(source.resolve(), row, data, a.threads))
    rows = []
    for mark in row.marks:
        found: dict[str, Any] = {"data": name, "mark": mark}
        for build, of_build in runs.items():
            moments = [reached(run, mark) for run in of_build]
            for clock in ("clock", "cpu"):
                seconds = [moment[clock] for moment in moments if moment]
                whole = len(seconds) == len(moments)
                found[f"{build}_{clock}_s"] = statistics.median(seconds) if whole else None
            found[f"{build}_last_dice"] = [run[-1]["dice"] for run in of_build]
        old, new = found["old_cpu_s"], found["new_cpu_s"]
        found["new_over_old"] = new / old if new and old else None
        rows.append(found)
    return rows


def say(row: dict[str, Any]) -> None:
    def seconds(key: str) -> str:
        return "never" if row[key] is None else f"{row[key]:.0f}"

    last = {b: ", ".join(f"{dice:.3f}" for dice in row[f"{b}_last_dice"]) for b in ("old", "new")}
    ratio = "" if row["new_over_old"] is None else f"{row['new_over_old']:.2f}"
    clocks = "".join(f"{seconds(f'{b}_{c}_s'):>9}" for b in ("old", "new") for c in ("clock", "cpu"))
    print(f"{row['data']:12}{row['mark']:6.2f}{clocks}{ratio:>11}  {last['old']} | {last['new']}", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2:])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--old", type=Path, required=True, metavar="SRC")
    parser.add_argument("--data", type=Path, metavar="FOLDER")
    parser.add_argument("--rows", nargs="+", choices=ROWS)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    rows = []
    print(
        f"{'':12}{'Dice':>6}{'old s':>9}{'CPU':>9}{'new s':>9}{'CPU':>9}{'CPU, times':>11}  Dice at the end"
    )
    with tempfile.TemporaryDirectory() as place:
        for name in a.rows or (list(ROWS) if a.data else ["phantoms"]):
            if name == "phantoms":
                from semivox.cohort.phantom import write_phantom_cohort

                write_phantom_cohort(Path(place) / name, labeled=4, unlabeled=20, test=8, seed=0)
            elif a.data is None:
                parser.error(f"{name} wants --data")
            for row in measured(name, (Path(place) if name == "phantoms" else a.data) / name, a):
                say(row)
                rows.append(row)
    if a.json:
        print(json.dumps({"benchmark": "time_to_dice", "threads": a.threads, "rows": rows}))


if __name__ == "__main__":
    main()
