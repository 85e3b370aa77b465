"""What this machine computes: its row of the table of costs, corrected by a measurement that is kept.

The measurement takes a second, and is kept in the user's cache for this processor, its limits, its cores and
this torch. What is read there is believed only as far as it can be true; without it the table counts.
"""

from __future__ import annotations

import contextlib
import math
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from semivox.contents import MachineSpeed
from semivox.devices import choose_device, synchronise
from semivox.errors import SemivoxError
from semivox.files import make_folder, read_json, write_json
from semivox.machine import cpus, memory_bytes, processor, user_cache
from semivox.networks.build import build_network
from semivox.networks.precision import computes_bf16, says
from semivox.prepare.architecture import choose_network
from semivox.prepare.cache import digest
from semivox.prepare.costs import (
    CORES_EXPONENT,
    MOST_CORES,
    TABLE,
    Costs,
    costs_of,
    network_macs,
    pass_seconds,
)
from semivox.randomness import Key

SECONDS = 1.0
"""No pass begins after so many, but for the second."""
PASSES = 8
PATCH = (24, 24, 24)
CROPS = 4
"""For each core."""
SMALL_LAYERS = 1.08
"""What the small network measured takes for a multiply-add, over those of plans."""
UNDISTURBED = 0.85
"""Share of their time for which threads worked, from which on nobody else had their cores."""
BELIEVED = 1 / 6, 6.0
"""A machine takes so many times what the table says; anything else was no measurement."""
GRAIN = 1.1
"""Times are rounded to powers of it: two measurements should make one plan."""
KEPT = {True: 90 * 86400.0, False: 3600.0}
"""Seconds for which a measurement is kept: of a quiet machine, of a busy one."""
WIDE = ("AVX512", "AVX10", "DEFAULT", "ALL")
"""What oneDNN may be told without losing AVX512."""


@dataclass(frozen=True)
class Speed:
    """``times`` what the table says, measured on a machine that was ``quiet`` or not."""

    times: float
    quiet: bool

    @property
    def can_be(self) -> bool:
        return BELIEVED[0] <= self.times <= BELIEVED[1]


def costs_here(
    device: str = "auto", threads: int | None = None, precision: str = "auto", measure: bool = True
) -> Costs:
    """The costs of this machine's ``device`` with so many ``threads`` (all cores) in ``precision``.

    ``measure``: whether there is a second or two for it, where nothing is known yet.
    """
    where = choose_device(device)
    row, cores = capability(where, precision), threads or cpus()
    place = user_cache() / "semivox" / f"speed-{_key(where, row, cores)}.json"
    speed = _kept(place)
    if speed is None and measure:
        with contextlib.suppress(RuntimeError):  # a GPU without room for it, a library without a kernel
            found = measured(where, row, cores)
            if found.can_be:
                speed = found
                _keep(place, found)
    times = 1.0 if speed is None else GRAIN ** round(math.log(speed.times, GRAIN))
    costs = costs_of(row, cores, times, memory_bytes())
    return replace(costs, words=f"{costs.words}, {'not ' if speed is None else ''}measured here")


def capability(device: torch.device, precision: str = "auto") -> str:
    """The row of the table for ``device``."""
    if device.type == "cuda":
        generation = f"cuda {torch.cuda.get_device_capability(device)[0]}"
        return generation if generation in TABLE else "cuda"
    if device.type == "cpu" and precision != "fp32" and computes_bf16(device):
        return "amx" if says(torch.cpu, "_is_amx_tile_supported") else "avx512-bf16"
    if platform.machine().lower() in ("arm64", "aarch64"):
        return "apple" if platform.system() == "Darwin" else "arm"
    # convolutions are most of a step: what oneDNN may use counts, and it tells nobody
    told = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or "DEFAULT"
    if says(torch.cpu, "_is_avx512_supported") and told.upper().startswith(WIDE):
        return "avx512"
    return "avx2" if says(torch.cpu, "_is_avx2_supported") else "plain"


def measured(device: torch.device, row: str, cores: int) -> Speed:
    """Seconds of a small network's passes over those of the table, and whether the machine was quiet.

    The fastest pass counts; where others had the cores, what one thread works for it alone.
    """
    cores = 1 if TABLE[row].whole else min(cores, MOST_CORES)
    with _threads(cores):
        clock, worked = _fastest_pass(device, row, CROPS * cores)
    if device.type != "cpu" or worked >= UNDISTURBED * clock * cores:
        seconds, quiet = clock, True
    elif cores == 1:
        seconds, quiet = worked, False
    else:
        with _threads(1):
            seconds = _fastest_pass(device, row, CROPS)[1] * cores / cores**CORES_EXPONENT
        quiet = False
    macs = CROPS * cores * network_macs(choose_network(PATCH, (1.0,) * 3), 1, 2, PATCH)
    expected = SMALL_LAYERS * macs * pass_seconds(TABLE[row], 3) / cores**CORES_EXPONENT
    return Speed(seconds / expected, quiet)


def _fastest_pass(device: torch.device, row: str, crops: int) -> tuple[float, float]:
    """Seconds of the clock, and of cores, that the fastest forward and backward pass took."""
    plan = choose_network(PATCH, (1.0,) * 3)
    network = build_network(plan, 1, 2, Key(0)).to(device)
    network.precision = "bf16" if TABLE[row].bf16 and computes_bf16(device) else "fp32"
    x = torch.arange(crops * math.prod(PATCH), device=device).sin().view(crops, 1, *PATCH)
    weights, began, passes = list(network.parameters()), time.perf_counter(), []
    for _ in range(PASSES):
        start = _now(device)
        with torch.enable_grad():
            torch.autograd.grad(network(x, norm="batch").logits.square().mean(), weights)
        passes.append(tuple(b - a for a, b in zip(start, _now(device), strict=True)))
        if len(passes) > 1 and time.perf_counter() - began >= SECONDS:
            break
    return min(p[0] for p in passes[1:]), min(p[1] for p in passes[1:])


def _now(device: torch.device) -> tuple[float, float]:
    synchronise(device)
    return time.perf_counter(), time.process_time()


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _key(device: torch.device, row: str, cores: int) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
    limits = {name: os.environ.get(name) for name in ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")}
    return digest({"device": name, "row": row, "cores": cores, "torch": str(torch.__version__), **limits})


def _kept(place: Path) -> Speed | None:
    """What was measured before, unless it is too old, or no record of ours."""
    try:
        found = read_json(place, kind=MachineSpeed)
    except SemivoxError:
        return None
    age = time.time() - found["measured"]
    speed = Speed(found["times"], found["quiet"])
    return speed if 0 <= age < KEPT[speed.quiet] and speed.can_be else None


def _keep(place: Path, speed: Speed) -> None:
    with contextlib.suppress(SemivoxError, OSError):  # it is only measured again
        make_folder(place.parent)
        write_json(place, {"format": 1, "times": speed.times, "quiet": speed.quiet, "measured": time.time()})
