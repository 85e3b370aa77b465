"""Do several processes take the steps of one, and how fast? One machine's cores, or its GPUs, shared by N.

``python benchmarks/scaling.py``: first every method's weights after 20 steps in float64, in one process and
in N (the largest difference is the claim); then the seconds of a step on the papers' V-Net with the same
global batch, one process and N taking turns, each process with its share of the cores. ``--json`` prints one
JSON line last. It starts itself as the other processes; nothing is downloaded.
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
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from semivox.batches import Augmentation, Batches
from semivox.methods.catalog import CATALOG, load_method
from semivox.methods.declare import Facts, Optimizer, Stage
from semivox.prepare import Plan
from semivox.prepare.architecture import choose_network
from semivox.randomness import Key
from semivox.testing.memory_store import MemoryStore
from semivox.testing.shared_runs import run_in_float64
from semivox.testing.synthetic import tiny_plan
from semivox.training.loop import Hooks, fit
from semivox.training.processes import ALONE, Processes, join, leave

GENTLE = {"dtc": 1e-3}
"""Learning rate of methods in which rounding grows by orders of magnitude a step at the usual one."""


def final_states(a: argparse.Namespace, processes: Processes, folder: Path) -> dict[str, Any]:
    return {
        name: run_in_float64(load_method(name), folder / name, processes, lr=GENTLE.get(name, 0.1))
        for name in a.methods
    }


def seconds_a_step(a: argparse.Namespace, processes: Processes) -> list[float]:
    """Of ``steps`` steps after one to warm up."""
    plan: Plan = tiny_plan(3, 2, 1, patch=tuple(a.patch))
    plan = replace(plan, batch=tuple(a.batch), network=choose_network(plan.patch, plan.spacing, "vnet"))
    device = processes.device(a.device)
    torch.set_num_threads(processes.threads)
    kind = load_method(a.time)
    facts = Facts(plan, a.steps + 1, 2, 4, Key(0), a.precision)
    method = kind(facts, kind.Settings()).to(device)
    store = MemoryStore(plan, 2, 4, Key("drawn"))
    for case in (*store.labeled, *store.unlabeled):
        _ = store.case(case).body

    def source(stage: Stage) -> Batches:
        return Batches(
            store, stage.streams, plan.patch, Key(0), stage.name, Augmentation(), shard=processes.place
        )

    def lap(step: int, record: Mapping[str, Any]) -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        laps.append(time.perf_counter())

    laps: list[float] = []
    fit(
        method, facts, source, optimizer=Optimizer(), rebuild=lambda: method, paper_steps=6000, device=device,
        hooks=Hooks(progress=lap), processes=processes,
    )  # fmt: skip
    return [b - a for a, b in pairwise(laps)]


def work(a: argparse.Namespace, what: str, processes: Processes, folder: Path) -> Any:
    return final_states(a, processes, folder) if what == "equal" else seconds_a_step(a, processes)


def together(a: argparse.Namespace, what: str) -> Any:
    """``work`` in ``a.devices`` processes; what the first one found."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, *sys.argv[1:], "--as", what, folder]
        started = [subprocess.Popen([*command, str(rank)]) for rank in range(a.devices)]
        codes = [process.wait() for process in started]
        if any(codes):
            raise SystemExit(f"processes ended with {codes}")
        return torch.load(Path(folder) / "found.pt", weights_only=True)


def as_one_of_several(a: argparse.Namespace) -> None:
    what, folder, rank = a.process[0], Path(a.process[1]), int(a.process[2])
    store = torch.distributed.FileStore(str(folder / "meet"), a.devices)
    processes = join(rank, a.devices, rank, a.devices, store)
    if what == "equal":
        torch.set_num_threads(processes.threads)
    found = work(a, what, processes, folder)
    if processes.first:
        torch.save(found, folder / "found.pt")
    leave()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--methods", type=lambda text: text.split(","), default=list(CATALOG))
    parser.add_argument("--time", default="mean_teacher", help="the method that is timed")
    parser.add_argument("--patch", type=int, nargs=3, default=[64, 64, 48])
    parser.add_argument("--batch", type=int, nargs=2, default=[2, 2])
    parser.add_argument("--steps", type=int, default=5, help="a turn")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--as", dest="process", nargs=3, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.process:
        as_one_of_several(a)
        return

    gaps: dict[str, float] = {}
    if a.methods != [""]:
        several = together(a, "equal")
        with tempfile.TemporaryDirectory() as folder:
            one = final_states(a, ALONE, Path(folder))
        for name in a.methods:
            gaps[name] = max(float((one[name][k] - several[name][k]).abs().max()) for k in one[name])
            print(f"{name}: {gaps[name]:.1e} after 20 steps")
    seconds: dict[int, list[float]] = {1: [], a.devices: []}
    for _ in range(a.turns):
        seconds[1] += work(a, "time", ALONE, Path())
        seconds[a.devices] += together(a, "time")
    medians = {n: statistics.median(each) for n, each in seconds.items()}
    result = {
        "largest_gap": max(gaps.values(), default=None),
        "gaps": gaps,
        "devices": a.devices,
        "method": a.time,
        "patch": a.patch,
        "batch": a.batch,
        "precision": a.precision,
        "device": a.device,
        "cores": os.cpu_count(),
        "one_s": medians[1],
        "several_s": medians[a.devices],
        "speed_up": medians[1] / medians[a.devices],
    }
    print(
        f"{a.time}: {medians[1]:.3f} s a step in one process, {medians[a.devices]:.3f} s in {a.devices}: "
        f"{result['speed_up']:.2f} x"
    )
    if a.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
