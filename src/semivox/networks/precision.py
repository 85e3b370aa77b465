"""Which precision a machine computes well in: one rule for training and for prediction.

bf16 is a candidate where the hardware has arithmetic for it (:func:`computes_bf16`), is trusted where its
logits are those of fp32 (:func:`bf16_error`), and in training is taken where it is faster
(:func:`measure_precisions`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf, isfinite
from time import perf_counter, process_time
from typing import Any, get_args

import torch
from torch import Tensor, nn

from semivox.devices import synchronise
from semivox.networks.contract import NormMode
from semivox.networks.segmenter import Precision, Segmenter

FAR = 0.2
"""Relative distance of bf16's logits to fp32's from which on bf16 is not trusted: rounding alone stays below
0.07 (five levels of batch normalisation), a faulty convolution comes near 1."""
NOISE = 1.2
"""By this factor a precision must have been slower than the other ever was, to be out at once."""


def computes_bf16(device: torch.device) -> bool:
    """Whether ``device`` has arithmetic for bf16; elsewhere it is emulated, on a CPU 25 to 75 times slower.

    Three things must say so on a CPU, and an environment variable can take two of them away:
    the processor itself (AVX512-bf16 or AMX; nothing hides it); oneDNN, which convolves
    (``ONEDNN_MAX_CPU_ISA=AVX2``: it answers no, and then its bf16 convolutions fall back to a slow loop); and
    ATen, which does all else (``ATEN_CPU_CAPABILITY=avx2``: normalisation, activations and resampling use
    narrower kernels; oneDNN does not heed it and convolves in bf16 as fast as before).
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    processor = (says(torch.cpu, name) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    wide = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    return any(processor) and wide and says(torch.ops.mkldnn, "_is_mkldnn_bf16_supported")


def says(place: Any, name: str) -> bool:
    """What a question that not every build of torch knows is answered; no where it is unknown."""
    try:
        return bool(getattr(place, name)())
    except (AttributeError, RuntimeError):
        return False


@torch.no_grad()
def bf16_error(network: nn.Module, example: Tensor, norm: NormMode = "batch") -> float:
    """Distance of the logits of ``example`` (B, C, X, Y[, Z]) in bf16 to those in fp32, relative to these;
    infinite where one is not finite. On some processors oneDNN's bf16 convolutions are wrong for thin last
    axes, so a machine is not taken at its word. The network stays as it is."""
    logits = {}
    with _precision_kept(network):
        for name in get_args(Precision):
            network.precision = name
            logits[name] = network(example, norm=norm).logits
    return _error(logits)


def _error(logits: Mapping[str, Tensor]) -> float:
    exact, rough = logits["fp32"], logits["bf16"]
    error = float((rough - exact).norm() / exact.norm().clamp(min=1e-12))
    return error if isfinite(error) else inf


@dataclass(frozen=True)
class Measured:
    """``seconds`` of a pass in each precision; ``error`` of bf16, as :func:`bf16_error` tells it."""

    seconds: Mapping[str, float]
    error: float


def measure_precisions(network: Segmenter, example: Tensor, repeats: int = 3, limit: float = inf) -> Measured:
    """Seconds of one forward and backward pass of ``example`` (B, C, X, Y[, Z]) in each precision, and how
    far bf16 is off.

    The fastest of ``repeats`` passes, precisions taking turns, after one pass each to warm up. No turn begins
    after ``limit`` seconds, where bf16 is not to be trusted, or when one precision is out: slower than the
    other has ever been. On a CPU the seconds are those of the process, a thread: what others do there must
    not choose. Weights, gradients, statistics and precision of the network stay as they are.
    """
    weights = [p for p in network.parameters() if p.requires_grad]
    names: tuple[Precision, ...] = get_args(Precision)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    logits: dict[str, Tensor] = {}
    began = perf_counter()
    with _precision_kept(network):
        for turn in range(repeats + 1):
            for name in names:
                network.precision = name
                start = _spent(example.device)
                output = network(example, norm="batch")
                maps = [output.logits, *output.scales, *([] if output.sdm is None else [output.sdm])]
                torch.autograd.grad(sum((m.square().mean() for m in maps), torch.zeros(())), weights)
                seconds[name].append(_spent(example.device) - start)
                logits[name] = output.logits.detach()
            error = _error(logits)
            out = error >= FAR or (turn and _one_is_out(list(seconds.values())))
            if out or perf_counter() - began >= limit:
                break
    return Measured({name: min(taken[1:] or taken) for name, taken in seconds.items()}, error)


def _one_is_out(seconds: list[list[float]]) -> bool:
    """Whether the fastest pass of one was slower than all passes of the other, beyond noise."""
    one, other = (taken[1:] for taken in seconds)
    return min(one) > NOISE * max(other) or min(other) > NOISE * max(one)


@contextmanager
def _precision_kept(network: Any) -> Iterator[None]:
    before = network.precision
    try:
        yield
    finally:
        network.precision = before


def _spent(device: torch.device) -> float:
    """Seconds, of which only differences mean something."""
    if device.type == "cpu":
        return process_time() / torch.get_num_threads()
    synchronise(device)
    return perf_counter()


__all__ = ["FAR", "Measured", "bf16_error", "computes_bf16", "measure_precisions", "says"]
