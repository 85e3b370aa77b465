"""What a GPU does with semivox, part by part; ``gpu.sh`` runs them all.

* ``machine``: the device, as torch sees it, and how fast it multiplies matrices;
* ``steps``: seconds of a step of the papers' V-Net, 2 + 2 crops of 112 x 112 x 80, of methods and their
  literal twins on the same device (``step_time.py``);
* ``layouts``: seconds of a forward and backward pass of the V-Net and the planned U-Net by precision, memory
  layout and cuDNN's own search for the best convolution, and seconds a multiply-add for the table of costs;
* ``methods``: 20 steps of every method in float64, the device against the CPU;
* ``crops``: crops made on the device against the CPU's, and seconds a batch of each;
* ``data``: how long a run waits for its crops;
* ``predict``: a volume as large as a left atrium, the device against the CPU.

``--device cpu`` is a dry run of everything in small.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from semivox.batches import Augmentation, Batches, Stream
from semivox.machine import cpus
from semivox.methods import Facts
from semivox.methods.catalog import CATALOG, load_method
from semivox.networks import Segmenter
from semivox.prepare import Plan
from semivox.prepare.architecture import choose_network
from semivox.prepare.costs import network_macs
from semivox.randomness import Key
from semivox.testing.memory_store import MemoryStore
from semivox.testing.shared_runs import run_in_float64
from semivox.testing.synthetic import tiny_plan
from semivox.tiles import predict_probabilities
from semivox.training.loop import Hooks, fit
from semivox.training.optimizers import Optimizer

CLOSE = 1e-6
"""Largest distance of weights after 20 steps in float64, relative to the largest weight."""
NUDGE = 1e-16
"""Relative change of the first weights that shows how a method amplifies rounding (dtc's does: its sigmoid of
distances has a slope of 1500)."""


class Measured:
    """The device, and times on it."""

    def __init__(self, device: str) -> None:
        self.device = torch.device(device)
        self.gpu = self.device.type == "cuda"

    def now(self) -> float:
        if self.gpu:
            torch.cuda.synchronize()
        return time.perf_counter()

    def seconds(self, act: Callable[[], object], repeats: int = 7) -> float:
        """Median of ``act``, after two that are not counted."""
        laps = []
        for _ in range(repeats + 2):
            start = self.now()
            act()
            laps.append(self.now() - start)
        return statistics.median(laps[2:])

    def peak_gib(self) -> float:
        return torch.cuda.max_memory_allocated() / 2**30 if self.gpu else float("nan")

    def forget_peak(self) -> None:
        if self.gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def machine(m: Measured) -> None:
    name = torch.cuda.get_device_name() if m.gpu else "CPU"
    print(f"torch {torch.__version__}, {name}, {cpus()} cores")
    n = 8192 if m.gpu else 512
    for dtype in (torch.bfloat16, torch.float32):
        a, b = (torch.randn(n, n, device=m.device, dtype=dtype) for _ in range(2))
        print(f"{n} x {n} matrices, {dtype}: {2e-12 * n**3 / m.seconds(lambda a=a, b=b: a @ b):.1f} TFLOP/s")


def steps(m: Measured) -> None:
    """Twins that take turns, each in a process of its own."""
    small = "--patch 32 32 32 --batch 1 1 --turns 1 --steps 1 --precision fp32"
    size = "--turns 3 --steps 10" if m.gpu else small
    for method in ("mean_teacher", "ua_mt", "simcvd"):
        command = [sys.executable, str(Path(__file__).with_name("step_time.py")), "--method", method]
        command += ["--device", str(m.device), "--no-compile", *size.split()]
        subprocess.run(command, check=True, timeout=60)


def plan_of(kind: str, patch: tuple[int, ...]) -> Plan:
    plan = tiny_plan(3, 2, 1, patch=patch)
    return plan.__class__(**{**vars(plan), "network": choose_network(patch, plan.spacing, kind)})


def layouts(m: Measured) -> None:
    size = {"vnet": (112, 112, 80) if m.gpu else (32, 32, 32), "unet": (80, 80, 8) if m.gpu else (32, 32, 8)}
    memory = {"channels last": torch.channels_last_3d, "contiguous": torch.contiguous_format}
    for kind, patch in size.items():
        plan = plan_of(kind, patch)
        macs = 4 * network_macs(plan.network, 1, 2, patch)
        x = torch.randn(4, 1, *patch, device=m.device)
        for precision, layout, search in itertools.product(("bf16", "fp32"), memory, (False, True)):
            torch.backends.cudnn.benchmark = search
            network = Facts(plan, 100, 2, 2, Key(0), precision).network("student").to(m.device)
            assert isinstance(network, Segmenter)
            network.memory_format = memory[layout]
            network.to(memory_format=memory[layout])

            def act(network: Segmenter = network, x: Tensor = x) -> None:
                network.zero_grad()
                network(x, norm="batch").logits.square().mean().backward()

            m.forget_peak()
            seconds = m.seconds(act)
            print(
                f"{kind} {patch} x 4, {precision}, {layout}, search {search}: {1000 * seconds:.1f} ms, "
                f"{seconds / macs:.2e} s a multiply-add, {m.peak_gib():.2f} GiB"
            )
    torch.backends.cudnn.benchmark = False


def methods(m: Measured) -> None:
    """Beside it, what becomes of the smallest nudge of the first weights on the CPU alone."""
    torch.backends.cudnn.allow_tf32 = False  # pseudo-labels are made in float32
    far = []
    for name in CATALOG:
        kind = load_method(name)
        with tempfile.TemporaryDirectory() as folder:
            runs = Path(folder)
            here = run_in_float64(kind, runs / "here")
            nudged = run_in_float64(kind, runs / "nudged", nudge=NUDGE)
            there = run_in_float64(kind, runs / "there", device=str(m.device))
        device, rounding = furthest(here, there), furthest(here, nudged)
        print(f"{name}: {device:.1e}, nudged by {NUDGE:.0e} {rounding:.1e}")
        if not device < max(CLOSE, 10 * rounding):
            far.append(name)
    if far:
        raise SystemExit(f"further than {CLOSE} and than rounding goes from the CPU: {', '.join(far)}")


def furthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Largest distance of two states, relative to the largest weight."""
    apart = max(float((one[key] - other[key]).abs().max()) for key in one if one[key].numel())
    return apart / max(float(one[key].abs().max()) for key in one if one[key].is_floating_point())


def crops(m: Measured) -> None:
    """Without noise, which each device draws by itself."""
    plan = plan_of("vnet", (112, 112, 80) if m.gpu else (32, 32, 32))
    streams = {"labeled": Stream("labeled", 2, ("weak", "strong"), "label", "foreground"),
               "unlabeled": Stream("unlabeled", 2, ("weak", "strong"))}  # fmt: skip
    store, quiet = MemoryStore(plan, 4, 8, Key(0)), Augmentation(noise=0, strong_noise=0, bias=0.2)
    found, seconds = [], []
    for device in (torch.device("cpu"), m.device):
        batches = Batches(store, streams, plan.patch, Key(0), "stage", quiet, device=device)
        seconds.append(m.seconds(lambda batches=batches: batches.batch(0), 3))
        found.append([batches.batch(step) for step in range(8)])
    apart = {"views": 0.0, "target": 0.0, "valid": 0.0}
    for here, there in zip(*found, strict=True):
        for name, one in here.items():
            other = there[name].to(torch.device("cpu"))
            pairs = [("views", view, other.views[key]) for key, view in one.views.items()]
            pairs += [("valid", one.valid, other.valid)]
            pairs += [] if one.target is None else [("target", one.target, other.labels)]
            for kind, a, b in pairs:
                apart[kind] = max(apart[kind], float((a - b).abs().max()))
    far = ", ".join(f"{kind} {distance:.1e}" for kind, distance in apart.items())
    print(f"a batch on the CPU {seconds[0]:.3f} s, here {seconds[1]:.3f} s; furthest apart: {far}")


def data(m: Measured) -> None:
    patch, count = ((112, 112, 80), 40) if m.gpu else ((32, 32, 32), 3)
    plan = plan_of("vnet", patch)
    for name in ("supervised", "ua_mt", "simcvd"):
        kind = load_method(name)
        facts = Facts(plan, count, 4, 8, Key(0), "bf16" if m.gpu else "fp32")
        store = MemoryStore(plan, 4, 8, Key(0))
        waits: list[tuple[float, float]] = []
        fit(
            kind(facts, kind.Settings()).to(m.device),
            facts,
            lambda stage, store=store: Batches(
                store, stage.streams, plan.patch, Key(0), stage.name, Augmentation(), device=m.device
            ),
            optimizer=Optimizer(),
            rebuild=lambda kind=kind, facts=facts: kind(facts, kind.Settings()).to(m.device),
            paper_steps=6000,
            log_every=1,
            device=m.device,
            hooks=Hooks(
                journal=lambda record, waits=waits: waits.append((record["data_seconds"], record["seconds"]))
            ),
        )
        later = waits[len(waits) // 4 :]
        wait, whole = sum(w for w, _ in later), sum(s for _, s in later)
        print(f"{name}: {whole / len(later):.3f} s a step, {wait / whole:.0%} of it waiting for data")


def predict(m: Measured) -> None:
    patch, shape = ((112, 112, 80), (192, 144, 96)) if m.gpu else ((32, 32, 32), (48, 48, 32))
    plan = plan_of("vnet", patch)
    image = Key(0).numpy().standard_normal((1, *shape)).astype("float32")
    found = {}
    for device, precision in (("cpu", "fp32"), (str(m.device), "fp32"), (str(m.device), "bf16")):
        network = Facts(plan, 100, 2, 2, Key(0), precision).network("student").to(device).eval()

        def act(network: torch.nn.Module = network) -> Tensor:
            return predict_probabilities([network], image, multiple=plan.network.multiple, tile=patch)

        m.forget_peak()
        start = m.now()
        found[device, precision] = act()
        first = m.now() - start
        again = m.seconds(act, 3) if m.gpu and device != "cpu" else first
        apart = float((found[device, precision] - found["cpu", "fp32"]).abs().max())
        print(
            f"{shape} in windows of {patch}, {device} {precision}: first {first:.2f} s, then {again:.3f} s, "
            f"{m.peak_gib():.2f} GiB, probabilities within {apart:.1e} of the CPU's"
        )


PARTS = {part.__name__: part for part in (machine, steps, layouts, methods, crops, data, predict)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu for a dry run")
    a = parser.parse_args()
    start = time.perf_counter()
    PARTS[a.part](Measured(a.device))
    print(f"({a.part}: {time.perf_counter() - start:.0f} s)")


if __name__ == "__main__":
    main()
