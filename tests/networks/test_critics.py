"""Critics: their forward written with torch's functions, any patch, keyed weights, what they see."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from semivox.networks import CriticKind, PixelCritic, build_critic
from semivox.randomness import Key

KINDS: tuple[CriticKind, ...] = ("pixel", "image")


def numbers(*shape: int, name: str = "x") -> Tensor:
    return torch.randn(*shape, generator=Key(name).torch())


def normalised(y: Tensor, group: int = 16) -> Tensor:
    """Each sample's groups of channels to mean 0 and variance 1, one after the other."""
    done = torch.empty_like(y)
    for b in range(len(y)):
        for c in range(0, y.shape[1], group):
            part = y[b, c : c + group]
            done[b, c : c + group] = (part - part.mean()) / (part.var(unbiased=False) + 1e-5).sqrt()
    return done


@pytest.mark.parametrize("dims", [2, 3])
def test_pixel_critic(dims: int) -> None:
    critic = build_critic("pixel", 2, 3, dims, Key(0))
    state = dict(critic.state_dict())
    fractions, x = numbers(2, 3, *(4, 6, 3)[:dims]), numbers(2, 2, *(4, 6, 3)[:dims], name="image")

    def mix(y: Tensor, name: str) -> Tensor:
        return torch.einsum("oi,bi...->bo...", state[f"{name}.weight"].flatten(1), y)

    y = functional.leaky_relu(mix(fractions, "first"), 0.2)  # biases begin at 0
    assert y.shape[1] == 64
    y = mix(functional.leaky_relu(normalised(mix(y, "second")), 0.2), "last")
    torch.testing.assert_close(critic(fractions, x), y, rtol=1e-4, atol=1e-5)
    assert [c.shape[0] for n, c in state.items() if n.endswith("weight")] == [64, 128, 128, 1]


@pytest.mark.parametrize("dims", [2, 3])
def test_image_critic(dims: int) -> None:
    critic = build_critic("image", 2, 3, dims, Key(0))
    state = dict(critic.state_dict())
    conv = functional.conv2d if dims == 2 else functional.conv3d
    space = (32, 20, 16)[:dims]
    fractions, x = numbers(2, 3, *space), numbers(2, 2, *space, name="image")
    y = torch.cat([x, fractions], 1)
    for i in range(4):
        y = functional.leaky_relu(normalised(conv(y, state[f"convs.{i}.weight"], stride=2, padding=1)), 0.2)
    y = conv(y, state["last.weight"])
    torch.testing.assert_close(critic(fractions, x), y, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("space", [(16, 16), (5, 7), (1, 3), (32, 32, 8), (9, 5, 3), (2, 2, 1)])
@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 4)])
def test_any_patch_channels_and_classes(
    kind: CriticKind, space: tuple[int, ...], channels: int, classes: int
) -> None:
    critic = build_critic(kind, channels, classes, len(space), Key(0))
    fractions = numbers(1, classes, *space).softmax(1).requires_grad_()
    logits = critic(fractions, numbers(1, channels, *space, name="image"))
    coarse = tuple(math.ceil(n / 16) for n in space)
    assert logits.shape == (1, 1, *(space if kind == "pixel" else coarse))
    (gradient,) = torch.autograd.grad(logits.sum(), fractions)
    assert bool(torch.isfinite(logits).all())
    assert bool((gradient.flatten(2).abs().sum(-1) > 0).all())  # every class matters


@pytest.mark.parametrize("kind", KINDS)
def test_each_sample_is_judged_by_itself(kind: CriticKind) -> None:
    """Or real and fake would be judged by the statistics of their company."""
    critic = build_critic(kind, 1, 3, 2, Key(0))
    fractions, x = numbers(4, 3, 16, 16), numbers(4, 1, 16, 16, name="image")
    together = critic(fractions, x)
    alone = torch.cat([critic(f[None], i[None]) for f, i in zip(fractions, x, strict=True)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    critic.eval()
    assert torch.equal(critic(fractions, x), together)


def test_only_the_image_critic_sees_the_image() -> None:
    fractions = numbers(1, 2, 16, 16)
    for kind, same in (("pixel", True), ("image", False)):
        critic = build_critic(kind, 1, 2, 2, Key(0))
        one, two = (critic(fractions, numbers(1, 1, 16, 16, name=name)) for name in ("a", "b"))
        assert torch.equal(one, two) is same


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_a_function_of_the_key(kind: CriticKind) -> None:
    before = torch.random.get_rng_state()
    one, two, other = (build_critic(kind, 1, 2, 3, Key(k)).state_dict() for k in (0, 0, 1))
    assert all(torch.equal(one[n], two[n]) for n in one)
    assert any(not torch.equal(one[n], other[n]) for n in one)
    assert torch.equal(before, torch.random.get_rng_state())


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="neither"):
        build_critic("patch", 1, 2, 2, Key(0))  # type: ignore[arg-type]
    assert isinstance(build_critic("pixel", 1, 2, 2, Key(0)), PixelCritic)
