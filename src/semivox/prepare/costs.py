"""What a training step costs: multiply-adds of a planned network, and a table of what processors compute.

The estimates only choose the plan; ``train`` measures its own steps before it fixes their number. A row of
the table is corrected by a measurement of a second (:mod:`semivox.networks.speed`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from semivox.prepare.plan import NetworkPlan

VNET_ENCODER, VNET_DECODER = (1, 2, 3, 3, 3), (1, 2, 3, 3)
"""Convolutions a level of the papers' V-Net (arXiv 1606.04797), finest first."""


PROCESS_BYTES = 512 * 2**20
"""What a training process holds beside its activations."""

GRADIENT_FACTOR = 2.0
"""Peak memory of a step over the memory of the activations that it keeps."""

BYTES_PER_VALUE = 8.0
"""Memory kept for the backward pass, for each value that a convolution puts out (the value, its normalised
copy and the activation, in bfloat16)."""

MOST_CORES = 8
"""More cores than this are not counted on: a step's small layers cannot use them."""

CORES_EXPONENT = 0.6
"""So many cores to this power are worth one: 1.5 for two, measured on two of a virtual machine."""

REST = 1.07
"""A step over its network's passes: loss, optimizer and averages come along."""

A_CROP = 0.005
"""Seconds of cutting and changing a crop, whatever its size: what counts where patches are tiny."""

FORWARD = 1 / 3
"""Of a multiply-add's time in a step what a forward pass alone takes."""


@dataclass(frozen=True)
class Rates:
    """What networks of ours compute on one core, or on a whole GPU, in GFLOP/s (a multiply-add is two), by
    dimensions: in a forward pass, and in the backward pass, which takes twice the operations.

    ``where``: on what it was measured; None: nowhere yet, the row is that of another one.
    """

    words: str
    forward: Mapping[int, float]
    backward: Mapping[int, float]
    where: str | None = None
    bf16: bool = False
    whole: bool = False
    """Of a whole device: not to be multiplied by cores."""


_AVX2 = {2: 97.0, 3: 87.0}, {2: 78.0, 3: 67.0}
_BF16 = {2: 194.0, 3: 178.0}, {2: 187.0, 3: 172.0}
_GPU = {2: 6000.0, 3: 6000.0}, {2: 6000.0, 3: 6000.0}
_SMALL = "an H200, torch 2.11: a U-Net on 80 x 80 x 8 has 5300, a V-Net on 112 x 112 x 80 43000"
_HERE = "a core of an AMD EPYC (Zen 4), torch 2.13"

TABLE: Mapping[str, Rates] = MappingProxyType(
    {
        "plain": Rates("no AVX2", {2: 40.0, 3: 40.0}, {2: 30.0, 3: 30.0}),
        "avx2": Rates("AVX2, float32", *_AVX2, where=f"{_HERE}, limited to AVX2"),
        "avx512": Rates("AVX512, float32", {2: 92.0, 3: 88.0}, {2: 92.0, 3: 86.0}, where=_HERE),
        "avx512-bf16": Rates("AVX512, bfloat16", *_BF16, where=_HERE, bf16=True),
        "amx": Rates("AMX, bfloat16", *_BF16, bf16=True),
        "arm": Rates("ARM, float32", *_AVX2),
        "apple": Rates("Apple, float32", *_AVX2),
        "cuda 7": Rates("CUDA of generation 7", *_GPU, whole=True),
        "cuda 8": Rates("CUDA of generation 8", *_GPU, bf16=True, whole=True),
        "cuda 9": Rates("CUDA of generation 9", *_GPU, where=_SMALL, bf16=True, whole=True),
        "cuda": Rates("CUDA of another generation", *_GPU, bf16=True, whole=True),
    }
)
"""Capability -> rates. A new one is a row: benchmarks/plan_estimate.py prints its figures."""


@dataclass(frozen=True)
class Costs:
    """Rates of one machine.

    ``seconds_per_mac``: dimensions -> seconds that a multiply-add of the *forward* pass costs in a whole step
    (forward, backward, all else). ``seconds_a_crop``: what comes along. ``memory_bytes``: of the machine;
    None does not limit a plan. ``words``: what machine that is, and how it is known.
    """

    seconds_per_mac: Mapping[int, float]
    memory_bytes: int | None = None
    words: str = "made up"
    seconds_a_crop: float = 0.0


def costs_of(capability: str, cores: int = 1, times: float = 1.0, memory: int | None = None) -> Costs:
    """Those of the table for so many cores; ``times``: as measured here, over the table's."""
    rates = TABLE[capability]
    cores = 1 if rates.whole else min(cores, MOST_CORES)
    each = {
        dims: REST * times * pass_seconds(rates, dims) / cores**CORES_EXPONENT
        for dims in sorted(rates.forward)
    }
    count = "" if rates.whole else f"{cores} core{'s' * (cores > 1)} with "
    return Costs(MappingProxyType(each), memory, f"{count}{rates.words}", times * A_CROP)


def pass_seconds(rates: Rates, dims: int) -> float:
    """Seconds of a core that a multiply-add of the forward pass costs, there and back."""
    return 2e-9 / rates.forward[dims] + 4e-9 / rates.backward[dims]


COSTS = costs_of("avx512-bf16", 2)


@dataclass(frozen=True)
class _Convolution:
    voxels: int  # of its output
    inputs: int
    outputs: int
    kernel: int  # voxels of the kernel

    @property
    def macs(self) -> int:
        return self.voxels * self.inputs * self.outputs * self.kernel


def network_macs(network: NetworkPlan, channels: int, classes: int, patch: Sequence[int]) -> int:
    """Multiply-adds of one forward pass over one patch; ``classes`` includes background."""
    return sum(conv.macs for conv in _convolutions(network, channels, classes, patch))


def step_seconds(
    network: NetworkPlan,
    patch: Sequence[int],
    batch: Sequence[int],
    costs: Costs = COSTS,
    channels: int = 1,
    classes: int = 2,
) -> float:
    """Estimated seconds of forward + backward + update over ``sum(batch)`` patches."""
    macs = network_macs(network, channels, classes, patch)
    return sum(batch) * (macs * costs.seconds_per_mac[len(patch)] + costs.seconds_a_crop)


def labelling_seconds(
    network: NetworkPlan,
    patch: Sequence[int],
    shape: Sequence[int],
    costs: Costs = COSTS,
    channels: int = 1,
    classes: int = 2,
) -> float:
    """Estimated seconds of labelling a scan of ``shape`` in windows of ``patch`` that overlap by half, by
    the mean over it and its mirror image."""
    windows = math.prod(max(1, math.ceil(2 * n / p) - 1) for n, p in zip(shape, patch, strict=True))
    macs = network_macs(network, channels, classes, patch)
    return 2 * windows * FORWARD * macs * costs.seconds_per_mac[len(patch)]


def step_memory(
    network: NetworkPlan,
    patch: Sequence[int],
    batch: Sequence[int],
    channels: int = 1,
    classes: int = 2,
) -> int:
    """Estimated peak of a training process's memory, with steps over ``sum(batch)`` patches."""
    values = sum(conv.voxels * conv.outputs for conv in _convolutions(network, channels, classes, patch))
    return PROCESS_BYTES + int(GRADIENT_FACTOR * sum(batch) * values * BYTES_PER_VALUE)


def _convolutions(
    network: NetworkPlan, channels: int, classes: int, patch: Sequence[int]
) -> Iterator[_Convolution]:
    """Every convolution of the network, with its size."""
    features, levels = network.features, len(network.features)
    voxels = [math.prod(patch)]
    for stride in network.strides:
        voxels.append(voxels[-1] // math.prod(stride))
    vnet = network.kind == "vnet"
    for i in range(levels):
        kernel, width = math.prod(network.kernels[i]), features[i]
        if i > 0 and vnet:  # a strided convolution comes between levels, then convolutions of equal width
            yield _Convolution(voxels[i], features[i - 1], width, math.prod(network.strides[i - 1]))
        below = width if vnet and i > 0 else (channels if i == 0 else features[i - 1])
        yield _Convolution(voxels[i], below, width, kernel)
        for _ in range((VNET_ENCODER[min(i, 4)] if vnet else 2) - 1):
            yield _Convolution(voxels[i], width, width, kernel)
    for i in range(levels - 1):
        kernel, width = math.prod(network.kernels[i]), features[i]
        # A transposed convolution with kernel = stride: each output voxel sees one input voxel.
        yield _Convolution(voxels[i], features[i + 1], width, 1)
        joined = width if vnet else 2 * width  # V-Net adds the skip, U-Net puts it beside
        yield _Convolution(voxels[i], joined, width, kernel)
        for _ in range((VNET_DECODER[min(i, 3)] if vnet else 2) - 1):
            yield _Convolution(voxels[i], width, width, kernel)
    yield _Convolution(voxels[0], features[0], classes, 1)
