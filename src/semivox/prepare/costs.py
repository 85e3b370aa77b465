"""What a training step costs: multiply-adds of a planned network, and measured rates to turn them into time.

The estimates only choose the plan; ``train`` measures its own steps before it fixes their number.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from semivox.machine import cpus, memory_bytes
from semivox.prepare.plan import NetworkPlan

VNET_ENCODER, VNET_DECODER = (1, 2, 3, 3, 3), (1, 2, 3, 3)
"""Convolutions a level of the papers' V-Net (arXiv 1606.04797), finest first."""


PROCESS_BYTES = 512 * 2**20
"""What a training process holds beside its activations."""

GRADIENT_FACTOR = 2.0
"""Peak memory of a step over the memory of the activations that it keeps."""

MOST_CORES = 8
"""More cores than this are not counted on: a step's small layers cannot use them."""


@dataclass(frozen=True)
class Costs:
    """Measured rates of one machine.

    ``seconds_per_mac``: network kind -> seconds a multiply-add of the *forward* pass costs in a whole step
    (forward, backward, optimizer). The V-Net's is measured in wall time; the U-Net's follows from the ratio
    of the two in processor time, 0.75 to 1.07 over four patches. ``bytes_per_value``: memory kept for the
    backward pass, for each value that a convolution puts out (the value, its normalised copy and the
    activation, in bfloat16). ``memory_bytes``: of the machine; None does not limit a plan.
    """

    seconds_per_mac: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType({"vnet": 2.7e-11, "unet": 2.4e-11})
    )
    bytes_per_value: float = 8.0
    cores: int = 2
    memory_bytes: int | None = None
    measured_on: str = "2 cores of a Zen 5 server CPU, torch 2.13, bfloat16, channels last"


COSTS = Costs()


def costs_here(costs: Costs = COSTS) -> Costs:
    """``costs``, as they should be with this process's cores and memory: the time of a step is taken to be
    inversely proportional to its cores."""
    cores = min(cpus(), MOST_CORES)
    rates = {kind: rate * costs.cores / cores for kind, rate in costs.seconds_per_mac.items()}
    words = costs.measured_on if cores == costs.cores else f"{costs.measured_on}, taken to {cores}"
    return replace(costs, seconds_per_mac=rates, cores=cores, memory_bytes=memory_bytes(), measured_on=words)


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
    return sum(batch) * macs * costs.seconds_per_mac[network.kind]


def step_memory(
    network: NetworkPlan,
    patch: Sequence[int],
    batch: Sequence[int],
    costs: Costs = COSTS,
    channels: int = 1,
    classes: int = 2,
) -> int:
    """Estimated peak of a training process's memory, with steps over ``sum(batch)`` patches."""
    values = sum(conv.voxels * conv.outputs for conv in _convolutions(network, channels, classes, patch))
    return PROCESS_BYTES + int(GRADIENT_FACTOR * sum(batch) * values * costs.bytes_per_value)


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
