"""The encoder alone gives what the whole network gives, and computes nothing else."""

from __future__ import annotations

import copy

import pytest
import torch

from semivox.errors import SettingsError
from semivox.networks import Segmenter, build_network
from semivox.prepare.plan import NetworkPlan
from semivox.randomness import BatchKey, Key

PLANS = {
    "vnet3d": NetworkPlan("vnet", (4, 6, 8), ((3, 3, 3),) * 3, ((2, 2, 2),) * 2),
    "unet2d": NetworkPlan("unet", (6, 8, 12), ((3, 3),) * 3, ((2, 2), (2, 2))),
    "anisotropic": NetworkPlan("unet", (6, 8, 12), ((3, 3, 1), (3, 3, 1), (3, 3, 3)), ((2, 2, 1), (2, 2, 2))),
}
plans = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())


def network(plan: NetworkPlan, precision: str = "fp32") -> Segmenter:
    return build_network(plan, 2, 3, Key(0), precision=precision)  # type: ignore[arg-type]


def images(plan: NetworkPlan) -> torch.Tensor:
    return torch.randn(3, 2, *(2 * m for m in plan.multiple), generator=Key("images").torch())


@plans
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("norm", ["update", "batch", "running"])
def test_encode_equals_forward_bit_for_bit(plan: NetworkPlan, precision: str, norm: str) -> None:
    whole = network(plan, precision)
    part = copy.deepcopy(whole)
    x, drop = images(plan), BatchKey(Key(1))
    expected = whole(x, drop, norm).features  # type: ignore[arg-type]
    found = part.encode(x, drop, norm)  # type: ignore[arg-type]
    levels = len(plan.features) - 1
    names = [*(f"encoder_{i}" for i in range(levels)), "bottleneck", "bottleneck_dropped"]
    assert list(found) == names
    for name in names:
        assert torch.equal(found[name], expected[name]), name
        assert found[name].dtype == torch.float32
    assert not torch.equal(found["bottleneck"], found["bottleneck_dropped"])
    # the running statistics of the encoder moved alike, those of the decoder stayed
    before, after = whole.state_dict(), part.state_dict()
    for name in before:
        if "decoders" not in name and "ups" not in name:
            assert torch.equal(before[name], after[name]), name


@plans
def test_encode_neither_computes_nor_moves_the_decoder(plan: NetworkPlan) -> None:
    net, calls = network(plan), []
    for name, module in net.named_modules():
        if name in ("head", "trunk.decoders.0", "trunk.ups.0"):
            module.register_forward_hook(lambda *_: calls.append(1))
    before = {k: v.clone() for k, v in net.state_dict().items()}
    net.encode(images(plan))["bottleneck"].square().mean().backward()
    changed = {k for k, v in net.state_dict().items() if not torch.equal(v, before[k])}
    assert calls == []
    assert changed
    assert all("encoders" in name or "downs" in name for name in changed)
    with_gradient = {n for n, p in net.named_parameters() if p.grad is not None}
    assert with_gradient == {n for n, _ in net.named_parameters() if "encoders" in n or "downs" in n}


def test_encode_refuses_what_forward_refuses() -> None:
    net = network(PLANS["unet2d"])
    with pytest.raises(SettingsError, match="multiples of"):
        net.encode(torch.zeros(1, 2, 9, 8))
    with pytest.raises(SettingsError, match="2 channels"):
        net.encode(torch.zeros(1, 1, 8, 8))
