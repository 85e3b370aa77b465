"""Batch normalisation by argument equals torch's, driven by train() and eval()."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from semivox.errors import SettingsError
from semivox.networks import build_network
from semivox.networks.norm import BatchNorm
from semivox.prepare.plan import NetworkPlan
from semivox.randomness import Key

PLAN = NetworkPlan("vnet", (4, 6, 8), ((3, 3, 3),) * 3, ((2, 2, 2),) * 2)


class TorchNorm(nn.Module):
    def __init__(self, ours: BatchNorm) -> None:
        super().__init__()
        self.norm = nn.BatchNorm3d(ours.weight.numel())
        self.norm.load_state_dict(copy.deepcopy(ours.state_dict()), strict=False)

    def forward(self, x: Tensor, norm: str) -> Tensor:
        return self.norm(x)


def with_torch_norms(network: nn.Module) -> nn.Module:
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, BatchNorm):
                setattr(module, name, TorchNorm(child))
    return network


def test_modes_equal_torch_in_a_whole_network() -> None:
    ours = build_network(PLAN, 1, 2, Key(0))
    theirs = with_torch_norms(ours).train()
    draw = Key("x").torch()
    for _ in range(3):
        x = torch.randn(2, 1, 8, 8, 8, generator=draw) * 2 + 1
        torch.testing.assert_close(ours(x, None, "update").logits, theirs(x).logits)
    statistics = [b for name, b in theirs.named_buffers() if "num_batches" not in name]
    assert len(statistics) == len(list(ours.buffers()))
    for a, b in zip(ours.buffers(), statistics, strict=True):
        torch.testing.assert_close(a, b)
    before = [b.clone() for b in ours.buffers()]
    batch = ours(x, None, "batch").logits
    running = ours(x, None, "running").logits
    assert all(torch.equal(a, b) for a, b in zip(ours.buffers(), before, strict=True))
    torch.testing.assert_close(running, theirs.eval()(x).logits)
    torch.testing.assert_close(batch, theirs.train()(x).logits)
    assert (batch - running).abs().max() > 1e-2


def test_train_and_eval_change_nothing_and_buffers_are_float() -> None:
    network = build_network(PLAN, 1, 2, Key(0))
    x = torch.randn(2, 1, 8, 8, 8, generator=Key("x").torch())
    one = network.train()(x, None, "running").logits
    assert torch.equal(one, network.eval()(x, None, "running").logits)
    assert all(b.is_floating_point() for b in network.buffers())


def test_one_voxel_at_the_bottom() -> None:
    network = build_network(PLAN, 1, 2, Key(0))
    x = torch.randn(1, 1, 4, 4, 4, generator=Key("x").torch())
    assert network(x, None, "running").logits.isfinite().all()
    for mode in ("update", "batch"):
        with pytest.raises(SettingsError, match="two crops a step"):
            network(x, None, mode)
    with pytest.raises(SettingsError, match="update, batch or running"):
        network(x, None, "train")
