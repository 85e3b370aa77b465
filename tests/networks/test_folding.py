"""A network without its normalisation layers says what it said with them."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from semivox.errors import SettingsError
from semivox.networks import build_network
from semivox.networks.folding import fold_norms
from semivox.networks.norm import BatchNorm
from semivox.prepare.plan import NetworkPlan
from semivox.randomness import Key


def network(kind: str, dims: int, precision: str = "fp32") -> nn.Module:
    """With statistics and scales as after training: far from 0 and 1."""
    plan = NetworkPlan(kind, (4, 8, 16), ((3,) * dims,) * 3, ((2,) * dims,) * 2)
    net = build_network(plan, 2, 3, Key(0), sdm=True, precision=precision)
    rng = torch.Generator().manual_seed(1)
    for module in net.modules():
        if isinstance(module, BatchNorm):
            module.running_mean.copy_(torch.randn(module.running_mean.shape, generator=rng))
            module.running_var.copy_(0.2 + 3 * torch.rand(module.running_var.shape, generator=rng))
            module.weight.data.copy_(0.5 + torch.rand(module.weight.shape, generator=rng))
            module.bias.data.copy_(torch.randn(module.bias.shape, generator=rng))
    return net.requires_grad_(False)


def image(dims: int) -> torch.Tensor:
    return torch.randn(1, 2, *(16, 12, 8)[:dims], generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("kind", ["vnet", "unet"])
def test_the_same_in_float32(kind: str, dims: int) -> None:
    net, x = network(kind, dims), image(dims)
    before, after = net(x, norm="running"), fold_norms(copy.deepcopy(net))(x, norm="running")
    size = float(before.logits.abs().max())
    torch.testing.assert_close(after.logits, before.logits, rtol=0, atol=1e-5 * size)
    torch.testing.assert_close(after.sdm, before.sdm, rtol=0, atol=1e-5)
    for name, feature in before.features.items():
        torch.testing.assert_close(
            after.features[name], feature, rtol=0, atol=1e-5 * float(feature.abs().max())
        )


def test_no_further_from_float32_in_bfloat16() -> None:
    exact, x = network("vnet", 3)(image(3), norm="running").logits, image(3)
    unfolded = network("vnet", 3, "bf16")
    folded = fold_norms(copy.deepcopy(unfolded))
    errors = [float((net(x, norm="running").logits - exact).abs().mean()) for net in (unfolded, folded)]
    assert 0 < errors[1] < 1.1 * errors[0]


def test_no_normalisation_is_left_and_a_second_call_changes_nothing() -> None:
    once = fold_norms(network("unet", 2))
    assert not [m for m in once.modules() if isinstance(m, BatchNorm)]
    twice = fold_norms(copy.deepcopy(once))
    torch.testing.assert_close(twice.state_dict(), once.state_dict(), rtol=0, atol=0)


def test_it_cannot_train_any_more() -> None:
    with pytest.raises(SettingsError, match=r"cannot train; found batch; expected running"):
        fold_norms(network("vnet", 3))(image(3), norm="batch")
