"""What ``plan`` says a step takes, beside what ``train`` measures before step 0 and what its steps then take.

``python benchmarks/plan_estimate.py [DATA ...]``: on phantoms (3D, one class; 2D, two classes), and on each
folder that is given, written ``DATA`` or ``DATA:K`` for K labelled scans. Each is planned for every
``--budget``, and ``supervised`` begins to train by that plan and is stopped after a few steps.

* plan: the estimate, from the table's row for this machine, corrected by the measurement that is kept;
* train: what ``train`` says before step 0, by the clock;
* steps: the fastest of the steps that follow; with one thread its processor time, which is what it would take
  if nobody else were there. ``plan / steps`` is to be between 0.7 and 1.3.

``ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2`` before the command limits a processor with AVX512: the
first the convolutions (oneDNN), the second normalisation, activation and resampling (ATen). Matrix products
by MKL heed neither; our networks have none. ``--json`` prints one JSON line last.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from semivox.cohort.phantom import write_phantom_cohort
from semivox.commands.train import train
from semivox.duration import parse_duration
from semivox.errors import Stopped
from semivox.training.display import Silent


class Stopwatch(Silent):
    """Times steps, and stops the run after ``count`` of them."""

    def __init__(self, count: int) -> None:
        self.count, self.said = count, ""
        self.moments: list[tuple[float, float]] = []

    def say(self, text: str) -> None:
        self.said += text + "\n"

    detail = say

    def step(self, step: int, steps: int, record: dict[str, Any]) -> None:
        self.moments.append((time.perf_counter(), time.thread_time()))
        if step == self.count:
            os.kill(os.getpid(), signal.SIGTERM)


def measured(data: Path, labeled: str | None, budget: float, count: int, threads: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        watch = Stopwatch(count)
        with contextlib.suppress(Stopped):
            train(
                data, Path(folder) / "run", method="supervised", labeled=labeled, budget=budget,
                threads=threads, display=watch, cache=Path(tempfile.gettempdir()) / "plan_estimate",
            )  # fmt: skip
        plan = json.loads((Path(folder) / "run" / "plan.json").read_text())
    laps = [(b[0] - a[0], b[1] - a[1]) for a, b in zip(watch.moments, watch.moments[1:], strict=False)]
    told = re.search(r"for steps of (\S+) s each", watch.said)
    machine = re.search(r"GiB of memory \((.*?)\)", watch.said)
    assert told is not None
    assert machine is not None
    return {
        "machine": machine[1],
        "network": plan["network"]["kind"],
        "patch": plan["patch"],
        "batch": plan["batch"],
        "planned_steps": plan["steps"],
        "plan_s": plan["step_seconds"],
        "train_s": float(told[1]),
        "step_s": min(lap[0] for lap in laps),
        "step_cpu_s": min(lap[1] for lap in laps),
    }


def cohorts(folders: list[str], place: Path) -> Iterator[tuple[str, Path, str | None]]:
    yield "phantoms, 3D", write_phantom_cohort(place / "3d", labeled=4, unlabeled=6, test=1)[0], None
    flat = write_phantom_cohort(place / "2d", labeled=4, unlabeled=6, test=1, dims=2, classes=2)
    yield "phantoms, 2D", flat[0], None
    for folder in folders:
        data, _, labeled = folder.partition(":")
        yield Path(data).resolve().parent.name or data, Path(data), labeled or None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="*", help="DATA or DATA:LABELED")
    parser.add_argument("--budget", nargs="+", type=parse_duration, default=[120.0, 1200.0])
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    rows = []
    print(
        f"{'':16}{'budget':>8}  {'patch':16}{'plan':>8}{'train':>8}{'steps':>8}{'CPU':>8}{'plan / steps':>14}"
    )
    with tempfile.TemporaryDirectory() as place:
        for name, data, labeled in cohorts(a.data, Path(place)):
            for budget in a.budget:
                row = measured(data, labeled, budget, a.steps, a.threads)
                real = row["step_cpu_s"] if a.threads == 1 else row["step_s"]
                row |= {"data": name, "budget": budget, "ratio": row["plan_s"] / real}
                patch = " x ".join(map(str, row["patch"]))
                numbers = "".join(f"{row[k]:8.3f}" for k in ("plan_s", "train_s", "step_s", "step_cpu_s"))
                print(f"{name:16}{budget:8.0f}  {patch:16}{numbers}{row['ratio']:14.2f}", flush=True)
                rows.append(row)
    print(rows[0]["machine"])
    if a.json:
        print(json.dumps({"benchmark": "plan_estimate", "threads": a.threads, "rows": rows}))


if __name__ == "__main__":
    main()
