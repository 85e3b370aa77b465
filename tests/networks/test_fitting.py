"""Weights in a network of other channels, kernels, strides or depth: what they do there, and what stays."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from semivox.networks import Segmenter, build_network, fitting_weights
from semivox.prepare import NetworkPlan
from semivox.randomness import Key

CUBES = NetworkPlan("unet", (4, 8, 16), ((3, 3, 3),) * 3, ((2, 2, 2),) * 2, "instance")
THICK = replace(CUBES, kernels=((3, 3, 1), (3, 3, 3), (3, 3, 3)), strides=((2, 2, 1), (2, 2, 2)))
FIRST, SECOND = (f"trunk.encoders.0.layers.{i}.conv.weight" for i in range(2))


def network(plan: NetworkPlan, channels: int = 1, classes: int = 2, seed: int = 0) -> Segmenter:
    return build_network(plan, channels, classes, Key(seed))


def flat(weight: Tensor, channels: int, seed: int = 1) -> Tensor:
    """(1, channels, 9, 9, 9), the same all along the last axis."""
    plane = torch.randn(1, channels, 9, 9, 1, generator=torch.Generator().manual_seed(seed))
    return plane.expand(-1, -1, -1, -1, 9).contiguous()


def test_equal_networks_take_all_but_the_heads() -> None:
    given = network(CUBES, seed=1).state_dict()
    own = network(CUBES, classes=5)
    fitted = fitting_weights(given, own)
    assert {name for name in own.state_dict() if name not in fitted} == {"head.weight", "head.bias"}
    assert all(torch.equal(weight, given[name]) for name, weight in fitted.items())


@pytest.mark.parametrize(("source", "target"), [(CUBES, THICK), (THICK, CUBES)])
@pytest.mark.parametrize("name", [FIRST, SECOND])
def test_a_fitted_convolution_finds_the_same_in_an_image_constant_along_the_axis(
    source: NetworkPlan, target: NetworkPlan, name: str
) -> None:
    given, own = network(source, seed=1).state_dict()[name], network(target)
    fitted = fitting_weights(network(source, seed=1).state_dict(), own)[name]
    assert fitted.shape == own.state_dict()[name].shape != given.shape
    image = flat(given, given.shape[1])
    there, here = (functional.conv3d(image, weight)[..., 0] for weight in (given, fitted))
    torch.testing.assert_close(here, there, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("source", "target"), [(CUBES, THICK), (THICK, CUBES)])
def test_a_fitted_upsampling_keeps_the_mean(source: NetworkPlan, target: NetworkPlan) -> None:
    given, own = network(source, seed=1).state_dict(), network(target)
    before, after = given["trunk.ups.0.weight"], fitting_weights(given, own)["trunk.ups.0.weight"]
    assert after.shape == own.state_dict()["trunk.ups.0.weight"].shape != before.shape
    torch.testing.assert_close(after.mean(-1), before.mean(-1), rtol=0, atol=1e-6)
    assert torch.equal(after[..., :1], after[..., -1:]) or after.shape[-1] == 1


@pytest.mark.parametrize(("had", "have"), [(1, 3), (3, 1), (2, 4)])
def test_copies_of_a_channel_look_as_the_channel_did(had: int, have: int) -> None:
    given, own = network(CUBES, had, seed=1).state_dict(), network(CUBES, have)
    fitted = fitting_weights(given, own)[FIRST]
    image = flat(fitted, 1)
    there, here = (functional.conv3d(image.expand(-1, n, *image.shape[2:]), w)
                   for n, w in ((had, given[FIRST]), (have, fitted)))  # fmt: skip
    torch.testing.assert_close(here, there, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("had", "have"), [(3, 2), (2, 3)])
def test_of_networks_that_differ_in_depth_the_upper_levels_fit(had: int, have: int) -> None:
    def levels(n: int) -> NetworkPlan:
        return replace(
            CUBES, features=CUBES.features[:n], kernels=CUBES.kernels[:n], strides=CUBES.strides[: n - 1]
        )

    given, own = network(levels(had), seed=1).state_dict(), network(levels(have))
    fitted = fitting_weights(given, own)
    shared = {name for name in own.state_dict() if name in given and not name.startswith("head.")}
    assert set(fitted) == shared
    assert {f"trunk.encoders.{level}.layers.0.conv.weight" for level in range(2)} <= shared
    own.load_state_dict({**own.state_dict(), **fitted})


def test_what_does_not_fit_is_left_out() -> None:
    wider = replace(CUBES, features=(4, 8, 24))
    fitted = fitting_weights(network(wider, seed=1).state_dict(), network(CUBES))
    assert "trunk.encoders.1.layers.1.conv.weight" in fitted
    assert not any("encoders.2" in name for name in fitted)
