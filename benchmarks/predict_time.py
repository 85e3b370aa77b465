"""Seconds to predict scans: this build, an earlier one and MONAI's sliding window, in turn.

``python benchmarks/predict_time.py RUN SCAN... --old SRC``: SRC is the source of an earlier build (``git
worktree add /tmp/old a3f26fa``, then ``--old /tmp/old/src``; without it its rows are left out). Each has a
process of its own, and they take turns; the fastest turn of each counts:

* new, old: ``predict_folder``, from the scans' files to those of the masks, and of it the network alone;
* monai: ``sliding_window_inference`` (overlap 0.5) in the place of our windows; the rest and the network are
  those of the earlier build, which leaves torch's convolutions as they are. Windows one by one, and four in a
  forward (monai4).

``ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2`` before the command limits all of them to AVX2.
``--json`` prints one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parents[1] / "src"
WINDOWS = {"monai": 1, "monai4": 4}
"""Windows in a forward."""


class Clock:
    """Adds up what lies between a network's call and its answer: seconds, and seconds of CPU."""

    def __init__(self, networks: Any) -> None:
        self.total, self.began = np.zeros(2), np.zeros(2)
        for network in networks:
            network.register_forward_pre_hook(self.start)
            network.register_forward_hook(self.stop)

    def start(self, *_: Any) -> None:
        self.began = clock()

    def stop(self, *_: Any) -> None:
        self.total = self.total + clock() - self.began


def clock() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def slide(windows: int) -> Any:
    """MONAI's window with the signature of ``predict_planned``."""
    import torch
    from monai.inferers import sliding_window_inference

    def predict(networks: Any, image: np.ndarray, plan: Any, *_: Any, **__: Any) -> Any:
        def softmax(x: torch.Tensor) -> torch.Tensor:
            return networks[0](x, norm="running").logits.softmax(1)

        with torch.inference_mode():
            x = torch.from_numpy(image)[None]
            return sliding_window_inference(x, plan.patch, windows, softmax, overlap=0.5)[0]

    return predict


def serve(a: argparse.Namespace) -> None:
    """A process that takes a turn for each line on standard input."""
    import torch

    from semivox.inference import folder, load_model

    torch.set_num_threads(a.threads)
    try:
        scans_of, native = (
            import_module("semivox.cohort.scans"),
            import_module("semivox.inference.native_grid"),
        )
    except ModuleNotFoundError:  # an earlier build
        scans_of, native = import_module("semivox.inference.scans"), import_module("semivox.inference.native")
    model = load_model(a.run, device="cpu", precision=a.precision, threads=a.threads)
    if a.worker in WINDOWS:
        native.predict_planned = slide(WINDOWS[a.worker])  # type: ignore[attr-defined]
    found = scans_of.find_scans(a.scans)
    network = Clock(model.networks)
    for line in sys.stdin:
        began, before = clock(), network.total
        report = folder.predict_folder(
            model, getattr(found, "cases", found), Path(line.strip()), folder.Wanted()
        )
        laps = {"files": list(clock() - began), "network": list(network.total - before)}
        failed = [row.reason for row in report.failed]
        print(json.dumps({**laps, "failed": failed, "precision": model.networks[0].precision}), flush=True)


class Worker:
    def __init__(self, kind: str, source: Path, folder: Path) -> None:
        command = [sys.executable, __file__, *sys.argv[1:], "--worker", kind]
        environment = {**os.environ, "PYTHONPATH": str(source)}
        self.out = folder / kind
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.turns: list[dict[str, Any]] = []

    def turn(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(self.out, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a worker ended early, with exit code {self.process.wait()}")
        answer = json.loads(line)
        if answer["failed"]:
            raise SystemExit(answer["failed"][0])
        self.turns.append(answer)

    def best(self, what: str) -> np.ndarray:
        """Of the turns after the first, which warms up: seconds, and seconds of CPU."""
        return np.min([turn[what] for turn in self.turns[1:]], axis=0)


def other_voxels(one: Path, other: Path) -> tuple[int, int]:
    """Voxels of the masks that differ, and all."""
    import nibabel as nib

    pairs = [
        [np.asarray(nib.load(f / path.name).dataobj) for f in (one, other)] for path in one.glob("*.nii.gz")
    ]
    return sum(int(np.count_nonzero(a != b)) for a, b in pairs), sum(a.size for a, _ in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("scans", nargs="+", help="in NIfTI")
    parser.add_argument("--old", type=Path, metavar="SRC")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of all of them")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", choices=("new", "old", *WINDOWS), help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.worker:
        serve(a)
        return
    old = a.old or HERE
    sources = {"new": HERE, **({"old": old} if a.old else {}), **dict.fromkeys(WINDOWS, old)}
    with tempfile.TemporaryDirectory() as folder:
        workers = {kind: Worker(kind, source.resolve(), Path(folder)) for kind, source in sources.items()}
        for _ in range(1 + a.turns):
            for worker in workers.values():
                worker.turn()
        for worker in workers.values():
            worker.process.communicate()
        result = table(workers, a)
    if a.json:
        print(json.dumps(result))


def table(workers: dict[str, Worker], a: argparse.Namespace) -> dict[str, Any]:
    new = workers["new"]
    result: dict[str, Any] = {"benchmark": "predict_time", "precision": new.turns[0]["precision"]}
    print(f"{len(a.scans)} scans, {result['precision']}, {a.threads} threads; {a.turns} turns, the fastest")
    heads = ("seconds", "CPU s", "network", "CPU s", "times", "network")
    print(f"{'':8}" + "".join(f"{head:>9}" for head in heads) + "  other voxels")
    for kind, worker in workers.items():
        files, network = worker.best("files"), worker.best("network")
        times, of_network = files[1] / new.best("files")[1], network[1] / new.best("network")[1]
        different, voxels = other_voxels(new.out, worker.out)
        numbers = "".join(f"{x:9.2f}" for x in (*files, *network))
        print(f"{kind:8}{numbers}{times:9.2f}{of_network:9.2f}{different:6} of {voxels}")
        result[kind] = {
            "files_s": files[0],
            "files_cpu_s": files[1],
            "network_s": network[0],
            "network_cpu_s": network[1],
            "times_cpu": times,
            "network_times_cpu": of_network,
            "other_voxels": different,
        }
    return result


if __name__ == "__main__":
    main()
