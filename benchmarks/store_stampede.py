"""Many workers want the same prepared scans at once: is each made once, does anybody wait, what does it take?

    OMP_NUM_THREADS=1 python benchmarks/store_stampede.py --scans 10000 --workers 20 [--kill 5] [--json]

Each worker is a process that asks for the whole store, as ``train`` does, and all begin together in an empty
one. Scans are small volumes, each with voxels of its own. ``idle`` is the longest that a worker found nothing
to make; ``--kill`` kills so many workers, spread over the work, and others take over. What is made is written
down by who makes it, the killed ones too; peak memory is the largest of all, by the system's count (Linux).
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from resident import resident

SIDE, LABELED, MADE = 16, 8, "made.txt"


def make_scans(folder: Path, scans: int) -> None:
    """``images/`` and ``labels/`` of noise around a box."""
    import nibabel as nib
    import numpy as np

    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    label = np.zeros((SIDE,) * 3, np.uint8)
    label[4:10, 4:10, 4:10] = 1
    for i in range(scans):
        voxels = np.random.default_rng(i).integers(0, 200, label.shape, np.int16) + 100 * label
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), folder / f"images/case{i:06}.nii")
        if i < LABELED:
            nib.save(nib.Nifti1Image(label, np.eye(4)), folder / f"labels/case{i:06}.nii")


def work(data: Path, cache: Path) -> dict[str, Any]:
    """In a worker, which has the plan and waits for the others before it begins."""
    from semivox.cohort import load_cohort, split_cohort
    from semivox.prepare import build_store, plan_from_json, shares

    cohort = load_cohort(data)
    split, plan = split_cohort(cohort, None), plan_from_json(cache / "plan.json")
    made, idle, build, sleep = [0], [0.0], shares.build_entry, time.sleep

    def counted(job: Any) -> Any:
        entry = build(job)
        made[0] += 1
        with (cache / MADE).open("a") as file:  # a line is appended whole
            file.write(f"{job.folder}\n")
        return entry

    def waited(seconds: float) -> None:
        idle[0] += seconds
        sleep(seconds)

    shares.build_entry, shares.time.sleep = counted, waited  # type: ignore[attr-defined]
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    store = build_store(cohort, split, plan, cache, workers=1)
    seconds = time.perf_counter() - began
    peak = resident("VmHWM") / 2**20
    found = {"made": made[0], "idle": idle[0], "seconds": seconds, "cpu": time.process_time()}
    return {**found, "peak_mib": peak, "disk_mib": store.disk_bytes / 2**20, "cases": len(store.cases)}


def started(data: Path, cache: Path) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, "--work", str(data), str(cache)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def count(lines: Path) -> int:
    return lines.read_bytes().count(b"\n") if lines.exists() else 0


def together(data: Path, cache: Path, workers: int, kill: int) -> dict[str, Any]:
    """One line of the table."""
    all_of_them = [started(data, cache) for _ in range(workers)]
    for process in all_of_them:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    began = time.perf_counter()
    for process in all_of_them:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    draw, scans = random.Random(0), len(list((data / "images").iterdir()))
    for number in range(kill):
        while count(cache / MADE) < scans * (number + 1) / (kill + 1):
            time.sleep(0.05)
        alive = [process for process in all_of_them if process.poll() is None]
        if len(alive) > 1:
            draw.choice(alive).kill()
    told = [process.communicate()[0] for process in all_of_them]
    rows = [json.loads(text) for text in told if text.strip()]
    entries = sum(1 for kind in ("images", "targets") for _ in (cache / kind).glob("[0-9a-f]*"))
    lines = (cache / MADE).read_text().splitlines()
    return {
        "workers": workers,
        "killed": workers - len(rows),
        "entries": entries,
        "made": len(lines),
        "made twice": len(lines) - len(set(lines)),
        "most and least": [max(row["made"] for row in rows), min(row["made"] for row in rows)],
        "seconds": round(time.perf_counter() - began, 1),
        "cpu seconds": round(sum(row["cpu"] for row in rows), 1),
        "longest idle": round(max(row["idle"] for row in rows), 1),
        "peak_mib": round(max(row["peak_mib"] for row in rows)),
        "disk_mib": round(rows[0]["disk_mib"], 1),
        "left half-written": len(list(cache.glob("*/.writing-*"))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scans", type=int, default=10_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 20])
    parser.add_argument("--kill", type=int, default=0)
    parser.add_argument("--folder", help="where scans and stores are made for it (default: the system's)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--work", nargs=2, type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work is not None:
        print(json.dumps(work(*given.work)))
        return
    from semivox.cohort import load_cohort, split_cohort
    from semivox.prepare import COSTS, fingerprint, make_plan, write_plan

    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        data = Path(folder) / "data"
        make_scans(data, given.scans)
        cohort = load_cohort(data)
        plan = make_plan(fingerprint(cohort, split_cohort(cohort, None), cache=folder), 3600, COSTS)
        for workers in given.workers:
            cache = Path(folder) / f"cache{workers}"
            cache.mkdir()
            write_plan(plan, cache / "plan.json")
            row = together(data, cache, workers, given.kill if workers > 1 else 0)
            print(json.dumps(row) if given.json else row, flush=True)


if __name__ == "__main__":
    main()
