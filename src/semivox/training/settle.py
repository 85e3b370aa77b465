"""What a run fixes by measuring, once, before step 0: the arithmetic and the number of steps."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import torch

from semivox.batches import Batches
from semivox.methods.declare import Facts, Method, Optimizer, Stage
from semivox.networks import Segmenter, measure_precisions
from semivox.training.loop import Hooks, fit

Make = Callable[[int, str], tuple[Facts, Method]]
"""Builds a method for (steps, precision), its weights a function of the seed alone."""


def fastest_precision(
    make: Make, batches: Callable[[Stage], Batches], device: torch.device
) -> dict[str, float]:
    """Seconds of a forward and backward pass in each precision, fastest first.

    On a GPU without bf16, or for networks that are not ours, fp32 is all there is.
    """
    facts, method = make(100, "fp32")
    network = next((m for m in method.children() if isinstance(m, Segmenter)), None)
    if network is None or (device.type == "cuda" and not torch.cuda.is_bf16_supported()):
        return {"fp32": 0.0}
    crops = next(iter(batches(method.stages(facts)[0]).batch(0).values()))
    seconds = measure_precisions(network, next(iter(crops.views.values())).to(device))
    return dict(sorted(seconds.items(), key=lambda item: item[1]))


def seconds_a_step(
    make: Make,
    precision: str,
    batches: Callable[[Stage], Batches],
    optimizer: Optimizer,
    device: torch.device,
    *,
    warm_up: int = 2,
    timed: int = 5,
) -> float:
    """Median seconds of a step, averaged over the stages by their share, on a method that is thrown away."""
    facts, method = make(100, precision)
    stages: Sequence[Stage] = method.stages(facts)
    equal = [replace(stage, share=1.0) for stage in stages]
    each = warm_up + timed
    laps: list[float] = [time.perf_counter()]
    fit(
        method,
        replace(facts, steps=each * len(stages)),
        batches,
        optimizer=optimizer,
        rebuild=lambda: make(100, precision)[1],
        paper_steps=1,
        device=device,
        hooks=Hooks(progress=lambda step, record: laps.append(_now(device))),
        stages=equal,
    )
    taken = [b - a for a, b in pairwise(laps)]
    medians = [statistics.median(taken[i * each + warm_up : (i + 1) * each]) for i in range(len(stages))]
    shares = [stage.share for stage in stages]
    return sum(m * s for m, s in zip(medians, shares, strict=True)) / sum(shares)


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
