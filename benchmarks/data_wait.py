"""How much longer a real run takes than the same run on one cached batch.

``python benchmarks/data_wait.py DATA``: both take turns in one process; the ratio of the medians is
the claim. ``ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2`` before the command and ``--precision fp32``
behind it are a machine with AVX2 only. ``--json`` prints one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import torch

from semivox.batches import Augmentation, Batches, Crops
from semivox.cohort import load_cohort, split_cohort
from semivox.methods.catalog import load_method
from semivox.methods.declare import Facts, Method, Optimizer, Stage
from semivox.prepare import build_store, fingerprint, make_plan
from semivox.randomness import Key
from semivox.training.loop import Hooks, fit


class Cached:
    """The batch of step 0, again and again."""

    def __init__(self, batches: Batches) -> None:
        self.first = batches.batch(0)

    def batch(self, step: int) -> Mapping[str, Crops]:
        return self.first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--method", default="supervised")
    parser.add_argument("--labeled", default="8")
    parser.add_argument("--budget", type=float, default=1800.0, help="of the plan, seconds")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--steps", type=int, default=8, help="a turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()

    cohort = load_cohort(Path(a.data), a.labeled)
    split = split_cohort(cohort, a.labeled)
    plan = make_plan(fingerprint(cohort, split), a.budget)
    store = build_store(cohort, split, plan)
    method_class = load_method(a.method)
    facts = Facts(plan, a.steps, len(split.labeled), len(split.unlabeled), Key(0), a.precision)

    def real(stage: Stage) -> Batches:
        return Batches(store, stage.streams, plan.patch, Key(0), stage.name, Augmentation())

    def cached(stage: Stage) -> Cached:
        return Cached(real(stage))

    def run(cached_batch: bool) -> list[float]:
        method: Method = method_class(facts, method_class.Settings())
        laps = [0.0]
        fit(
            method,
            facts,
            cached if cached_batch else real,
            optimizer=Optimizer(),
            rebuild=lambda: method,
            paper_steps=6000,
            hooks=Hooks(progress=lambda step, record: laps.append(time.perf_counter())),
        )
        return [b - a for a, b in pairwise(laps[1:])]

    seconds: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(a.turns):
        for kind in (True, False):
            seconds[kind] += run(kind)[1:]
    real_s, cached_s = statistics.median(seconds[False]), statistics.median(seconds[True])
    result = {"method": a.method, "real_s": real_s, "cached_s": cached_s, "ratio": real_s / cached_s}
    print(f"{a.method}: {real_s:.3f} s a step, {cached_s:.3f} s cached: {real_s / cached_s:.3f} x")
    print(f"threads {torch.get_num_threads()}, patch {plan.patch}, batch {plan.batch}")
    if a.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
