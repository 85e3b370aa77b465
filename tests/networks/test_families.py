"""V-Net and U-Net equal a plain forward pass written from their description with torch's functions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from semivox.networks import build_network
from semivox.prepare.plan import NetworkPlan
from semivox.randomness import Key


class Reference:
    """Layers by name from a state dict; batch statistics."""

    def __init__(self, state: dict[str, Tensor], dims: int, slope: float) -> None:
        self.state, self.slope = state, slope
        self.conv = functional.conv2d if dims == 2 else functional.conv3d
        self.transposed = functional.conv_transpose2d if dims == 2 else functional.conv_transpose3d

    def norm(self, x: Tensor, name: str) -> Tensor:
        axes = (0, *range(2, x.dim()))
        x = (x - x.mean(axes, keepdim=True)) / (x.var(axes, unbiased=False, keepdim=True) + 1e-5).sqrt()
        shape = (1, -1, *(1,) * (x.dim() - 2))
        x = x * self.state[name + ".norm.weight"].reshape(shape)
        return functional.leaky_relu(x + self.state[name + ".norm.bias"].reshape(shape), self.slope)

    def block(self, x: Tensor, name: str, number: int, stride: tuple[int, ...] | int = 1) -> Tensor:
        for i in range(number):
            weight = self.state[f"{name}.layers.{i}.conv.weight"]
            padding = [k // 2 for k in weight.shape[2:]]
            x = self.conv(x, weight, stride=stride if i == 0 else 1, padding=padding)
            x = self.norm(x, f"{name}.layers.{i}")
        return x


def state_with_random_norms(network: torch.nn.Module) -> dict[str, Tensor]:
    draw = Key("norms").torch()
    for name, parameter in network.named_parameters():
        if ".norm." in name:
            parameter.data = torch.rand(parameter.shape, generator=draw) + 0.5
    return dict(network.state_dict())


@pytest.mark.parametrize("dims", [2, 3])
def test_vnet(dims: int) -> None:
    plan = NetworkPlan("vnet", (4, 6, 8, 10, 12), ((3,) * dims,) * 5, ((2,) * dims,) * 4)
    network = build_network(plan, 2, 3, Key(0))
    reference = Reference(state_with_random_norms(network), dims, slope=0.0)
    state = reference.state
    x = torch.randn(2, 2, *(32,) * dims, generator=Key("x").torch())
    y, skips = x, []
    for level, number in enumerate((1, 2, 3, 3, 3)):
        y = reference.block(y, f"trunk.encoders.{level}", number)
        if level < 4:
            skips.append(y)
            down = f"trunk.downs.{level}"
            y = reference.norm(reference.conv(y, state[down + ".conv.weight"], stride=2), down)
    for level, number in ((3, 3), (2, 3), (1, 2), (0, 1)):
        up = f"trunk.ups.{level}"
        y = reference.norm(reference.transposed(y, state[up + ".conv.weight"], stride=2), up)
        y = reference.block(y + skips[level], f"trunk.decoders.{level}", number)
    y = reference.conv(y, state["head.weight"], state["head.bias"])
    torch.testing.assert_close(network(x, None, "batch").logits, y, rtol=1e-3, atol=1e-4)


def test_anisotropic_unet() -> None:
    strides = ((2, 2, 1), (2, 2, 2))
    plan = NetworkPlan("unet", (4, 6, 8), ((3, 3, 1), (3, 3, 1), (3, 3, 3)), strides)
    network = build_network(plan, 2, 3, Key(0))
    reference = Reference(state_with_random_norms(network), 3, slope=0.01)
    state = reference.state
    x = torch.randn(2, 2, 16, 12, 6, generator=Key("x").torch())
    y, skips = x, []
    for level in range(3):
        y = reference.block(y, f"trunk.encoders.{level}", 2, strides[level - 1] if level else 1)
        skips.append(y)
    for level in (1, 0):
        up = reference.transposed(y, state[f"trunk.ups.{level}.weight"], stride=strides[level])
        y = reference.block(torch.cat([up, skips[level]], 1), f"trunk.decoders.{level}", 2)
    y = reference.conv(y, state["head.weight"], state["head.bias"])
    torch.testing.assert_close(network(x, None, "batch").logits, y, rtol=1e-3, atol=1e-4)
