"""Agreement of two soft predictions: each form against a loop, its least value, where its gradient goes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from semivox.losses import AgreementForm, agreement_loss

FORMS: tuple[AgreementForm, ...] = ("ce", "mse", "js", "dice")


def draw(classes: int, space: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    a, b = (2 * torch.randn(2, classes, *space, generator=rng, dtype=torch.float64) for _ in range(2))
    return a, b, (torch.rand(2, 1, *space, generator=rng) < 0.7).double()


def slow(form: str, a: Tensor, b: Tensor, valid: Tensor) -> float:
    losses: list[float] = []
    overlap, size = [0.0] * a.shape[1], [0.0] * a.shape[1]
    for z, y, w in zip(a.flatten(2), b.flatten(2), valid.flatten(2), strict=True):
        for v in range(z.shape[1]):
            if w[0, v] == 0:
                continue
            p, q = ([math.exp(x) / sum(math.exp(t) for t in row[:, v]) for x in row[:, v]] for row in (z, y))
            if form == "ce":
                losses.append(-sum(s * math.log(r) for r, s in zip(p, q, strict=True)))
            if form == "mse":
                losses += [(r - s) ** 2 for r, s in zip(p, q, strict=True)]
            if form == "js":
                terms = (
                    r * math.log(2 * r / (r + s)) + s * math.log(2 * s / (r + s))
                    for r, s in zip(p, q, strict=True)
                )
                losses.append(sum(terms) / 2)
            for c in range(a.shape[1]):
                overlap[c] += 2 * p[c] * q[c]
                size[c] += p[c] ** 2 + q[c] ** 2
    if form == "dice":
        losses = [1 - (o + 1e-5) / (s + 1e-5) for o, s in zip(overlap[1:], size[1:], strict=True)]
    return sum(losses) / len(losses)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("classes", "space"), [(2, (3, 4)), (4, (3, 3)), (3, (2, 3, 2))])
def test_equals_the_loop(form: AgreementForm, classes: int, space: tuple[int, ...]) -> None:
    a, b, valid = draw(classes, space)
    assert agreement_loss(a, b, valid, form).item() == pytest.approx(slow(form, a, b, valid), abs=1e-12)
    a.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: agreement_loss(z, b, valid, form), a)


@pytest.mark.parametrize("form", FORMS)
def test_only_the_first_learns_and_equality_is_its_best(form: AgreementForm) -> None:
    a, b, valid = draw(3, (4, 4))
    own, other = a.requires_grad_(), b.requires_grad_()
    mine, theirs = torch.autograd.grad(
        agreement_loss(own, other, valid, form), (own, other), allow_unused=True
    )
    assert mine.abs().sum() > 0
    assert theirs is None
    if form != "dice":  # Dice of two soft predictions has its best where both are hard
        at_best = torch.autograd.grad(agreement_loss(own, own.detach(), valid, form), own)[0]
        assert at_best.abs().max() < 1e-12
        assert agreement_loss(own, own, valid, form) < agreement_loss(own, other, valid, form)


@pytest.mark.parametrize("form", FORMS)
def test_edges(form: AgreementForm) -> None:
    sure = torch.tensor([[1e4, -1e4], [-1e4, 1e4]]).reshape(1, 2, 1, 2).requires_grad_()
    loss = agreement_loss(sure, -sure, torch.ones(1, 1, 1, 2), form)
    assert bool(torch.isfinite(loss))
    assert bool(torch.isfinite(torch.autograd.grad(loss, sure)[0]).all())
    if form == "js":
        assert loss.item() == pytest.approx(math.log(2))
    nothing = agreement_loss(sure, -sure, torch.zeros(1, 1, 1, 2), form)
    assert torch.autograd.grad(nothing, sure)[0].abs().max() == 0
    with pytest.raises(ValueError, match="differ"):
        agreement_loss(sure, sure[:, :1], torch.ones(1, 1, 1, 2), form)


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(ValueError, match="none of"):
        agreement_loss(torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2), torch.ones(1, 1, 2, 2), "kl")  # type: ignore[arg-type]
