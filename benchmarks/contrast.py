"""Voxel InfoNCE of very many voxels: its memory, its time, and both against the obvious dense version.

``python benchmarks/contrast.py``: every voxel of one network finds itself among those of another, forward and
backward, with gradients into both. Extra memory is measured in a process of its own: the peak of its resident
memory minus what was resident before. ``--json`` prints one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from literal import info_nce as literal
from resident import resident
from semivox.losses import info_nce, same_voxel_contrast

TEMPERATURE = 0.1
CROPS, WIDTH = 8, 64
GIB = 2**30


def embeddings(voxels: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    """z_s, z_t (B, n, D) with gradient, present (B, n), case (B,); two crops are of one case."""
    rng = torch.Generator().manual_seed(0)
    n = voxels // CROPS
    student, teacher = (torch.randn(CROPS, n, WIDTH, generator=rng, dtype=dtype) for _ in range(2))
    present = torch.rand(CROPS, n, generator=rng) < 0.98
    case = torch.tensor([0, 0, *range(1, CROPS - 1)])
    return student.requires_grad_(), (teacher + student.detach()).requires_grad_(), present, case


def both_ways(loss: Callable[[], Tensor], *inputs: Tensor) -> tuple[float, Tensor, list[Tensor]]:
    """Seconds of forward and backward, the loss, and the gradients."""
    began = time.perf_counter()
    value = loss()
    gradients = torch.autograd.grad(value, inputs)
    return time.perf_counter() - began, value.detach(), list(gradients)


def measure_memory(voxels: int, kind: str) -> None:
    """In a process of its own: prints seconds and extra bytes of one forward and backward pass."""
    contrast = same_voxel_contrast if kind == "ours" else literal.same_voxel_contrast
    warm_up = embeddings(512)
    both_ways(lambda: contrast(*warm_up, temperature=TEMPERATURE), *warm_up[:2])
    inputs = embeddings(voxels)
    before = resident("VmRSS")
    seconds, value, _ = both_ways(lambda: contrast(*inputs, temperature=TEMPERATURE), *inputs[:2])
    print(json.dumps({"seconds": seconds, "extra": resident("VmHWM") - before, "loss": value.item()}))


def in_a_fresh_process(voxels: int, kind: str, threads: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", str(voxels), kind, "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def differences(voxels: int, dtype: torch.dtype) -> tuple[float, float]:
    """Of loss, and of gradients relative to their largest number, ours to the dense version's."""
    inputs = embeddings(voxels, dtype)
    found = [
        both_ways(lambda f=f: f(*inputs, temperature=TEMPERATURE), *inputs[:2])
        for f in (same_voxel_contrast, literal.same_voxel_contrast)
    ]
    (_, ours, ours_g), (_, dense, dense_g) = found
    gradients = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours_g, dense_g, strict=True))
    return float((ours - dense).abs()), gradients


def turns(voxels: int, count: int) -> tuple[float, float]:
    """Median seconds of ours and of the dense version, in alternating turns."""
    inputs = embeddings(voxels)
    seconds: dict[str, list[float]] = {"ours": [], "dense": []}
    for turn in range(count + 1):  # the first warms up
        for name, f in (("ours", same_voxel_contrast), ("dense", literal.same_voxel_contrast)):
            lap, _, _ = both_ways(lambda f=f: f(*inputs, temperature=TEMPERATURE), *inputs[:2])
            if turn:
                seconds[name].append(lap)
    return statistics.median(seconds["ours"]), statistics.median(seconds["dense"])


def by_keys(anchors: int, keys: list[int], count: int) -> list[float]:
    """Median seconds of ``info_nce`` (form out, many positives) for each number of keys, in turns."""
    rng = torch.Generator().manual_seed(0)
    a = torch.randn(anchors, WIDTH, generator=rng, requires_grad=True)
    y_a = torch.randint(0, 16, (anchors,), generator=rng)
    seconds: list[list[float]] = [[] for _ in keys]
    for turn in range(count + 1):
        for laps, m in zip(seconds, keys, strict=True):
            k = torch.randn(m, WIDTH, generator=rng, requires_grad=True)
            y_k = torch.randint(0, 16, (m,), generator=rng)

            def pairs(i: slice, j: slice, y_k: Tensor = y_k) -> tuple[Tensor, None]:
                return y_a[i, None] == y_k[j], None

            lap, _, _ = both_ways(
                lambda k=k, pairs=pairs: info_nce(a, k, pairs, temperature=TEMPERATURE), a, k
            )
            if turn:
                laps.append(lap)
    return [statistics.median(laps) for laps in seconds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--voxels", type=int, default=65536, help="anchors, and as many keys")
    parser.add_argument(
        "--dense", type=int, default=8192, help="voxels of the comparison with the dense version"
    )
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--measure", nargs=2, metavar=("VOXELS", "KIND"), help=argparse.SUPPRESS)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    if a.measure:
        measure_memory(int(a.measure[0]), a.measure[1])
        return

    large = in_a_fresh_process(a.voxels, "ours", a.threads)
    dense = in_a_fresh_process(a.dense, "dense", a.threads)
    small = in_a_fresh_process(a.dense, "ours", a.threads)
    ours_s, dense_s = turns(a.dense, a.turns)
    loss32, gradient32 = differences(a.dense, torch.float32)
    loss64, gradient64 = differences(a.dense // 2, torch.float64)
    keys = [a.voxels // 4, a.voxels // 2, a.voxels]
    seconds = by_keys(a.dense // 2, keys, a.turns)
    per_key = [s / m for s, m in zip(seconds, keys, strict=True)]
    linear = max(per_key) / min(per_key)
    result = {
        "voxels": a.voxels, "extra_gib": large["extra"] / GIB, "seconds": large["seconds"],
        "dense_voxels": a.dense,
        "dense_extra_gib": dense["extra"] / GIB, "ours_extra_gib": small["extra"] / GIB,
        "ours_s": ours_s, "dense_s": dense_s, "speedup": dense_s / ours_s,
        "loss_difference": loss32, "gradient_difference": gradient32,
        "loss_difference_float64": loss64, "gradient_difference_float64": gradient64,
        "keys": keys, "seconds_by_keys": seconds, "largest_to_smallest_time_per_key": linear,
        "threads": a.threads, "torch": torch.__version__,
    }  # fmt: skip
    print(f"{a.voxels} x {a.voxels} x {WIDTH}: {result['extra_gib']:.2f} GiB more, {large['seconds']:.1f} s")
    print(
        f"{a.dense} x {a.dense}: ours {ours_s:.2f} s and {result['ours_extra_gib']:.2f} GiB, "
        f"dense {dense_s:.2f} s and {result['dense_extra_gib']:.2f} GiB: {result['speedup']:.2f} x as fast"
    )
    print(
        f"differ by {loss32:.1e} (loss), {gradient32:.1e} (gradients); float64 {loss64:.1e}, {gradient64:.1e}"
    )
    shown = ", ".join(f"{m} keys {s:.2f} s" for m, s in zip(keys, seconds, strict=True))
    print(f"{a.dense // 2} anchors: {shown}; time a key differs by {linear:.2f} x")
    if a.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
