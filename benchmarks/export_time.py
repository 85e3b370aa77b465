"""Seconds and peak memory of a prediction outside of the network: a large CT with many classes.

``python benchmarks/export_time.py``: a made-up CT of 512 x 512 x 600 voxels, and made-up probabilities of 13
classes on a working grid three times as coarse. Each turn is a process of its own:

* predict: from the scan's file to the mask's file and its record, as ``semivox predict`` does it, with a
  stand-in for the network that answers with the probabilities; its own time is not counted;
* export: from the probabilities to the mask's file alone;
* nnunet: nnU-Net's resampling and export of the same probabilities, with ``--nnunet PYTHON``, an interpreter
  of an environment with nnunetv2 2.8.1. It holds all classes on the scan's grid: give it a ``--shape`` that
  fits the memory.

``--old SRC`` also runs the first two with another source tree (``git worktree add /tmp/old 27750fe``, then
``--old /tmp/old/src``), and says whether the masks are identical. ``--json`` prints one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

SPACING = (0.8, 0.8, 0.8)
COARSER = 3
HERE = Path(__file__).resolve().parents[1] / "src"


def make_inputs(folder: Path, shape: tuple[int, ...], classes: int) -> None:
    """A noisy CT with organs in it, and the probabilities of these: softmax of how deep a voxel lies."""
    import nibabel as nib

    rng = np.random.default_rng(0)
    working = tuple(round(n / COARSER) for n in shape)
    axes = np.ogrid[tuple(slice(0, n) for n in working)]
    logits = np.zeros((classes, *working), np.float32)
    for k in range(1, classes):
        centre = [n * rng.uniform(0.2, 0.8) for n in working]
        radii = [n * rng.uniform(0.05, 0.15) for n in working]
        far = sum(((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radii, strict=True))
        logits[k] = np.clip(6 * (1 - np.sqrt(far)), -6, 6)
    logits += rng.normal(0, 0.3, logits.shape)
    np.save(folder / "logits.npy", logits)
    scan = rng.integers(-20, 20, shape, np.int16)
    for start in range(0, shape[0], 64):
        cut = slice(start, min(start + 64, shape[0]))
        near = [np.minimum(np.arange(n) // COARSER, w - 1) for n, w in zip(shape, working, strict=True)]
        scan[cut] += 40 * logits.argmax(0).astype(np.int16)[np.ix_(near[0][cut], near[1], near[2])]
    nib.save(nib.Nifti1Image(scan, np.diag([*SPACING, 1.0])), folder / "scan.nii.gz")


Lap = tuple[float, float]  # seconds on the clock, and of CPU


def now() -> Lap:
    return time.perf_counter(), time.process_time()


def since(began: Lap, less: Lap = (0.0, 0.0)) -> Lap:
    wall, cpu = now()
    return wall - began[0] - less[0], cpu - began[1] - less[1]


def stand_in(folder: Path) -> tuple[Any, list[Lap]]:
    """A network that gives the logits, and the list of laps that it took."""
    import torch

    from semivox.networks.contract import Output

    laps: list[Lap] = []

    class StandIn(torch.nn.Module):
        multiple = (1, 1, 1)

        def forward(self, x: torch.Tensor, drop: object = None, norm: str = "running") -> Output:
            began = now()
            logits = torch.from_numpy(np.load(folder / "logits.npy"))[None]
            laps.append(since(began))
            return Output(logits)

    return StandIn(), laps


def make_model(folder: Path, classes: int) -> tuple[Any, list[Lap]]:
    """A model of the stand-in, loaded from a run folder as any other."""
    from semivox.cohort import Cohort
    from semivox.inference import export_model, load_model
    from semivox.networks import build_network
    from semivox.prepare import ChannelPlan, ClassPlan, NetworkPlan, Plan
    from semivox.randomness import Key

    names = {k: f"organ {k}" for k in range(1, classes)}
    spacing = tuple(COARSER * s for s in SPACING)
    network = NetworkPlan("unet", (4, 8), ((3, 3, 3),) * 2, ((2, 2, 2),))
    plan = Plan(
        dims=3, axes=(0, 1, 2), native_spacing=SPACING, spacing=spacing, spacing_known=True, rung=3.0,
        shape=(16, 16, 16), patch=(16, 16, 16), batch=(2, 2), network=network,
        channels=(ChannelPlan("CT", "ct", -20.0, 500.0, 100.0, 100.0),),
        classes=tuple(ClassPlan(k, name, 1000.0, 0.99) for k, name in names.items()),
        budget_seconds=None, step_seconds=1.0, steps=None, assumptions=(),
    )  # fmt: skip
    cohort = Cohort(folder, (), ("CT",), names)
    net = build_network(network, 1, classes, Key(0))
    export_model(
        folder / "run", {"student": net}, ["student"], plan, cohort, method="supervised", steps=1000, seed=0
    )
    model = load_model(folder / "run", device="cpu", precision="fp32", whole=True, memory_bytes=2**62)
    stand, laps = stand_in(folder)
    return replace(model, networks=(stand,)), laps


def predict_turn(folder: Path, classes: int) -> tuple[Lap, Path]:
    """From file to file."""
    from semivox.cohort.scans import find_scans
    from semivox.inference.folder import predict_folder
    from semivox.inference.scan_work import Wanted

    model, in_network = make_model(folder, classes)
    scans = find_scans([folder / "scan.nii.gz"]).cases
    began = now()
    report = predict_folder(model, scans, folder / "masks", Wanted())
    lap = since(began, in_network[0])
    if report.failed:
        raise SystemExit(report.failed[0].reason)
    return lap, folder / "masks" / "scan.nii.gz"


def export_turn(folder: Path, classes: int) -> tuple[Lap, Path]:
    """From probabilities to the file."""
    import torch

    from semivox.cohort import read_volume, write_mask
    from semivox.inference.native_grid import native_classes
    from semivox.prepare import Grid

    volume = read_volume(folder / "scan.nii.gz")
    volume = replace(volume, array=np.broadcast_to(np.int16(0), volume.array.shape))  # only its grid
    grid = Grid.lay(volume, (0, 1, 2), tuple(COARSER * s for s in SPACING))
    probs = torch.from_numpy(np.load(folder / "logits.npy")).softmax(0).numpy()
    began = now()
    path = write_mask(folder / "exported.nii.gz", native_classes(grid, [probs]), volume)
    return since(began), path


def nnunet_turn(folder: Path, classes: int) -> tuple[Lap, Path]:
    """nnU-Net's way, by its own functions and defaults."""
    import SimpleITK
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.inference.export_prediction import (
        convert_predicted_logits_to_segmentation_with_correct_shape as convert,
    )
    from nnunetv2.preprocessing.resampling.default_resampling import resample_data_or_seg_to_shape
    from nnunetv2.utilities.label_handling.label_handling import LabelManager

    scan = SimpleITK.ReadImage(str(folder / "scan.nii.gz"))
    shape = scan.GetSize()[::-1]
    logits = np.ascontiguousarray(np.load(folder / "logits.npy").transpose(0, 3, 2, 1))

    def to_shape(data: Any, new: Any, current: Any, spacing: Any) -> Any:
        return resample_data_or_seg_to_shape(
            data, new, current, spacing, is_seg=False, order=1, order_z=0, force_separate_z=None
        )

    plans = SimpleNamespace(transpose_forward=[0, 1, 2], transpose_backward=[0, 1, 2])
    configuration = SimpleNamespace(
        spacing=[COARSER * s for s in SPACING], resampling_fn_probabilities=to_shape
    )
    labels = LabelManager({"background": 0, **{str(k): k for k in range(1, classes)}}, None)
    told = {
        "spacing": list(SPACING), "shape_after_cropping_and_before_resampling": shape,
        "shape_before_cropping": shape, "bbox_used_for_cropping": [[0, n] for n in shape],
        "sitk_stuff": {
            "spacing": scan.GetSpacing(), "origin": scan.GetOrigin(), "direction": scan.GetDirection(),
        },
    }  # fmt: skip
    del scan
    path = folder / "nnunet.nii.gz"
    began = now()
    mask = convert(logits, plans, configuration, labels, told, num_threads_torch=os.cpu_count() or 1)
    SimpleITKIO().write_seg(mask, str(path), told)
    return since(began), path


TURNS = {"predict": predict_turn, "export": export_turn, "nnunet": nnunet_turn}


def work(a: argparse.Namespace) -> None:
    """One turn, in this process."""
    (seconds, cpu), path = TURNS[a.worker](a.folder, a.classes)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "peak_gib": peak, "mask": str(path)}))


def in_child(kind: str, a: argparse.Namespace, folder: Path, python: str, source: Path) -> dict[str, Any]:
    command = [python, __file__, "--worker", kind, "--folder", str(folder), "--classes", str(a.classes)]
    environment = {**os.environ, "PYTHONPATH": str(source)}
    if kind == "nnunet":
        environment |= {f"nnUNet_{name}": str(folder) for name in ("raw", "preprocessed", "results")}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=a.most)
    except subprocess.TimeoutExpired:
        return {"fault": f"not finished in {a.most:.0f} s"}
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [""])[-1]
        return {"fault": f"exit code {done.returncode}: {last}"}
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 600))
    parser.add_argument("--classes", type=int, default=13, help="with background")
    parser.add_argument("--turns", type=int, default=1, help="of which the fastest counts")
    parser.add_argument("--most", type=float, default=600.0, help="seconds of a turn")
    parser.add_argument("--old", type=Path, metavar="SRC")
    parser.add_argument("--nnunet", metavar="PYTHON")
    parser.add_argument("--only", choices=TURNS, nargs="+", default=list(TURNS))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", choices=TURNS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.worker:
        work(a)
        return
    kinds = [(kind, "new", sys.executable, HERE) for kind in ("predict", "export")]
    if a.old:
        kinds += [(kind, "old", sys.executable, a.old.resolve()) for kind in ("predict", "export")]
    if a.nnunet:
        kinds.append(("nnunet", "2.8.1", a.nnunet, HERE))
    result: dict[str, Any] = {"benchmark": "export_time", "shape": list(a.shape), "classes": a.classes}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_inputs(folder, tuple(a.shape), a.classes)
        result |= compare([kind for kind in kinds if kind[0] in a.only], a, folder)
    if a.json:
        print(json.dumps(result))


def compare(kinds: list[tuple[str, str, str, Path]], a: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Turns of all, each as often; the rows, and how many voxels of the masks differ from the first one."""
    import nibabel as nib

    rows: dict[str, dict[str, Any]] = {}
    first: np.ndarray | None = None
    print(f"{'':16}{'seconds':>9}{'CPU s':>9}{'peak GiB':>10}{'other voxels':>14}")
    for turn in range(a.turns):
        for kind, build, python, source in kinds:
            title, found = f"{kind} {build}", in_child(kind, a, folder, python, source)
            if "fault" in found:
                rows[title] = found
                print(f"{title:16}{found['fault']}", flush=True)
                continue
            mask = np.asarray(nib.load(found.pop("mask")).dataobj)
            first = mask if first is None else first
            found["other_voxels"] = int(np.count_nonzero(mask != first))
            kept = rows.setdefault(title, found)
            least = {what: min(kept[what], found[what]) for what in ("seconds", "cpu_seconds")}
            rows[title] = {**kept, **least}
            if turn == a.turns - 1:
                row = rows[title]
                print(
                    f"{title:16}{row['seconds']:9.1f}{row['cpu_seconds']:9.1f}{row['peak_gib']:10.2f}"
                    f"{row['other_voxels']:14}",
                    flush=True,
                )
    return {"rows": rows}


if __name__ == "__main__":
    main()
