"""Encoder and decoder, each alone, give what the whole network gives, and compute nothing else."""

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
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("norm", ["update", "batch", "running"])
def test_encode_and_decode_equal_forward_bit_for_bit(plan: NetworkPlan, precision: str, norm: str) -> None:
    whole = build_network(plan, 2, 3, Key(0), precision=precision, sdm=True, scales=True)  # type: ignore[arg-type]
    part = copy.deepcopy(whole)
    x, drop = images(plan), BatchKey(Key(1))
    expected = whole(x, drop, norm)
    found = part.decode(part.encode(x, drop, norm), drop, norm)
    assert list(found.features) == list(expected.features)
    for name, value in expected.features.items():
        assert torch.equal(found.features[name], value), name
    one, two = ((output.logits, output.sdm, *output.scales) for output in (expected, found))
    assert len(one) == len(two) == 2 + len(plan.features) - 2
    assert all(torch.equal(a, b) and b.dtype == torch.float32 for a, b in zip(one, two, strict=True))
    for (name, a), b in zip(whole.state_dict().items(), part.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    if precision == "bf16":  # there two backward passes of one network need not be equal
        return
    for output in (expected, found):
        output.logits.square().mean().backward()
    for (name, p), q in zip(whole.named_parameters(), part.parameters(), strict=True):
        assert (p.grad is None) == (q.grad is None), name
        assert p.grad is None or torch.equal(p.grad, q.grad), name


def test_several_decoders_run_an_encoder_once() -> None:
    plan = PLANS["vnet3d"]
    one, two = network(plan), build_network(plan, 2, 3, Key(5))
    calls: list[int] = []
    for net in (one, two):
        net.trunk.encoders[0].register_forward_hook(lambda *_: calls.append(1))
    features = one.encode(images(plan), BatchKey(Key(1)))
    first, second = (net.decode(features, BatchKey(Key(1))) for net in (one, two))
    assert calls == [1]
    assert not torch.equal(first.logits, second.logits)
    assert "decoder_0" not in features  # what one decoder found is not the other's


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
