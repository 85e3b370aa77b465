"""The contrast of dimensions against its formula, and what it is for."""

from __future__ import annotations

import math

import pytest
import torch

from semivox.losses import dimension_contrast


def slow(z_s: torch.Tensor, z_t: torch.Tensor, tau: float) -> float:
    d = z_s.shape[1]
    loss = 0.0
    for a in range(d):
        s_a = z_s[:, a] / math.sqrt(sum(float(v) ** 2 for v in z_s[:, a]))
        likeness = []
        for b in range(d):
            t_b = z_t[:, b] / math.sqrt(sum(float(v) ** 2 for v in z_t[:, b]))
            likeness.append(math.exp(float(s_a @ t_b) / tau))
        loss -= math.log(likeness[a] / sum(likeness)) / d
    return loss


def test_it_is_the_formula() -> None:
    z_s, z_t = torch.randn(2, 11, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for tau in (0.1, 0.5, 2.0):
        assert dimension_contrast(z_s, z_t, temperature=tau).item() == pytest.approx(slow(z_s, z_t, tau))


def test_only_present_rows_count() -> None:
    z_s, z_t = torch.randn(2, 11, 5, generator=torch.Generator().manual_seed(1))
    present = torch.arange(11) % 3 != 0
    found = dimension_contrast(z_s, z_t, present, temperature=0.5)
    assert found.item() == pytest.approx(slow(z_s[present], z_t[present], 0.5), rel=1e-5)
    assert dimension_contrast(z_s, z_t, temperature=0.5).item() != pytest.approx(found.item(), rel=1e-3)


def test_the_order_of_rows_and_the_scale_of_columns_do_not_matter() -> None:
    z_s, z_t = torch.randn(2, 11, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    loss = dimension_contrast(z_s, z_t, temperature=0.5)
    order, scale = torch.randperm(11), torch.rand(5, dtype=torch.float64) + 0.5
    assert dimension_contrast(z_s[order], z_t[order], temperature=0.5).item() == pytest.approx(loss.item())
    assert dimension_contrast(z_s * scale, z_t, temperature=0.5).item() == pytest.approx(loss.item())


def test_a_collapsed_embedding_costs_log_d() -> None:
    one = torch.randn(11, 1).expand(-1, 5)
    assert dimension_contrast(one, one, temperature=0.5).item() == pytest.approx(math.log(5), rel=1e-5)
    apart, _ = torch.linalg.qr(torch.randn(11, 5))
    least = math.log(math.exp(2) + 4) - 2  # one column alike, the others at right angles
    assert dimension_contrast(apart, apart, temperature=0.5).item() == pytest.approx(least, rel=1e-4)


def test_gradients() -> None:
    z_s, z_t = torch.randn(2, 7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    z_s.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: dimension_contrast(z, z_t, temperature=0.5), (z_s,))
    dead = torch.zeros(7, 4, dtype=torch.float64, requires_grad=True)
    dimension_contrast(dead, z_t, temperature=0.5).backward()
    assert torch.isfinite(dead.grad).all()
