"""Entropy and the pyramid's consistency against loops written from the formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from semivox.losses import entropy_loss, normalised_entropy, pyramid_consistency


def softmax(row: Tensor) -> list[float]:
    exps = [math.exp(float(x)) for x in row]
    return [e / sum(exps) for e in exps]


def numbers(classes: int, space: tuple[int, ...], seed: int) -> Tensor:
    return 2 * torch.randn(
        2, classes, *space, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def mask(space: tuple[int, ...]) -> Tensor:
    return (torch.rand(2, 1, *space, generator=torch.Generator().manual_seed(9)) < 0.6).double()


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("space", [(3, 4), (2, 3, 2)])
def test_entropy_equals_the_loop(classes: int, space: tuple[int, ...]) -> None:
    logits, valid = numbers(classes, space, 0), mask(space)
    found = []
    for b in range(2):
        for v in range(math.prod(space)):
            if valid[b].flatten()[v] > 0:
                p = softmax(logits[b].flatten(1)[:, v])
                found.append(-sum(x * math.log(x) for x in p) / math.log(classes))
    assert entropy_loss(logits, valid).item() == pytest.approx(sum(found) / len(found), abs=1e-12)
    voxelwise = normalised_entropy(logits.softmax(1))
    assert torch.allclose(voxelwise[valid > 0].mean(), entropy_loss(logits, valid))
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: entropy_loss(z, valid), logits)


def test_entropy_of_what_is_certain_and_of_what_is_not() -> None:
    certain = torch.tensor([[1.0, 0.0, 0.0]]).view(1, 3, 1, 1)
    assert normalised_entropy(certain).item() == 0
    assert normalised_entropy(torch.full((1, 3, 1, 1), 1 / 3)).item() == pytest.approx(1)
    assert entropy_loss(1e4 * certain, torch.ones(1, 1, 1, 1)).item() == pytest.approx(0)


@pytest.mark.parametrize("space", [(3, 2), (2, 2, 2)])
def test_the_pyramid_equals_the_loop(space: tuple[int, ...]) -> None:
    scales, valid = [numbers(3, space, seed) for seed in (1, 2, 3)], mask(space)
    total = 0.0
    for scale in range(3):
        squares, weights, spreads = 0.0, 0.0, []
        for b in range(2):
            for v in range(math.prod(space)):
                if valid[b].flatten()[v] == 0:
                    continue
                rows = [softmax(s[b].flatten(1)[:, v]) for s in scales]
                mean = [sum(r[k] for r in rows) / 3 for k in range(3)]
                u = sum(m * math.log(m / q) for m, q in zip(mean, rows[scale], strict=True))
                squares += (
                    math.exp(-u) * sum((m - q) ** 2 for m, q in zip(mean, rows[scale], strict=True)) / 3
                )
                weights += math.exp(-u)
                spreads.append(u)
        total += squares / weights + sum(spreads) / len(spreads)
    assert pyramid_consistency(scales, valid).item() == pytest.approx(total / 3, abs=1e-12)
    first = scales[0].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: pyramid_consistency([z, *scales[1:]], valid), first)


def test_scales_that_agree_cost_nothing_and_order_does_not_matter() -> None:
    logits, valid = numbers(3, (4, 4), 0), torch.ones(2, 1, 4, 4)
    assert pyramid_consistency([logits, logits + 3], valid).item() == pytest.approx(0, abs=1e-12)
    others = [numbers(3, (4, 4), seed) for seed in (1, 2)]
    assert torch.allclose(pyramid_consistency(others, valid), pyramid_consistency(others[::-1], valid))


def test_nothing_valid_is_zero_with_zero_gradient() -> None:
    logits = numbers(3, (4, 4), 0).requires_grad_()
    nothing = torch.zeros(2, 1, 4, 4)
    loss = entropy_loss(logits, nothing) + pyramid_consistency([logits, 2 * logits], nothing)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert logits.grad.abs().max() == 0
