"""Weights are a pure function of their key, of a sensible size; heads have the shapes they promise."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from semivox.networks import PixelProjection, SliceProjection, VectorProjection, build_network
from semivox.networks.layers import convolution
from semivox.prepare.plan import NetworkPlan
from semivox.randomness import Key

PLAN = NetworkPlan("unet", (16, 32), ((3, 3),) * 2, ((2, 2),))
MAKERS: dict[str, Callable[[Key], nn.Module]] = {
    "vnet": lambda key: build_network(
        NetworkPlan("vnet", (8, 16), ((3, 3, 3),) * 2, ((2, 2, 2),)), 1, 2, key, sdm=True
    ),
    "unet": lambda key: build_network(PLAN, 3, 4, key, scales=True),
    "slice": lambda key: SliceProjection(2, key),
    "pixel": lambda key: PixelProjection(16, 3, key),
    "vector": lambda key: VectorProjection(32, key),
}


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_weights_follow_the_key_alone(make: Callable[[Key], nn.Module]) -> None:
    state = torch.get_rng_state()
    one = make(Key(0)).state_dict()
    assert torch.equal(state, torch.get_rng_state())
    torch.rand(3)
    same, other = make(Key(0)).state_dict(), make(Key(1)).state_dict()
    assert all(torch.equal(w, same[name]) for name, w in one.items())
    assert all(w.isfinite().all() for w in one.values())
    drawn = [name for name, w in one.items() if w.dim() > 1]
    assert drawn
    assert not any(torch.equal(one[name], other[name]) for name in drawn)
    values = [one[name].flatten()[:8] for name in drawn]  # no two layers share their draws
    ratios = [v / v.norm() for v in values if v.numel() == 8]
    assert all(not torch.allclose(a, b) for i, a in enumerate(ratios) for b in ratios[:i])


def test_a_layer_does_not_depend_on_the_others() -> None:
    plain = build_network(PLAN, 3, 4, Key(0)).state_dict()
    more = build_network(PLAN, 3, 4, Key(0), sdm=True).state_dict()
    assert all(torch.equal(w, more[name]) for name, w in plain.items())


def test_weights_keep_the_variance() -> None:
    network = build_network(PLAN, 3, 4, Key(0))
    x = torch.randn(2, 3, 64, 64, generator=Key("x").torch())
    first = network.trunk.encoders[0].layers[0].conv
    assert first(x).var().item() == pytest.approx(2, rel=0.2)  # gain of a ReLU
    assert 0.1 < network(x).logits.std().item() < 2


@pytest.mark.parametrize(("kernel", "stride"), [(1, 2), (1, 3), (3, 2), (3, 3), (3, 4), (5, 2), (3, 1)])
def test_strided_convolution_divides_the_size_and_sees_every_voxel(kernel: int, stride: int) -> None:
    layer = convolution(1, 1, (kernel, kernel), (stride, stride), bias=False)
    nn.init.ones_(layer.weight)  # type: ignore[arg-type]
    x = torch.zeros(1, 1, 12, 12, requires_grad=True)
    y = layer(x)
    assert y.shape[2:] == (12 // stride, 12 // stride)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.min() > 0


def test_heads_have_the_promised_shapes() -> None:
    maps = torch.randn(3, 2, 50, 34, generator=Key("x").torch())
    slices = SliceProjection(2, Key(0))
    assert slices(maps).shape == (3, 128)
    assert slices(maps[..., :20, :20]).shape == (3, 128)
    assert PixelProjection(16, 2, Key(0), outputs=8)(torch.randn(2, 16, 5, 7)).shape == (2, 8, 5, 7)
    assert PixelProjection(16, 3, Key(0))(torch.randn(2, 16, 5, 7, 3)).shape == (2, 128, 5, 7, 3)
    assert VectorProjection(16, Key(0), outputs=4)(torch.randn(2, 16)).shape == (2, 4)


@pytest.mark.parametrize("name", ["slice", "pixel", "vector"])
def test_heads_pass_gradients_everywhere(name: str) -> None:
    head = MAKERS[name](Key(0))
    shape = {"slice": (8, 2, 32, 32), "pixel": (2, 16, 4, 4, 4), "vector": (8, 32)}[name]
    head(torch.randn(shape, generator=Key("x").torch())).square().mean().backward()
    for parameter_name, parameter in head.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().max() > 0, parameter_name
