"""Consistency against a loop; the noise's distribution and its independence of the batch split."""

from __future__ import annotations

import math

import pytest
import torch

from semivox.losses import clipped_noise, softmax_mse
from semivox.randomness import BatchKey, Key


@pytest.mark.parametrize("space", [(3, 4), (3, 2, 2)])
@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("masked", [False, True])
def test_equals_the_loop(space: tuple[int, ...], classes: int, masked: bool) -> None:
    rng = torch.Generator().manual_seed(0)
    s, t = (3 * torch.randn(2, classes, *space, generator=rng, dtype=torch.float64) for _ in range(2))
    valid = (torch.rand(2, 1, *space, generator=rng) < 0.6).double() if masked else None
    everywhere = torch.ones(2, 1, *space) if valid is None else valid
    terms = []
    for a, b, w in zip(s.flatten(2), t.flatten(2), everywhere.flatten(2), strict=True):
        for v in range(a.shape[1]):
            if w[0, v] > 0:
                for c in range(classes):
                    p = math.exp(a[c, v]) / sum(math.exp(x) for x in a[:, v])
                    q = math.exp(b[c, v]) / sum(math.exp(x) for x in b[:, v])
                    terms.append((p - q) ** 2)
    assert softmax_mse(s, t, valid).item() == pytest.approx(sum(terms) / len(terms), abs=1e-12)
    s.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: softmax_mse(z, t, valid), s)


def test_edges() -> None:
    s = torch.randn(2, 3, 4, 4, requires_grad=True)
    t = torch.randn(2, 3, 4, 4)
    assert softmax_mse(t, t + 5).item() == pytest.approx(0, abs=1e-12)  # softmax does not see a constant
    loss = softmax_mse(s, t, torch.zeros(2, 1, 4, 4))
    loss.backward()
    assert loss.item() == 0
    assert s.grad is not None
    assert s.grad.abs().max() == 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert softmax_mse(s.bfloat16(), t).dtype == torch.float32
    with pytest.raises(ValueError, match="differ"):
        softmax_mse(s, t[:, :2])
    with pytest.raises(ValueError, match="valid"):
        softmax_mse(s, t, torch.ones(2, 4, 4))


def test_noise() -> None:
    like = torch.zeros(4, 1, 32, 32, dtype=torch.float64)
    noise = clipped_noise(BatchKey(Key(3)), like)
    assert noise.shape == like.shape
    assert noise.dtype == like.dtype
    assert noise.abs().max().item() == pytest.approx(0.2)
    # N(0, 0.1^2) clipped at two sigmas: 4.55 % at the bounds, standard deviation 0.0959.
    assert (noise.abs() > 0.19999).double().mean().item() == pytest.approx(0.0455, abs=0.01)
    assert noise.std().item() == pytest.approx(0.0959, abs=0.003)
    assert abs(noise.mean().item()) < 0.005
    assert not noise[0].equal(noise[1])
    wide = clipped_noise(BatchKey(Key(3)), like, sigma=1.0, bound=10.0)
    assert wide.std().item() == pytest.approx(1.0, abs=0.03)


def test_a_slice_of_the_batch_draws_the_same_noise() -> None:
    like = torch.zeros(4, 1, 5, 5)
    whole = clipped_noise(BatchKey(Key(3)), like)
    assert clipped_noise(BatchKey(Key(3), first=2), like[2:]).equal(whole[2:])
