"""The engines of ``--on`` on this machine, for benchmarks, and what can be killed of them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import semivox
from semivox.cohort.phantom import write_phantom_cohort

SMALL = {
    "plan.patch": [32, 32],
    "plan.batch": [1, 1],
    "run.precision": "fp32",
    "run.threads": 1,
    "plan.rung": 1,
}
CLUSTER = Path(__file__).resolve().parents[1] / "tests" / "engines" / "conftest.py"


@dataclass(frozen=True)
class Place:
    """``on``: as ``--on`` has it. ``workers`` are those of the process that was asked; ``lose_a_node`` takes
    one away and brings another."""

    on: str
    workers: Callable[[psutil.Process], list[psutil.Process]]
    lose_a_node: Callable[[], None] | None = None


def _with(words: Sequence[str], among: Iterator[psutil.Process]) -> list[psutil.Process]:
    found = []
    for each in among:
        try:
            line = " ".join(each.cmdline())
        except psutil.Error:
            continue
        if all(word in line for word in words):
            found.append(each)
    return found


@contextmanager
def local(workers: int = 2) -> Iterator[Place]:
    yield Place(f"local:{workers}", lambda asked: _with(["semivox.engines.worker"], iter(asked.children())))


@contextmanager
def ray(workers: int = 2) -> Iterator[Place]:
    """A node for each worker."""
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {"HOME": home, "RAY_USAGE_STATS_ENABLED": "0"}  # Ray keeps a token there
        from ray.cluster_utils import Cluster

        memory = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **memory})
        more = [cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20) for _ in range(workers - 1)]
        cluster.wait_for_nodes()

        def lose_a_node() -> None:
            cluster.remove_node(more.pop(0), allow_graceful=False)
            more.append(cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20))

        def found(asked: psutil.Process) -> list[psutil.Process]:
            return _with(["ray::_do_text"], iter(psutil.Process().children(recursive=True)))

        try:
            yield Place(f"ray:{cluster.address}", found, lose_a_node)
        finally:
            cluster.shutdown()


@contextmanager
def slurm(workers: int = 2) -> Iterator[Place]:
    """The one node of the tests, which has two cores."""
    spec = importlib.util.spec_from_file_location("slurm_of_tests", CLUSTER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with tempfile.TemporaryDirectory() as folder:
        running = module._running(Path(folder))
        next(running)
        node = subprocess.run(["sinfo", "-h", "-o", "%n"], capture_output=True, text=True, check=True).stdout

        def lose_a_node() -> None:
            for state in (("State=DOWN", "Reason=lost"), ("State=RESUME",)):
                command = ["scontrol", "update", f"NodeName={node.split()[0]}", *state]
                subprocess.run(command, check=True, capture_output=True)

        def found(asked: psutil.Process) -> list[psutil.Process]:
            words = asked.cmdline()
            return _with(["semivox.engines.worker", words[words.index("--out") + 1]], psutil.process_iter())

        try:
            yield Place("slurm:day", found, lose_a_node)
        finally:
            next(running, None)


ENGINES: dict[str, Callable[..., Any]] = {"local": local, "ray": ray, "slurm": slurm}


def prepare(place: Path, scans: int) -> None:
    """``train`` and ``test``, a small cohort; ``run``, a model of it; ``scans``, copies of one."""
    train, test = write_phantom_cohort(place / "phantom", labeled=2, unlabeled=2, test=2, dims=2)
    train.rename(place / "train")
    test.rename(place / "test")
    semivox.train(place / "train", place / "run", method="supervised", steps=2, settings=SMALL)
    (place / "scans").mkdir()
    found = sorted((place / "test/imagesTr").iterdir())
    ending = "".join(found[0].suffixes)
    for i in range(scans):
        shutil.copy(found[i % len(found)], place / f"scans/case{i:04}_0000{ending}")


def predict(place: Path, out: Path, on: str, scans: int | None = None) -> list[str]:
    """The command. ``scans``: how many of them."""
    some = sorted((place / "scans").iterdir())[:scans]
    given = [str(place / "scans")] if scans is None else [str(path) for path in some]
    more = ["--threads", "1", "--skip-existing", "--on", on]
    return [sys.executable, "-m", "semivox", "predict", str(place / "run"), *given, "--out", str(out), *more]


def compare(place: Path, out: Path, on: str, cells: int, steps: int) -> list[str]:
    """The command; half of the cells of either method."""
    sets = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    seeds = ",".join(map(str, range(cells // 2)))
    more = ["--labeled", "2", "--seeds", seeds, "--steps", str(steps), "--threads", "1", "--on", on, *sets]
    return [
        *(sys.executable, "-m", "semivox", "compare", str(place / "train"), "--test", str(place / "test")),
        *("--methods", "supervised,mean_teacher", "--out", str(out), *more),
    ]
