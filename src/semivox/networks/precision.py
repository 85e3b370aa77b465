"""Measure what a precision costs on this machine; training decides with the numbers."""

from __future__ import annotations

from time import perf_counter
from typing import get_args

import torch
from torch import Tensor

from semivox.networks.segmenter import Precision, Segmenter


def measure_precisions(network: Segmenter, example: Tensor, repeats: int = 3) -> dict[str, float]:
    """Seconds of one forward and backward pass of ``example`` (B, C, X, Y[, Z]) in each precision.

    The fastest of ``repeats`` passes, precisions taking turns, after one pass each to warm up. Weights,
    gradients, statistics and precision of the network stay as they are.
    """
    weights = [p for p in network.parameters() if p.requires_grad]
    names: tuple[Precision, ...] = get_args(Precision)
    before = network.precision
    seconds: dict[str, float] = {name: float("inf") for name in names}
    try:
        for turn in range(repeats + 1):
            for name in names:
                network.precision = name
                _synchronise(example.device)
                start = perf_counter()
                output = network(example, norm="batch")
                maps = [output.logits, *output.scales, *([] if output.sdm is None else [output.sdm])]
                torch.autograd.grad(sum((m.square().mean() for m in maps), torch.zeros(())), weights)
                _synchronise(example.device)
                if turn:
                    seconds[name] = min(seconds[name], perf_counter() - start)
    finally:
        network.precision = before
    return seconds


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


__all__ = ["measure_precisions"]
