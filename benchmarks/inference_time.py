"""Seconds to predict a volume: semivox, the papers' dense sliding window, and MONAI's sliding window.

``python benchmarks/inference_time.py RUN IMAGE``: RUN holds a V-Net as the papers have it. Three processes
take turns, and the ratios of the medians are the claim:

* literal: the papers' code (``literal/``): windows of the plan's patch, one at a time, float32; the stride
  is 18 x 18 x 4 for windows of 112 x 112 x 80, in proportion for others;
* monai: ``sliding_window_inference`` with the same windows, overlap 0.5, in the precision and memory
  layout of semivox;
* semivox: as ``predict`` does it, in the same windows, half overlapping; and in one forward, as scans
  are pseudo-labelled.

The stated network time begins with the normalised volume and ends with its probabilities, both in memory;
the time with files begins with the scan's file and ends with the mask's.

``--dice DATA`` instead predicts the labelled cases of DATA with RUN in all three ways and compares their
Dice; the papers' windows then lie on the working grid. ``--json`` prints one JSON line last.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from literal.sliding_window import read_normalised, sliding_window, window_starts, write_mask
from literal.vnet import VNet, without_cancelled_biases
from semivox.cohort import load_cohort, read_label, read_volume
from semivox.cohort.scans import find_scans
from semivox.evaluation import overlap_dice
from semivox.inference import load_model, load_networks
from semivox.inference.folder import predict_folder
from semivox.inference.native_grid import native_classes, working_image
from semivox.inference.scan_work import Wanted
from semivox.inference.weights import read_card
from semivox.machine import freed_memory_kept
from semivox.tiles import predict_planned

PAPER_WINDOW, PAPER_STRIDE = (112, 112, 80), (18, 18, 4)
KINDS = ("literal", "monai", "semivox")


def literal_network(run: str) -> VNet:
    """The run's weights and statistics in the twin's V-Net."""
    roles = read_card(run)["predictor"]
    (source,) = load_networks(run, roles[:1]).values()
    if len(roles) != 1 or getattr(getattr(source, "plan", None), "kind", "") != "vnet":
        raise SystemExit("the run must predict with one V-Net (--set plan.network.kind=vnet)")
    twin = VNet(source.channels, source.classes, source.plan.features[0])
    hand_over(source, twin)
    return twin.eval()


@torch.no_grad()
def hand_over(source: nn.Module, twin: VNet) -> None:
    """Weights and statistics stand in the same order in both; a bias that a normalisation follows is 0 in
    semivox."""
    statistics = [buffer for buffer in twin.buffers() if buffer.is_floating_point()]
    shared = without_cancelled_biases(twin)
    for tensor in twin.parameters():
        tensor.zero_()
    for theirs, ours in zip([*shared, *statistics], [*weights_of(source), *source.buffers()], strict=True):
        theirs.copy_(ours)


def weights_of(source: nn.Module) -> list[nn.Parameter]:
    """All but those of the distance map's head, which predicts nothing."""
    return [w for name, w in source.named_parameters() if not name.startswith("sdm_head")]


class Volume:
    """The scan in the ways that the turns need it."""

    def __init__(self, a: argparse.Namespace) -> None:
        self.run, self.scan = a.run, find_scans([a.image]).cases[0]
        self.model = load_model(a.run, threads=a.threads)
        self.window = self.model.plan.patch
        self.stride = tuple(a.stride or strides(self.window))
        _, self.image = working_image(read_volume(self.scan.images[0]), self.model.plan)

    @property
    def windows(self) -> int:
        sizes = [max(n, w) for n, w in zip(self.image.shape[1:], self.window, strict=True)]
        starts = map(window_starts, sizes, self.window, self.stride)
        return int(np.prod([len(s) for s in starts]))


def strides(window: tuple[int, ...]) -> tuple[int, ...]:
    """The papers' strides, in proportion to the window."""
    return tuple(max(1, round(s * w / p)) for w, p, s in zip(window, PAPER_WINDOW, PAPER_STRIDE, strict=True))


Lap = tuple[float, float]  # seconds on the clock, and of CPU
Turn = Callable[[], dict[str, Lap]]


def literal_turn(v: Volume, out: Path) -> Turn:
    network = literal_network(v.run)
    scan = v.scan.images[0]
    native = v.image.shape[1:] == read_volume(scan).shape

    def turn() -> dict[str, Lap]:
        if not native:  # a coarser grid is none of the papers' code
            return {"network": lap(lambda: sliding_window(network, v.image[0], v.window, v.stride))}
        network_lap: list[Lap] = []

        def files() -> None:
            voxels, affine = read_normalised(scan)
            scores: list[np.ndarray] = []
            network_lap.append(
                lap(lambda: scores.append(sliding_window(network, voxels, v.window, v.stride)))
            )
            write_mask(out / "mask.nii.gz", scores[0], affine)

        whole = lap(files)
        return {"network": network_lap[0], "files": whole}

    return turn


def monai_turn(v: Volume, out: Path) -> Turn:
    from monai.inferers import sliding_window_inference

    network, x = v.model.networks[0], torch.from_numpy(v.image)[None]

    def softmax(window: Tensor) -> Tensor:
        return network(window, norm="running").logits.softmax(1)

    def whole() -> Tensor:
        with torch.inference_mode():
            return sliding_window_inference(x, v.window, 1, softmax, overlap=0.5)

    return lambda: {"network": lap(whole)}


def semivox_turn(v: Volume, out: Path) -> Turn:
    model = v.model

    def turn() -> dict[str, Lap]:
        with freed_memory_kept():  # as `predict_folder` has it
            return {
                "network": lap(lambda: predict_planned(model.networks, v.image, model.plan)),
                "whole": lap(lambda: predict_planned(model.networks, v.image, model.plan, whole=True)),
                "files": lap(lambda: predict_folder(model, [v.scan], out, Wanted())),
            }

    return turn


TURNS: dict[str, Callable[[Volume, Path], Turn]] = {
    "literal": literal_turn,
    "monai": monai_turn,
    "semivox": semivox_turn,
}


def lap(work: Callable[[], object]) -> Lap:
    began, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - cpu


def serve(a: argparse.Namespace) -> None:
    """A process that takes a turn for each line on standard input."""
    volume = Volume(a)
    with tempfile.TemporaryDirectory() as folder:
        turn = TURNS[a.worker](volume, Path(folder))
        facts = {
            "shape": volume.image.shape[1:], "window": volume.window, "stride": volume.stride,
            "windows": volume.windows, "precision": volume.model.networks[0].precision,
        }  # fmt: skip
        print(json.dumps(facts), flush=True)
        for _ in sys.stdin:
            print(json.dumps(turn()), flush=True)


class Worker:
    """One of the processes, so that what it allocates is its own."""

    def __init__(self, kind: str) -> None:
        command = [sys.executable, __file__, *sys.argv[1:], "--worker", kind]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.turns: list[dict[str, Lap]] = []
        self.facts = self.read()

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a worker ended early, with exit code {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def turn(self) -> dict[str, Lap]:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.read()

    def median(self, what: str) -> Lap | None:
        laps = [turn[what] for turn in self.turns if what in turn]
        if not laps:
            return None
        return statistics.median(wall for wall, _ in laps), statistics.median(cpu for _, cpu in laps)


def compare_time(a: argparse.Namespace) -> dict[str, Any]:
    workers = {kind: Worker(kind) for kind in KINDS}
    for kind in ("monai", "semivox"):
        workers[kind].turn()  # to warm up; the literal turn is long enough without
    for _ in range(a.turns):
        for worker in workers.values():
            worker.turns.append(worker.turn())
    for worker in workers.values():
        worker.process.communicate()
    laps = {
        "literal": workers["literal"].median("network"),
        "literal_files": workers["literal"].median("files"),
        "monai": workers["monai"].median("network"),
        "semivox": workers["semivox"].median("network"),
        "semivox_files": workers["semivox"].median("files"),
        "semivox_whole": workers["semivox"].median("whole"),
    }
    facts = workers["semivox"].facts
    print(f"volume {facts['shape']}, windows of {facts['window']}, {facts['precision']}, {a.threads} threads")
    print(f"{facts['windows']} windows at stride {facts['stride']}; {a.turns} turns, medians")
    print(f"{'':37}{'seconds':>9}{'CPU s':>9}{'times as long':>15}{'by CPU':>8}")
    figures: dict[str, float] = {}
    for title, name, base in (
        ("papers' sliding window, network", "literal", "semivox"),
        ("papers' sliding window, with files", "literal_files", "semivox_files"),
        ("MONAI, overlap 0.5", "monai", "semivox"),
        ("semivox, network", "semivox", "semivox"),
        ("semivox, with files", "semivox_files", "semivox_files"),
        ("papers' window, against one forward", "literal", "semivox_whole"),
        ("MONAI, against one forward", "monai", "semivox_whole"),
        ("semivox in one forward", "semivox_whole", "semivox"),
    ):
        own, ours = laps[name], laps[base]
        if own is None or ours is None:
            continue
        wall, cpu = own[0] / ours[0], own[1] / ours[1]
        print(f"{title:37}{own[0]:9.2f}{own[1]:9.2f}{wall:15.1f}{cpu:8.1f}")
        figures |= {f"{name}_s": own[0], f"{name}_cpu_s": own[1]}
        if name != base:
            figures |= {f"{name}_over_{base}": wall, f"{name}_over_{base}_cpu": cpu}
    return {**facts, "threads": a.threads, "turns": a.turns, **figures}


def compare_dice(a: argparse.Namespace) -> dict[str, Any]:
    model = load_model(a.run, threads=a.threads)
    window = model.plan.patch
    stride = tuple(a.stride or strides(window))
    network = literal_network(a.run)
    print(f"windows of {window} at stride {stride}")
    print(f"{'case':24}{'semivox':>9}{'whole':>9}{'dense':>9}{'seconds':>9}{'whole':>9}{'dense':>9}")
    rows: list[list[float]] = []
    cases = [case for case in load_cohort(a.dice).cases if case.label is not None]
    for case in cases[: a.cases]:
        assert case.label is not None
        reference = read_label(case.label).array[0]
        grid, image = working_image(read_volume(case.images[0]), model.plan)

        def ours(image: np.ndarray = image) -> np.ndarray:
            return predict_planned(model.networks, image, model.plan).numpy()

        def whole(image: np.ndarray = image) -> np.ndarray:
            return predict_planned(model.networks, image, model.plan, whole=True).numpy()

        def dense(image: np.ndarray = image) -> np.ndarray:
            return sliding_window(network, image[0], window, stride)

        row: list[float] = []
        laps: list[float] = []
        for predict in (ours, whole, dense):
            started = time.perf_counter()
            classes = native_classes(grid, [predict()])
            laps.append(time.perf_counter() - started)
            row.append(float(np.mean(list(dices(classes, reference, model.values)))))
        rows.append(row)
        print(
            f"{case.name:24}" + "".join(f"{x:9.4f}" for x in row) + "".join(f"{x:9.2f}" for x in laps),
            flush=True,
        )
    windows, one, theirs = np.mean(rows, axis=0).tolist()
    print(f"{'mean':24}{windows:9.4f}{one:9.4f}{theirs:9.4f}")
    print(f"minus dense: semivox {windows - theirs:+.4f}, in one forward {one - theirs:+.4f}")
    return {
        "cases": len(rows), "window": window, "stride": stride,
        "semivox_dice": windows, "whole_dice": one, "dense_dice": theirs,
        "difference": windows - theirs, "whole_difference": one - theirs,
    }  # fmt: skip


def dices(classes: np.ndarray, reference: np.ndarray, values: tuple[int, ...]) -> Iterator[float]:
    for k, value in enumerate(values, 1):
        yield overlap_dice(classes == k, reference == value)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run")
    parser.add_argument("image", nargs="?", help="a scan of one channel")
    parser.add_argument("--stride", type=int, nargs=3, help="of the dense windows, voxels")
    parser.add_argument("--dice", metavar="DATA", help="compare Dice on these cases instead")
    parser.add_argument("--cases", type=int, help="of DATA, at most (all)")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", choices=KINDS, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.worker:
        torch.set_num_threads(a.threads)
        serve(a)
        return
    if (a.image is None) == (a.dice is None):
        parser.error("give either IMAGE or --dice DATA")
    result = {"benchmark": "inference_time", **(compare_dice(a) if a.dice else compare_time(a))}
    if a.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
