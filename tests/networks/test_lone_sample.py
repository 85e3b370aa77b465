"""A convolution of a batch of one: the numbers of a batch of two, and not in torch's slow loops."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from semivox.networks import build_network
from semivox.networks.layers import convolution, upsampling
from semivox.prepare import NetworkPlan
from semivox.randomness import Key

LAYERS = {
    "3 x 3 x 3": lambda: convolution(6, 4, (3, 3, 3), bias=True),
    "3 x 3 x 1": lambda: convolution(6, 4, (3, 3, 1), bias=False),
    "down": lambda: convolution(6, 8, (2, 2, 2), (2, 2, 2), bias=False),
    "down, overlapping": lambda: convolution(6, 8, (3, 3, 3), (2, 2, 1), bias=False),
    "1 x 1 x 1": lambda: convolution(6, 3, (1, 1, 1), bias=True),
    "up": lambda: upsampling(6, 3, (2, 2, 2)),
    "up, anisotropic": lambda: upsampling(6, 4, (2, 3, 1)),
}
SIZES = ((8, 6, 4), (6, 8, 2), (2, 2, 2), (1, 2, 2), (7, 4, 6))


def plain(layer: nn.Module, x: Tensor) -> Tensor:
    """torch's own, in float64."""
    kind = nn.ConvTranspose3d if isinstance(layer, nn.ConvTranspose3d) else nn.Conv3d
    return kind.forward(layer.double(), x.double())


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("size", SIZES)
def test_one_sample_is_what_torch_makes_of_it(name: str, size: tuple[int, ...]) -> None:
    layer = LAYERS[name]().requires_grad_(False).to(memory_format=torch.channels_last_3d)
    for p in layer.parameters():
        nn.init.normal_(p, generator=Key(1).torch())
    if "down" in name:  # sizes that are no multiples do not occur
        size = tuple(n * s for n, s in zip(size, layer.stride, strict=True))
    x = torch.randn(1, 6, *size, generator=Key(0).torch()).to(memory_format=torch.channels_last_3d)
    y = layer(x)
    torch.testing.assert_close(y.double(), plain(layer, x), atol=1e-5, rtol=1e-5)
    assert y.is_contiguous(memory_format=torch.channels_last_3d) or size[0] == 1


def slow_loops(network: nn.Module, x: Tensor) -> list[str]:
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        network(x, norm="running")
    assert any("convolution" in event.key for event in seen.key_averages())
    return [event.key for event in seen.key_averages() if "slow" in event.key]


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this torch has no fast library")
@pytest.mark.parametrize("kind", ["vnet", "unet"])
def test_a_network_has_no_slow_loop(kind: str) -> None:
    """But for convolutions of one voxel: on one thread torch makes them matrix products, in any batch."""
    plan = NetworkPlan(kind, (4, 8, 16), ((3, 3, 3),) * 3, ((2, 2, 2), (2, 2, 1)), "batch")
    network = build_network(plan, 1, 2, Key(0)).requires_grad_(False).eval()
    x = torch.randn(2, 1, 16, 16, 4)
    torch.testing.assert_close(
        network(x[:1], norm="running").logits, network(x, norm="running").logits[:1], atol=1e-5, rtol=1e-5
    )
    network.head = nn.Identity()
    assert slow_loops(network, x) == []
    assert slow_loops(network, x[:1]) == []


def test_gradients_go_through_torchs_own_way() -> None:
    layer = LAYERS["3 x 3 x 3"]().to(memory_format=torch.channels_last_3d)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    x = torch.randn(1, 6, 4, 4, 4).to(memory_format=torch.channels_last_3d).requires_grad_()
    ours = torch.autograd.grad(layer(x).square().sum(), (x, layer.weight))
    theirs = torch.autograd.grad(nn.Conv3d.forward(layer, x).square().sum(), (x, layer.weight))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)
