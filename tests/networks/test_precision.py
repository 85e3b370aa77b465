"""Precision: bf16 only where the hardware computes in it, rightly; measuring ends early."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from semivox.networks import bf16_error, build_network, computes_bf16, measure_precisions, precision
from semivox.networks.contract import Output
from semivox.prepare import NetworkPlan
from semivox.randomness import Key

CPU = torch.device("cpu")
PLAN = NetworkPlan("unet", (4, 8), ((3, 3), (3, 3)), ((2, 2),))


def answer(**environment: str) -> tuple[str, ...]:
    """(rule, ATen's capability, oneDNN's answer, seconds of a bf16 and of an fp32 convolution) in a process
    with these variables."""
    code = (
        "import torch, time; from semivox.networks import computes_bf16\n"
        "try: onednn = torch.ops.mkldnn._is_mkldnn_bf16_supported()\n"
        "except (AttributeError, RuntimeError): onednn = None\n"
        "print(computes_bf16(torch.device('cpu')), torch.backends.cpu.get_cpu_capability(), onednn)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return tuple(done.stdout.split())


@pytest.mark.parametrize(("name", "value"), [("ONEDNN_MAX_CPU_ISA", "AVX2"), ("ATEN_CPU_CAPABILITY", "avx2")])
def test_a_machine_held_to_avx2_does_not_compute_in_bf16(name: str, value: str) -> None:
    free, held = answer(), answer(**{name: value})
    assert held[0] == "False"
    if name == "ONEDNN_MAX_CPU_ISA":  # it tells oneDNN alone
        assert (held[1], held[2]) == (free[1], "False")
    else:  # and this ATen alone
        assert (held[1], held[2]) == (min(free[1], "AVX2", key=["DEFAULT", "AVX2", "AVX512"].index), free[2])


def test_each_of_the_three_can_say_no(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"processor": True, "aten": "AVX512", "onednn": True}
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: said["processor"], raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: said["processor"], raising=False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: said["aten"])
    answers: Callable[[], Any] = lambda: said["onednn"]  # noqa: E731
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", answers, raising=False)
    assert computes_bf16(CPU)
    for name, no in {"processor": False, "aten": "AVX2", "onednn": False}.items():
        before, said[name] = said[name], no
        assert not computes_bf16(CPU)
        said[name] = before

    def unknown() -> bool:
        raise AttributeError("this build has no such question")

    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", unknown, raising=False)
    assert not computes_bf16(CPU)
    assert not computes_bf16(torch.device("meta"))


class Wrong(nn.Module):
    """Its logits in bf16 are ``scale`` times those in fp32."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale, self.precision = scale, "fp32"

    def forward(self, x: Tensor, drop: None = None, norm: str = "update") -> Output:
        return Output(x * (self.scale if self.precision == "bf16" else 1.0))


def test_the_error_is_relative_and_leaves_the_network_alone() -> None:
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    network = Wrong(0.25)
    assert bf16_error(network, x) == pytest.approx(0.75)
    assert network.precision == "fp32"
    assert bf16_error(Wrong(float("nan")), x) == float("inf")
    assert bf16_error(build_network(PLAN, 1, 2, Key(0)), x) < precision.FAR / 2


@pytest.mark.parametrize(
    ("fp32", "bf16", "limit", "passes"),
    [
        (1.0, 50.0, 1e9, 2),  # out after one turn beyond the warm-up
        (50.0, 1.0, 1e9, 2),
        (1.0, 1.1, 1e9, 4),  # too close: all of the repeats
        (1.0, 1.1, 9.0, 2),  # the limit passes within the second turn
        (1.0, 50.0, 30.0, 1),  # ... and within the first: the warm-up is all there is
    ],
)
def test_measuring_ends_as_soon_as_one_is_out(
    fp32: float, bf16: float, limit: float, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build_network(PLAN, 1, 2, Key(0))
    now, forwards = [0.0], count()
    took = {"fp32": fp32, "bf16": bf16}
    forward = type(network).forward

    def timed(self: Any, *a: Any, **k: Any) -> Output:
        next(forwards)
        now[0] += took[self.precision]
        return forward(self, *a, **k)

    monkeypatch.setattr(type(network), "forward", timed)
    monkeypatch.setattr(precision, "perf_counter", lambda: 3 * now[0])  # others have the CPU, too
    monkeypatch.setattr(precision, "process_time", lambda: now[0] * torch.get_num_threads())
    found = measure_precisions(network, torch.ones(2, 1, 8, 8), limit=limit)  # type: ignore[arg-type]
    assert found.error < precision.FAR
    assert found.seconds == pytest.approx(took)
    assert next(forwards) == 2 * passes
