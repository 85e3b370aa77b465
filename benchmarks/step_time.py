"""Seconds of a training step: semivox's loop against the same mathematics written the obvious way.

``python benchmarks/step_time.py --method simcvd``: the papers' V-Net on 112 x 112 x 80 crops, 2 labelled,
2 unlabelled, in three processes that take turns (the twin of ``literal/``, semivox, semivox compiled). The
ratio of the medians is the claim, and each process tells its own peak of memory (on a GPU, of its tensors).
The batch is the same at every step and lies on the device: what loading costs is measured by
``data_wait.py``. ``--json`` prints one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from literal.training import AS_PUBLISHED, TWINS, trainer
from semivox.batches import Augmentation, Batches, Crops
from semivox.machine import freed_memory_kept
from semivox.methods.catalog import load_method
from semivox.methods.declare import Facts, Method, Optimizer, Stage
from semivox.prepare import Plan
from semivox.prepare.architecture import choose_network
from semivox.randomness import Key
from semivox.testing.memory_store import MemoryStore
from semivox.testing.synthetic import tiny_plan
from semivox.training.loop import Hooks, fit
from semivox.training.measured_settings import choose_precision

STAGE = {"bcp": "self_train"}
"""The stage that is timed, where a method has several."""


def the_plan(patch: tuple[int, ...], batch: tuple[int, int]) -> Plan:
    """The papers' V-Net (16 filters) on one channel and two classes."""
    plan = tiny_plan(3, 2, 1, patch=patch)
    return replace(plan, batch=batch, network=choose_network(patch, plan.spacing, "vnet"))


class Fixed:
    """The batch of step 0, again and again."""

    def __init__(self, batch: Mapping[str, Crops]) -> None:
        self.fixed = batch

    def batch(self, step: int) -> Mapping[str, Crops]:
        return self.fixed


def facts_and_stage(a: argparse.Namespace, precision: str) -> tuple[Facts, Method, Stage]:
    facts = Facts(the_plan(tuple(a.patch), tuple(a.batch)), 10_000, 2, 2, Key(0), precision)
    method_class = load_method(a.method)
    method: Method = method_class(facts, method_class.Settings(**AS_PUBLISHED.get(a.method, {})))
    stages = {stage.name: stage for stage in method.stages(facts)}
    stage = stages[STAGE.get(a.method, next(iter(stages)))]
    return facts, method, replace(stage, share=1.0)


def batches_of(facts: Facts, stage: Stage) -> Batches:
    store = MemoryStore(facts.plan, facts.labeled, facts.unlabeled, Key(0))
    return Batches(store, stage.streams, facts.plan.patch, Key(0), stage.name, Augmentation())


def as_tensors(batch: Mapping[str, Crops]) -> dict[str, torch.Tensor]:
    """What the twins take: crops, labels as class indices, distance maps."""
    labeled, unlabeled = batch["labeled"], batch["unlabeled"]
    assert labeled.target is not None
    found = {
        "image": torch.cat([labeled.views["weak"], unlabeled.views["weak"]]),
        "label": (labeled.target[:, 0] > 0.5).long(),
    }
    return found if labeled.sdm is None else {**found, "sdm": labeled.sdm}


def _resident_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Turns:
    """Asked for n steps at a time over standard input; answers with what each took."""

    def __init__(self, setup: Mapping[str, Any]) -> None:
        self.answer({"setup": setup})
        self.ask()

    def ask(self) -> None:
        line = sys.stdin.readline()
        self.left, self.laps = int(line or 0), list[tuple[float, float]]()
        self.start = (time.perf_counter(), time.process_time())

    def answer(self, record: Mapping[str, Any]) -> None:
        on_gpu = torch.cuda.is_initialized()
        kib = torch.cuda.max_memory_allocated() // 1024 if on_gpu else _resident_kib()
        print(json.dumps({**record, "peak_gib": kib / 2**20}), flush=True)

    def step_done(self) -> bool:
        """True when no more steps are wanted."""
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        now = (time.perf_counter(), time.process_time())
        self.laps.append((now[0] - self.start[0], now[1] - self.start[1]))
        self.start, self.left = now, self.left - 1
        if self.left == 0:
            self.answer({"laps": self.laps})
            self.ask()
        return self.left == 0


def run_literal(a: argparse.Namespace) -> None:
    facts, _, stage = facts_and_stage(a, "fp32")
    batch = {name: x.to(a.device) for name, x in as_tensors(batches_of(facts, stage).batch(0)).items()}
    step = trainer(TWINS[a.method]().to(a.device), batch)
    turns = Turns({})
    while turns.left:
        step()
        turns.step_done()


def run_semivox(a: argparse.Namespace, compiled: bool) -> None:
    facts, method, stage = facts_and_stage(a, "fp32")
    batches = batches_of(facts, stage)
    precision = a.precision
    if precision == "auto":

        def make(steps: int, precision: str) -> tuple[Facts, Method]:
            facts, method, _ = facts_and_stage(a, precision)
            return facts, method.to(a.device)

        precision, _ = choose_precision(make, lambda stage: batches, torch.device(a.device), math.inf)
    facts, method, stage = facts_and_stage(a, precision)
    method.to(a.device)
    fixed = Fixed({name: crops.to(torch.device(a.device)) for name, crops in batches.batch(0).items()})
    turns = Turns({"precision": precision})
    stopping = [turns.left == 0]

    def progress(step: int, record: object) -> None:
        stopping[0] = turns.step_done()

    with freed_memory_kept():  # as `train` does
        fit(
            method,
            facts,
            lambda stage: fixed,
            optimizer=Optimizer(),
            rebuild=lambda: method,
            paper_steps=6000,
            device=torch.device(a.device),
            hooks=Hooks(progress=progress, stop=lambda: stopping[0]),
            stages=[stage],
            compiled=compiled,
        )


WORKERS: dict[str, Callable[[argparse.Namespace], None]] = {
    "literal": run_literal,
    "semivox": lambda a: run_semivox(a, compiled=False),
    "compiled": lambda a: run_semivox(a, compiled=True),
}


class Worker:
    """A process of its own, so that its memory is its own."""

    def __init__(self, kind: str) -> None:
        command = [sys.executable, __file__, *sys.argv[1:], "--worker", kind]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.laps: list[tuple[float, float]] = []
        self.setup = self.read()["setup"]

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a worker ended early, with exit code {self.process.wait()}")
        record: dict[str, Any] = json.loads(line)
        self.peak_gib = record["peak_gib"]
        return record

    def steps(self, n: int) -> list[tuple[float, float]]:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{n}\n")
        self.process.stdin.flush()
        return [tuple(lap) for lap in self.read()["laps"]]

    def end(self) -> None:
        self.process.communicate("0\n")

    def seconds(self, clock: int) -> float:
        return statistics.median(lap[clock] for lap in self.laps)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--method", default="simcvd", choices=sorted(TWINS))
    parser.add_argument("--patch", type=int, nargs=3, default=(112, 112, 80))
    parser.add_argument("--batch", type=int, nargs=2, default=(2, 2), help="labelled and unlabelled crops")
    parser.add_argument("--steps", type=int, default=2, help="a turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--precision", default="auto", choices=["auto", "bf16", "fp32"])
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", choices=sorted(WORKERS), help=argparse.SUPPRESS)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    if a.worker:
        WORKERS[a.worker](a)
        return

    kinds = ["literal", "semivox"] if a.no_compile else ["literal", "semivox", "compiled"]
    workers = {kind: Worker(kind) for kind in kinds}
    for worker in workers.values():
        first = worker.steps(1)[0]  # to warm up; it compiles, too
        worker.setup["first_step_s"] = round(first[0], 2)
    for _ in range(a.turns):
        for worker in workers.values():
            worker.laps += worker.steps(a.steps)
    for worker in workers.values():
        worker.end()

    literal = workers["literal"]
    result: dict[str, Any] = {"method": a.method, "patch": a.patch, "batch": a.batch, "threads": a.threads}
    print(f"{a.method}: patch {a.patch}, batch {a.batch}, {a.threads} threads, {a.turns} turns of {a.steps}")
    print(f"{'':10}{'s a step':>10}{'CPU s':>10}{'faster':>8}{'by CPU':>8}{'peak GiB':>10}  first step")
    for kind, worker in workers.items():
        wall, cpu = worker.seconds(0), worker.seconds(1)
        ratios = literal.seconds(0) / wall, literal.seconds(1) / cpu
        result |= {f"{kind}_s": wall, f"{kind}_cpu_s": cpu, f"{kind}_peak_gib": worker.peak_gib}
        name = {"literal": None, "semivox": "ratio", "compiled": "compiled_ratio"}[kind]
        if name:
            result |= {name: ratios[0], f"cpu_{name}": ratios[1], f"{kind}_setup": worker.setup}
        print(
            f"{kind:10}{wall:10.2f}{cpu:10.2f}{ratios[0]:8.2f}{ratios[1]:8.2f}{worker.peak_gib:10.2f}"
            f"  {worker.setup['first_step_s']:.1f} s {worker.setup.get('precision', 'fp32')}"
        )
    if a.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
