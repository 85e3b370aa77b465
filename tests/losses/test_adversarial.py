"""What a critic may see, and its loss, against loops; partly annotated cases; voxels outside the scan."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from semivox.losses import critic_loss, full_fractions, judged


def draw(
    classes: int, space: tuple[int, ...], batch: int = 3, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Fractions of K classes, valid, annotated in float64."""
    rng = torch.Generator().manual_seed(seed)
    fractions = (2 * torch.randn(batch, classes, *space, generator=rng, dtype=torch.float64)).softmax(1)
    valid = (torch.rand(batch, 1, *space, generator=rng) < 0.7).double()
    return fractions, valid, torch.ones(batch, classes - 1, dtype=torch.float64)


@pytest.mark.parametrize(("classes", "space"), [(2, (4, 3)), (4, (3, 5)), (3, (2, 3, 4))])
@pytest.mark.parametrize("partly", [False, True])
def test_what_is_judged_equals_the_loop(classes: int, space: tuple[int, ...], partly: bool) -> None:
    fractions, valid, annotated = draw(classes, space)
    if partly:
        annotated[0, 0] = annotated[2, -1] = 0
    expected = torch.zeros_like(fractions)
    for b in range(3):
        for at in torch.cartesian_prod(*(torch.arange(n) for n in space)).tolist():
            for c in range(classes):
                seen_as = c if c == 0 or annotated[b, c - 1] > 0 else 0
                voxel = (b, slice(None), *at)
                expected[voxel][seen_as] += fractions[voxel][c] * valid[voxel][0]
    assert torch.allclose(judged(fractions, valid, annotated), expected, atol=1e-14)
    fractions.requires_grad_()
    assert torch.autograd.gradcheck(lambda f: judged(f, valid, annotated), fractions)


def test_labels_and_predictions_hide_the_same_classes() -> None:
    """Whatever label or network say of an unannotated class, the critic sees the same."""
    fractions, valid, annotated = draw(4, (3, 4))
    annotated[:, 1] = 0
    moved = fractions.clone()
    moved[:, 0] += moved[:, 2]
    moved[:, 2] = 0
    assert torch.allclose(judged(fractions, valid, annotated), judged(moved, valid, annotated))
    label, painted = (f[:, 1:] for f in (moved, fractions))
    masks = [judged(full_fractions(y, annotated), valid, annotated) for y in (label, painted)]
    assert torch.equal(*masks)
    assert torch.allclose(masks[0], judged(fractions, valid, annotated))  # a prediction equal to its label
    assert judged(fractions, valid, annotated)[:, 2].abs().sum() == 0


@pytest.mark.parametrize("space", [(4, 5), (2, 3, 4)])
def test_loss_equals_the_loop(space: tuple[int, ...]) -> None:
    rng = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(3, 1, *space, generator=rng, dtype=torch.float64)
    valid = (torch.rand(3, 1, *space, generator=rng) < 0.6).double()
    real = torch.tensor([1.0, 0.0, 0.3], dtype=torch.float64)
    losses = []
    for z, w, r in zip(logits.flatten(1).tolist(), valid.flatten(1).tolist(), real.tolist(), strict=True):
        for logit, inside in zip(z, w, strict=True):
            p = 1 / (1 + math.exp(-logit))
            if inside:
                losses.append(-r * math.log(p) - (1 - r) * math.log(1 - p))
    assert critic_loss(logits, real, valid).item() == pytest.approx(sum(losses) / len(losses), abs=1e-12)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: critic_loss(z, real, valid), logits)
    order = torch.tensor([2, 0, 1])
    permuted = critic_loss(logits[order], real[order], valid[order])
    assert torch.allclose(permuted, critic_loss(logits, real, valid))


def test_a_coarse_verdict_counts_by_what_is_valid_below_it() -> None:
    """Two regions, three quarters and none of them valid; sides that do not divide are covered too."""
    logits = torch.tensor([[2.0, -5.0]]).reshape(1, 1, 1, 2)
    valid = torch.ones(1, 1, 2, 4)
    valid[..., 2:] = 0
    valid[0, 0, 0, 0] = 0
    assert critic_loss(logits, torch.ones(1), valid).item() == pytest.approx(math.log1p(math.exp(-2.0)))
    both = torch.ones(1, 1, 2, 4)
    mean = (math.log1p(math.exp(-2.0)) + math.log1p(math.exp(5.0))) / 2
    assert critic_loss(logits, torch.ones(1), both).item() == pytest.approx(mean)
    odd = critic_loss(torch.zeros(2, 1, 2, 3, 1), torch.tensor([0.0, 1.0]), torch.ones(2, 1, 5, 7, 3))
    assert odd.item() == pytest.approx(math.log(2))


def test_edges() -> None:
    logits = torch.tensor([1e4, -1e4, 1e4, -1e4]).reshape(4, 1, 1, 1).requires_grad_()
    real = torch.tensor([1.0, 0.0, 0.0, 1.0])
    valid = torch.ones(4, 1, 1, 1)
    assert critic_loss(logits[:2], real[:2], valid[:2]).item() == 0  # sure and right
    wrong = critic_loss(logits[2:], real[2:], valid[2:])  # sure and wrong: large, finite, with a gradient
    assert wrong.item() == pytest.approx(1e4)
    assert torch.autograd.grad(wrong, logits)[0].flatten().tolist() == [0, 0, 0.5, -0.5]
    nothing = critic_loss(logits, real, 0 * valid)
    assert nothing.item() == 0
    assert torch.autograd.grad(nothing, logits)[0].abs().max() == 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert critic_loss(logits.bfloat16(), real, valid).dtype == torch.float32
    with pytest.raises(ValueError, match="expected"):
        critic_loss(logits, real[:3], valid)
    with pytest.raises(ValueError, match="annotated"):
        judged(torch.ones(2, 3, 4, 4), torch.ones(2, 1, 4, 4), torch.ones(2, 3))
