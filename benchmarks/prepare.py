"""Preparation of a small and of a large cohort: volumes a second, and whether memory grows with the cases.

``python benchmarks/prepare.py``: made-up cases, half of them labelled, are checked, fingerprinted and brought
to the working grid in a process of its own for each cohort, which tells its peak of resident memory. The
twin of ``literal/`` reads, normalises and resamples the images alone, as the store does, all in memory.
``--json`` prints one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

SHAPE = (48, 48, 32)
SPACING_MM = (1.0, 1.0, 1.0)
BUDGET = 600.0
STAGES = ("check", "fingerprint", "store")


def write_cohort(folder: Path, count: int) -> Path:
    """Noise with a bright ball whose size and place differ from case to case; cases with an even number are
    labelled."""
    index = np.indices(SHAPE, np.float32)
    noise = np.random.default_rng(0).normal(0, 20, SHAPE)

    def scans() -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        for i in range(count):
            rng = np.random.default_rng(i)
            centre = np.array(SHAPE) * rng.uniform(0.35, 0.65, 3)
            ball = ((index - centre.reshape(3, 1, 1, 1)) ** 2).sum(0) < rng.uniform(8, 14) ** 2
            image = (noise + 100 + rng.uniform(40, 90) * ball).astype(np.int16)
            yield image, ball if i % 2 == 0 else None

    return write_folder(folder, scans())


def write_folder(folder: Path, scans: Iterable[tuple[np.ndarray, np.ndarray | None]]) -> Path:
    """A data folder of scans and their masks (None: unlabelled), each (X, Y, Z), with voxels of 1 mm."""
    import nibabel as nib

    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    affine = np.diag([*SPACING_MM, 1.0])
    for i, (image, mask) in enumerate(scans):
        nib.save(nib.Nifti1Image(image, affine), folder / "imagesTr" / f"case{i:05d}_0000.nii.gz")
        if mask is not None:
            label = nib.Nifti1Image(mask.astype(np.uint8), affine)
            nib.save(label, folder / "labelsTr" / f"case{i:05d}.nii.gz")
    described = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "organ": 1},
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(described))
    return folder


def run_semivox(data: Path, cache: Path) -> dict[str, float]:
    from semivox.cohort import load_cohort, split_cohort
    from semivox.cohort.check import check_cohort
    from semivox.prepare import build_store, fingerprint, make_plan

    stages = Stages()
    cohort = load_cohort(data)
    split = split_cohort(cohort, None)
    check_cohort(cohort, split)
    stages.end("check")
    plan = make_plan(fingerprint(cohort, split, cache=cache), BUDGET, override={"rung": 2.0})
    stages.end("fingerprint")
    build_store(cohort, split, plan, cache)
    stages.end("store")
    return {"cases": len(cohort.cases), **stages.found}


def run_literal(data: Path, out: Path) -> dict[str, float]:
    from literal.prepare import prepare_all

    stages = Stages()
    scans = sorted((data / "imagesTr").iterdir())
    prepare_all(scans, [2.0 * s for s in SPACING_MM], out)
    stages.end("store")
    return {"cases": len(scans), **stages.found}


class Stages:
    """Seconds of each stage, and the most memory that was resident until its end, MiB."""

    def __init__(self) -> None:
        self.found: dict[str, float] = {"start_mib": peak_mib()}
        self.began = time.perf_counter()

    def end(self, stage: str) -> None:
        now = time.perf_counter()
        self.found |= {f"{stage}_s": now - self.began, f"{stage}_mib": peak_mib()}
        self.began = now


WORKERS = {"semivox": run_semivox, "literal": run_literal}


def peak_mib() -> float:
    """The most that was resident so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def in_a_process(worker: str, data: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=data.parent) as out:
        command = [sys.executable, __file__, "--worker", worker, str(data), out]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--few", type=int, default=20)
    parser.add_argument("--many", type=int, default=2000)
    parser.add_argument("--literal-most", type=int, default=2000, help="the twin gets no more cases")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", nargs=3, metavar=("KIND", "DATA", "OUT"), help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.worker:
        kind, data, out = a.worker
        print(json.dumps(WORKERS[kind](Path(data), Path(out))))
        return
    result: dict[str, Any] = {"benchmark": "prepare", "shape": SHAPE}
    print(f"{'':22}{'volumes a second':>27}{'peak of memory, MiB':>36}")
    titles = "".join(f"{stage:>12}" for stage in STAGES)
    print(f"{'':10}{'cases':>6}{titles}{'start':>9}{titles}")
    with tempfile.TemporaryDirectory() as folder:
        for size in ("few", "many"):
            data = write_cohort(Path(folder) / size, getattr(a, size))
            for kind in ["semivox"] if getattr(a, size) > a.literal_most else ["literal", "semivox"]:
                found = in_a_process(kind, data)
                rates = {s: found["cases"] / found[f"{s}_s"] for s in STAGES if f"{s}_s" in found}
                told = "".join(f"{rates[s]:12.1f}" if s in rates else f"{'':12}" for s in STAGES)
                told += f"{found['start_mib']:9.0f}"
                told += "".join(f"{found[f'{s}_mib']:12.0f}" if s in rates else f"{'':12}" for s in STAGES)
                print(f"{kind:10}{found['cases']:6}{told}", flush=True)
                result |= {f"{kind}_{size}_{s}_per_s": rate for s, rate in rates.items()}
                result[f"{kind}_{size}_peak_mib"] = found["store_mib"]
    growth = result["semivox_many_peak_mib"] / result["semivox_few_peak_mib"]
    print(f"peak of memory with {a.many} cases over that with {a.few}: {growth:.3f}")
    if a.json:
        print(json.dumps({**result, "few": a.few, "many": a.many, "peak_ratio": growth}))


if __name__ == "__main__":
    main()
