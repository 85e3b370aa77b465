"""Dropout drops whole channels, at two places, as its key says and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from semivox.networks import build_network
from semivox.networks.blocks import apply_mask, channel_mask
from semivox.prepare.plan import NetworkPlan
from semivox.randomness import BatchKey, Key

PLANS = [
    NetworkPlan("vnet", (16, 20), ((3, 3, 3),) * 2, ((2, 2, 2),)),
    NetworkPlan("unet", (16, 20), ((3, 3, 3),) * 2, ((2, 2, 2),)),
]
X = torch.randn(4, 1, 8, 8, 4, generator=Key("x").torch())


@pytest.mark.parametrize("p", [0.2, 0.5, 0.8])
def test_mask_has_two_values_and_expectation_one(p: float) -> None:
    mask = channel_mask(BatchKey(Key(0)), "here", p, (64, 512), 3)
    assert mask is not None
    assert mask.shape == (64, 512, 1, 1, 1)
    kept = mask != 0
    torch.testing.assert_close(mask[kept], torch.full_like(mask[kept], 1 / (1 - p)))
    assert abs(mask.mean().item() - 1) < 5 * (p / (1 - p) / mask.numel()) ** 0.5
    x = torch.ones(64, 512, 2, 2, 2)
    assert torch.equal(apply_mask(x, mask), mask.expand_as(x))


def test_places_and_samples_draw_apart() -> None:
    here, there = (channel_mask(BatchKey(Key(0)), place, 0.5, (2, 64), 2) for place in ("here", "there"))
    assert here is not None
    assert there is not None
    assert not torch.equal(here, there)
    assert not torch.equal(here[0], here[1])


def test_no_key_or_no_probability_is_no_mask() -> None:
    assert channel_mask(None, "here", 0.5, (2, 3), 2) is None
    assert channel_mask(BatchKey(Key(0)), "here", 0.0, (2, 3), 2) is None


@pytest.mark.parametrize("plan", PLANS, ids=["vnet", "unet"])
def test_places(plan: NetworkPlan) -> None:
    network = build_network(plan, 1, 2, Key(0), sdm=True)
    output = network(X, BatchKey(Key(1)), "batch")
    before, after = output.features["bottleneck"], output.features["bottleneck_dropped"]
    gone = (after == 0).flatten(2).all(2)
    assert 0.2 < gone.float().mean() < 0.8
    factor = torch.where(gone, 0.0, 2.0)[..., None, None, None]
    torch.testing.assert_close(after, before * factor)
    # A V-Net's heads see the last decoder's channels times one common mask, and the mask is the key's;
    # a U-Net's see them all.
    mask = channel_mask(BatchKey(Key(1)), "output", 0.5, (4, 16), 3) if plan.kind == "vnet" else None
    last = apply_mask(output.features["decoder"], mask)
    head, sdm_head = network.head, network.sdm_head
    assert sdm_head is not None
    assert output.sdm is not None
    torch.testing.assert_close(output.logits, functional.conv3d(last, head.weight, head.bias))
    torch.testing.assert_close(output.sdm, functional.conv3d(last, sdm_head.weight, sdm_head.bias).tanh())
    off = network(X, None, "batch").features
    assert torch.equal(off["bottleneck"], off["bottleneck_dropped"])


@pytest.mark.parametrize("plan", PLANS, ids=["vnet", "unet"])
def test_only_the_key_decides(plan: NetworkPlan) -> None:
    network = build_network(plan, 1, 2, Key(0))
    state = torch.get_rng_state()
    one = network(X, BatchKey(Key(1)), "running").logits
    assert torch.equal(state, torch.get_rng_state())
    torch.rand(5)
    assert torch.equal(one, network(X, BatchKey(Key(1)), "running").logits)
    assert not torch.allclose(one, network(X, BatchKey(Key(2)), "running").logits)
    assert not torch.allclose(one, network(X, None, "running").logits)
    without = build_network(plan, 1, 2, Key(0), dropout=0.0)
    assert torch.equal(without(X, BatchKey(Key(1)), "running").logits, network(X, None, "running").logits)


@pytest.mark.parametrize("plan", PLANS, ids=["vnet", "unet"])
def test_a_slice_of_the_batch_draws_what_the_whole_draws(plan: NetworkPlan) -> None:
    network = build_network(plan, 1, 2, Key(0))
    whole = network(X, BatchKey(Key(1)), "running").logits
    part = network(X[2:], BatchKey(Key(1), first=2), "running").logits
    torch.testing.assert_close(part, whole[2:])
    assert not torch.allclose(network(X[2:], BatchKey(Key(1)), "running").logits, whole[2:])
