"""How long a fresh process takes: ``semivox --help``, and ``semivox predict`` of one small volume.

``python benchmarks/startup.py``: each turn starts every process once, and medians of their wall time are
printed; ``import torch`` alone is what a prediction cannot go below. The run is a V-Net as the papers have
it, with random weights, and the volume 64 x 64 x 48 voxels. ``--json`` prints one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SHAPE = (64, 64, 48)


def write_run_and_scan(folder: Path) -> tuple[Path, Path]:
    import nibabel as nib
    import numpy as np

    from semivox.cohort.case import Cohort
    from semivox.inference import export_model
    from semivox.networks import build_network
    from semivox.prepare.architecture import choose_network
    from semivox.prepare.plan import ChannelPlan, ClassPlan, Plan
    from semivox.randomness import Key

    spacing = (1.0, 1.0, 1.0)
    network = choose_network(SHAPE, spacing, "vnet")
    plan = Plan(
        3, (0, 1, 2), spacing, spacing, True, 1.0, SHAPE, SHAPE, (2, 2), network,
        (ChannelPlan("MRI", "zscore"),), (ClassPlan(1, "organ", 1000.0, 1.0),), None, 1.0, None, (),
    )  # fmt: skip
    cohort = Cohort(folder, (), ("MRI",), {1: "organ"})
    run = folder / "run"
    built = build_network(network, 1, 2, Key(0))
    export_model(run, {"teacher": built}, ["teacher"], plan, cohort, method="supervised", steps=1, seed=0)
    voxels = np.random.default_rng(0).normal(100, 20, SHAPE).astype(np.float32)
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), folder / "scan.nii.gz")
    return run, folder / "scan.nii.gz"


def lap(command: list[str]) -> tuple[float, float]:
    """Seconds on the clock and of CPU, from start to exit."""
    began, before = time.perf_counter(), cpu_of_children()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
    return time.perf_counter() - began, cpu_of_children() - before


def cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, scan = write_run_and_scan(folder)
        python = sys.executable
        predict = ["predict", str(run), str(scan), "--out", str(folder / "masks")]
        commands = {
            "python": [python, "-c", "pass"],
            "help": [python, "-m", "semivox", "--help"],
            "import torch": [python, "-c", "import torch"],
            "predict": [python, "-m", "semivox", *predict],
        }
        laps: dict[str, list[tuple[float, float]]] = {what: [] for what in commands}
        for turn in range(a.turns + 1):
            for what, command in commands.items():
                seconds = lap(command)
                if turn:  # the first warms the disk's cache
                    laps[what].append(seconds)
    wall = {what: statistics.median(s for s, _ in of_one) for what, of_one in laps.items()}
    cpu = {what: statistics.median(s for _, s in of_one) for what, of_one in laps.items()}
    print(f"{'':14}{'seconds':>9}{'most':>9}{'CPU s':>9}")
    for what in commands:
        print(f"{what:14}{wall[what]:9.2f}{max(laps[what])[0]:9.2f}{cpu[what]:9.2f}")
    over_torch = wall["predict"] / wall["import torch"]
    print(f"predict takes {over_torch:.2f} times as long as `import torch`")
    result: dict[str, Any] = {"benchmark": "startup", "turns": a.turns, "predict_over_torch": over_torch}
    for what in commands:
        name = what.replace(" ", "_")
        result |= {f"{name}_s": wall[what], f"{name}_cpu_s": cpu[what]}
    if a.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
