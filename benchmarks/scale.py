"""What a hundred thousand scans and thousands of cells cost who hands them out: seconds, and peak memory.

    OMP_NUM_THREADS=1 python benchmarks/scale.py --scans 100000 --cells 5000

The scans are links to four small pictures: this is listing, checking, planning and keeping the record, and
nothing is trained. Predictions are answered at once, by a row like that of a real mask, as by workers without
number. Each part runs in a process of its own, whose peak memory is the system's count (Linux). On a busy
machine the seconds of the processor are what can be compared.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

from resident import resident


def make_scans(folder: Path, scans: int) -> None:
    """``images/`` of links, ``labels/`` for eight of them."""
    import numpy as np
    from PIL import Image

    draw = np.random.default_rng(0)
    for name in ("pictures", "data/images", "data/labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i in range(4):
        Image.fromarray(draw.integers(0, 255, (32, 32), np.uint8)).save(folder / f"pictures/{i}.png")
    label = np.zeros((32, 32), np.uint8)
    label[8:20, 8:20] = 1
    Image.fromarray(label).save(folder / "pictures/label.png")
    for i in range(scans):
        os.symlink(folder / f"pictures/{i % 4}.png", folder / f"data/images/case{i:06}.png")
    for i in range(8):
        os.symlink(folder / "pictures/label.png", folder / f"data/labels/case{i:06}.png")


def list_scans(folder: Path, count: int) -> str:
    from semivox.cohort import load_cohort

    return f"{len(load_cohort(folder / 'data').cases)} cases"


def check_scans(folder: Path, count: int) -> str:
    import semivox

    report = semivox.check(folder / "data")
    return f"{len(report.errors)} errors, {len(report.warnings)} warnings"


def plan_scans(folder: Path, count: int) -> str:
    import semivox

    return f"patch {semivox.plan(folder / 'data', budget='1h').patch}"


def predict_scans(folder: Path, count: int) -> str:
    """Asked for, answered and put on record."""
    from dataclasses import replace

    from semivox.cohort import find_scans
    from semivox.inference import load_model
    from semivox.inference.folder import Answer, Asked, predict_folder
    from semivox.inference.record import read_rows
    from semivox.inference.scan_work import Wanted

    model, out = load_model(folder / "run"), folder / "masks"
    predict_folder(model, find_scans([folder / "pictures/0.png"]).cases, folder / "one", Wanted())
    (row,) = read_rows(folder / "one" / "predictions.json")

    def at_once(asked: Iterator[Asked]) -> Generator[Answer]:
        for each in asked:
            yield Answer(each.number, replace(row, case=each.scan.name, mask=f"{each.scan.name}.png"))

    scans = find_scans([folder / "data/images"]).cases
    report = predict_folder(model, scans, out, Wanted(), elsewhere=at_once)
    size = (out / "predictions.json").stat().st_size
    return f"{len(report.rows)} rows, predictions.json of {size / 2**20:.0f} MiB"


def list_cells(folder: Path, count: int) -> str:
    from semivox.commands.compare import list_cells as listed
    from semivox.comparison.options import CompareOptions

    methods = "supervised,mean_teacher,cps,bcp,simcvd"
    asked = CompareOptions(
        folder / "few/train", folder / "compared", methods=methods, labeled="1,2", test=folder / "few/test",
        seeds=range(count // 10), steps=10,
    )  # fmt: skip
    return f"{len(listed.of(asked))} cells"


PARTS: dict[str, Callable[[Path, int], str]] = {
    "list": list_scans,
    "check": check_scans,
    "plan": plan_scans,
    "plan again": plan_scans,
    "predict": predict_scans,
    "cells": list_cells,
}


def prepare(folder: Path, scans: int) -> None:
    """The links; a model that has taken two steps; a small cohort for cells."""
    import semivox
    from semivox.cohort.phantom import write_phantom_cohort

    make_scans(folder, scans)
    train, test = write_phantom_cohort(folder / "phantom", labeled=2, unlabeled=2, test=1, dims=2)
    (folder / "few").mkdir()
    os.symlink(train, folder / "few/train")
    os.symlink(test, folder / "few/test")
    small = {"plan.patch": [32, 32], "plan.batch": [1, 1], "run.precision": "fp32", "run.threads": 1}
    semivox.train(train, folder / "run", method="supervised", steps=2, settings=small)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scans", type=int, default=100_000)
    parser.add_argument("--cells", type=int, default=5_000)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part is not None:
        began, cpu = time.perf_counter(), time.process_time()
        said = PARTS[given.part](given.folder, given.cells)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        peak = resident("VmHWM") / 2**20
        found = {"part": given.part, "said": said, "seconds": seconds, "cpu": cpu, "peak_mib": peak}
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as place:
        prepare(Path(place), given.scans)
        for part in given.parts.split(","):
            own = ["--part", part, "--folder", place, "--cells", str(given.cells)]
            done = subprocess.run(
                [sys.executable, __file__, *own], capture_output=True, text=True, check=False
            )
            if done.returncode:
                print(f"{part}: {done.stderr.strip()[-500:]}", flush=True)
                continue
            found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
            took = f"{found['seconds']:.1f} s ({found['cpu']:.1f} s of the processor)"
            print(f"{part}: {took}, {found['peak_mib']:.0f} MiB: {found['said']}", flush=True)


if __name__ == "__main__":
    main()
