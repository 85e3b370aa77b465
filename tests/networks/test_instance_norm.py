"""Instance normalisation equals torch's, and no sample knows of another."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from semivox.networks import build_from_description, build_network, describe
from semivox.networks.folding import Folded, fold_norms
from semivox.networks.norm import NORMS, InstanceNorm
from semivox.prepare import plan as planned
from semivox.prepare.plan import NetworkPlan
from semivox.randomness import Key


def network(kind: str = "unet", dims: int = 3) -> nn.Module:
    plan = NetworkPlan(kind, (4, 8), ((3,) * dims,) * 2, ((2,) * dims,), "instance")
    net = build_network(plan, 1, 2, Key(0))
    rng = Key("scales").torch()
    for module in net.modules():
        if isinstance(module, InstanceNorm):
            module.weight.data.copy_(0.5 + torch.rand(module.weight.shape, generator=rng))
            module.bias.data.copy_(torch.randn(module.bias.shape, generator=rng))
    return net


def images(dims: int = 3) -> Tensor:
    """Of four scans of different brightness and contrast."""
    rng = Key("x").torch()
    x = torch.randn(4, 1, *(8,) * dims, generator=rng)
    return x * torch.tensor([0.1, 1, 3, 9]).view(4, *[1] * (dims + 1)) + 5


@pytest.mark.parametrize("dims", [2, 3])
def test_values_and_gradients_equal_torchs(dims: int) -> None:
    ours = InstanceNorm(3).double()
    theirs = (nn.InstanceNorm3d if dims == 3 else nn.InstanceNorm2d)(3, affine=True).double()
    draw = Key("norm").torch()
    with torch.no_grad():
        ours.weight.copy_(torch.randn(3, generator=draw))
        ours.bias.copy_(torch.randn(3, generator=draw))
    theirs.load_state_dict(ours.state_dict())
    x = (torch.randn(4, 3, *(5, 4, 3)[:dims], generator=draw).double() * 7 + 2).requires_grad_()
    weights = torch.randn(x.shape, generator=draw).double()
    both = [
        (y, *torch.autograd.grad((y * weights).sum(), [x, *layer.parameters()]))
        for layer, y in ((ours, ours(x, "update")), (theirs, theirs(x)))
    ]
    for a, b in zip(*both, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", ["unet", "vnet"])
def test_a_sample_is_normalised_alone_in_every_mode(kind: str) -> None:
    net, x = network(kind), images()
    together = net(x, norm="update").logits
    for mode in ("update", "batch", "running"):
        for i in range(len(x)):
            torch.testing.assert_close(net(x[i : i + 1], norm=mode).logits[0], together[i])
    assert not list(net.buffers())


def test_the_contrast_of_a_scan_changes_nothing() -> None:
    net, x = network(), images()[2:3]
    torch.testing.assert_close(net(3 * x, norm="running").logits, net(x, norm="running").logits)


def test_the_memory_layout_is_kept() -> None:
    x = torch.randn(2, 3, 4, 4, 4).contiguous(memory_format=torch.channels_last_3d)
    assert InstanceNorm(3)(x, "update").is_contiguous(memory_format=torch.channels_last_3d)


def test_a_single_voxel_becomes_the_offset() -> None:
    """What the limit of less and less contrast is; torch refuses it."""
    layer = InstanceNorm(2)
    with torch.no_grad():
        layer.bias.copy_(torch.tensor([1.0, -2.0]))
    assert layer(torch.randn(3, 2, 1, 1, 1), "update").flatten(1).tolist() == [[1.0, -2.0]] * 3


def test_there_is_nothing_to_fold() -> None:
    net, x = network(), images()[:1]
    folded = fold_norms(copy.deepcopy(net))
    assert not any(isinstance(m, Folded) for m in folded.modules())
    torch.testing.assert_close(
        folded(x, norm="running").logits, net(x, norm="running").logits, rtol=0, atol=0
    )


def test_a_description_says_which_and_an_older_one_means_batches() -> None:
    said = describe(network())
    assert build_from_description(said).plan.norm == "instance"
    del said["norm"]
    assert build_from_description(said).plan.norm == "batch"


def test_plans_know_the_same_names() -> None:
    assert tuple(NORMS) == planned.NORMS
