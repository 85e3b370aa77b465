"""Seconds to evaluate a case, all fields of the evaluation file: semivox, MedPy and MONAI.

``python benchmarks/metrics_time.py``: made-up organs on three grids. All three take turns in one process; the
ratio of the medians is the claim. The libraries compute the fields that they share with ours, from masks
that lie ready for them, and semivox all ten, from the label maps. The largest difference of a shared field is
printed too. ``--json`` prints one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from literal.metrics import with_medpy, with_monai
from semivox.evaluation import case_metrics

Shape = tuple[int, int, int]
TOLERANCE_MM = 2.0

CASES: dict[str, tuple[Shape, tuple[float, ...], tuple[Shape, ...]]] = {
    "atrium": ((206, 137, 88), (0.625, 0.625, 0.625), ((75, 48, 30),)),
    "atrium, thick slices": ((206, 137, 88), (0.625, 0.625, 2.5), ((75, 48, 30),)),
    "abdomen": ((512, 512, 300), (0.8, 0.8, 1.5), ((120, 95, 55), (60, 45, 40), (22, 20, 12))),
}
"""Shape, spacing, and the half axes of each organ in voxels."""


def organs(shape: Shape, half_axes: tuple[Shape, ...], wobble: float) -> np.ndarray:
    """Label map with an uneven ellipsoid a class, side by side; ``wobble`` moves the surfaces by a few
    voxels."""
    labels = np.zeros(shape, np.uint8)
    for k, axes in enumerate(half_axes, 1):
        place = k / (len(half_axes) + 1)
        centre = [round(n * place) if n > 300 else n // 2 for n in shape]
        box = tuple(
            slice(max(0, c - 2 * a), min(n, c + 2 * a)) for n, c, a in zip(shape, centre, axes, strict=True)
        )
        index = np.ogrid[box]
        u, v, w = ((i - c) / a for i, c, a in zip(index, centre, axes, strict=True))
        bumps = 0.12 * np.sin(5 * u + k) * np.cos(4 * v) + wobble * np.sin(7 * w + 3 * v + 2 * u)
        labels[box][u * u + v * v + w * w < 1 + bumps] = k
    return labels


def one_hot(labels: np.ndarray, classes: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([labels == k for k in range(1, classes + 1)])[None].astype(np.uint8))


def measure(name: str, turns: int, medpy_turns: int) -> dict[str, Any]:
    shape, spacing, half_axes = CASES[name]
    values = range(1, len(half_axes) + 1)
    prediction, reference = organs(shape, half_axes, 0.1), organs(shape, half_axes, -0.05)
    masks = [(prediction == k, reference == k) for k in values]
    stacks = one_hot(prediction, len(values)), one_hot(reference, len(values))
    work: dict[str, tuple[Callable[[], list[dict[str, float]]], int]] = {
        "semivox": (lambda: [*case_metrics(prediction, reference, values, spacing).values()], turns),
        "monai": (lambda: with_monai(*stacks, spacing, TOLERANCE_MM), turns),
        "medpy": (lambda: [with_medpy(p, r, spacing) for p, r in masks], medpy_turns),
    }
    laps: dict[str, list[tuple[float, float]]] = {kind: [] for kind in work}
    rows: dict[str, list[dict[str, float]]] = {}
    for turn in range(turns):
        for kind, (function, wanted) in work.items():
            if turn < wanted:
                began, cpu = time.perf_counter(), time.process_time()
                rows[kind] = function()
                laps[kind].append((time.perf_counter() - began, time.process_time() - cpu))
    wall = {kind: statistics.median(lap[0] for lap in of_kind) for kind, of_kind in laps.items() if of_kind}
    cpu_s = {kind: statistics.median(lap[1] for lap in of_kind) for kind, of_kind in laps.items() if of_kind}
    differences = {
        kind: max(
            abs(row[field] - ours[field])
            for row, ours in zip(rows[kind], rows["semivox"], strict=True)
            for field in row
        )
        for kind in wall
    }
    for kind in wall:
        print(
            f"{name:22}{kind:10}{wall[kind]:9.3f}{cpu_s[kind]:9.3f}{wall[kind] / wall['semivox']:8.1f}"
            f"{cpu_s[kind] / cpu_s['semivox']:8.1f}{differences[kind]:12.1e}",
            flush=True,
        )
    others = [kind for kind in wall if kind != "semivox"]
    return {
        "shape": shape, "spacing_mm": spacing, "classes": len(values),
        "dice": [row["dice"] for row in rows["semivox"]],
        **{f"{kind}_s": wall[kind] for kind in wall},
        **{f"{kind}_ratio": wall[kind] / wall["semivox"] for kind in others},
        **{f"{kind}_cpu_ratio": cpu_s[kind] / cpu_s["semivox"] for kind in others},
        **{f"{kind}_difference": differences[kind] for kind in others},
    }  # fmt: skip


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--turns", type=int, default=5, help="(at the largest size 3, of MedPy 1)")
    parser.add_argument("--no-medpy", action="store_true", help="leave out the slowest")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", action="store_true")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    print(f"{'':22}{'':10}{'seconds':>9}{'CPU s':>9}{'ratio':>8}{'by CPU':>8}{'difference':>12}")
    found = {}
    for name in a.cases:
        large = name == "abdomen"
        turns = min(a.turns, 3) if large else a.turns
        found[name] = measure(name, turns, 0 if a.no_medpy else 1 if large else turns)
    if a.json:
        print(json.dumps({"benchmark": "metrics_time", "threads": a.threads, "cases": found}))


if __name__ == "__main__":
    main()
