"""Runs of every method, as one process of several: ``python process_jobs.py FOLDER RANK RANKS``.

Run by test_processes.py, which also imports it, to make the same runs in one process. FOLDER is where the
processes meet, keep their pseudo-labels and leave what came out: ``RANK.pt``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from semivox.methods.catalog import CATALOG, load_method
from semivox.testing.shared_runs import run_in_float64
from semivox.training.processes import Processes, join, leave

Job = Callable[..., dict[str, Tensor]]


def _job(name: str) -> Job:
    dims = 3 if name in ("cvrl", "urpc", "bcp") else 2
    # dtc's sigmoid is so steep (1500) that at 0.1 the last bit of one weight, changed in one process, becomes
    # 4e-3 after 20 steps, and at its paper's 0.01 still 2e-8
    lr = 0.001 if name == "dtc" else 0.1
    return partial(run_in_float64, load_method(name), dims=dims, lr=lr)


MCNET = Path(__file__).resolve().parents[2] / "docs" / "examples" / "mcnet.py"

JOBS: dict[str, Job] = {
    **{name: _job(name) for name in CATALOG},
    # 3 rows for 2 processes; of the one unlabelled crop the second process has none
    "uneven": partial(run_in_float64, load_method("simcvd"), dims=3, batch=(2, 1)),
    # a single row: the second process has none at all
    "nothing": partial(run_in_float64, load_method("supervised"), batch=(1, 0)),
    # a user's: networks changed after they were built, a module that two of them hold
    "mcnet": partial(run_in_float64, load_method(f"{MCNET}:MCNet")),
    "warm_up": partial(run_in_float64, load_method("mean_teacher"), warm_up=0.5),
}


def all_jobs(processes: Processes, folder: Path) -> dict[str, dict[str, Tensor]]:
    return {name: job(folder / name, processes) for name, job in JOBS.items()}


def main(folder: Path, rank: int, ranks: int) -> None:
    torch.set_num_threads(1)
    processes = join(rank, ranks, rank, ranks, torch.distributed.FileStore(str(folder / "meet"), ranks))
    torch.save(all_jobs(processes, folder), folder / f"{rank}.pt")
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
