"""The elastic energy against a slow transform, closed forms, and each trap of the published code."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from semivox.losses import elastic_energy


def random(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def slow_plane(gap: np.ndarray, spacing: tuple[float, ...]) -> float:
    """Sum over k of |k| |F d|^2 / N of the mirrored image, frequency after frequency."""
    for axis in range(gap.ndim):
        gap = np.concatenate([gap, np.flip(gap, axis)], axis)
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in gap.shape], indexing="ij"))
    energy = 0.0
    for k in itertools.product(*[range(n) for n in gap.shape]):
        turns = sum(k[a] * grid[a] / gap.shape[a] for a in range(gap.ndim))
        coefficient = (gap * np.exp(-2j * np.pi * turns)).sum() / math.sqrt(gap.size)
        signed = [k[a] if k[a] <= gap.shape[a] / 2 else k[a] - gap.shape[a] for a in range(gap.ndim)]
        length = math.sqrt(
            sum((q / (n * h)) ** 2 for q, n, h in zip(signed, gap.shape, spacing, strict=True))
        )
        energy += length * abs(coefficient) ** 2 / gap.size
    return energy


@pytest.mark.parametrize("alpha", [1.0, 0.35])
def test_2d_is_the_formula(alpha: float) -> None:
    p, y, spacing = random(0, 2, 3, 4, 5), random(1, 2, 3, 4, 5), (0.5, 2.0)
    annotated = torch.tensor([[1.0, 1, 0], [0, 1, 1]])
    pairs = [(0, 0), (0, 1), (1, 1), (1, 2)]
    expected = np.mean([slow_plane((alpha * p[b, c] - y[b, c]).numpy(), spacing) for b, c in pairs])
    found = elastic_energy(p, y, spacing, alpha=alpha, annotated=annotated)
    assert found.item() == pytest.approx(expected)


def test_3d_is_the_mean_of_slices_or_the_volume() -> None:
    p, y, spacing = random(2, 1, 2, 3, 4, 3), random(3, 1, 2, 3, 4, 3), (0.7, 0.7, 3.0)
    gap = (p - y)[0].numpy()
    slices = np.mean([slow_plane(gap[c, ..., z], spacing[:2]) for c in range(2) for z in range(3)])
    assert elastic_energy(p, y, spacing, dims="slice").item() == pytest.approx(slices)
    volume = np.mean([slow_plane(gap[c], spacing) for c in range(2)])
    assert elastic_energy(p, y, spacing, dims="volume").item() == pytest.approx(volume)


def test_a_wave_has_its_frequency_in_cycles_per_mm() -> None:
    """cos(pi m (x + 1/2) / N) is one frequency of the mirrored image: m / (2 N spacing)."""
    n, m, spacing = 24, 3, 0.8
    wave = torch.cos(math.pi * m * (torch.arange(n, dtype=torch.float64) + 0.5) / n)
    p = wave[None, None, :, None].expand(1, 1, n, 6)
    found = elastic_energy(p, torch.zeros_like(p), (spacing, 5.0))
    assert found.item() == pytest.approx(m / (2 * n * spacing) * 0.5)


def test_a_finer_grid_and_a_larger_crop_have_the_same_energy() -> None:
    def total(n: int, spacing: float) -> float:
        """Energy x area of two smooth blobs, 4 mm apart, in the middle of the crop."""
        x = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) * spacing
        blobs = [torch.exp(-((x[:, None] - c) ** 2 + x**2) / 8) for c in (-2.0, 2.0)]
        p, y = (blob[None, None] for blob in blobs)
        return elastic_energy(p, y, (spacing, spacing)).item() * (n * spacing) ** 2

    assert total(128, 0.5) == pytest.approx(total(64, 1.0), rel=1e-3)
    assert total(128, 1.0) == pytest.approx(total(64, 1.0), rel=0.05)


@pytest.mark.parametrize("dims", ["slice", "volume"])
def test_trap_1_the_gradient_is_that_of_the_value(dims: str) -> None:
    """The published backward is H W / (4 alpha) times too large; ours is checked by finite differences."""
    y = (random(4, 1, 1, 4, 3, 2) > 0.5).double()
    p = random(5, 1, 1, 4, 3, 2).requires_grad_()
    for alpha in (1.0, 0.35):
        assert torch.autograd.gradcheck(
            lambda x, alpha=alpha: elastic_energy(x, y, (1.0, 0.5, 2.0), alpha=alpha, dims=dims), (p,)
        )


def disc(n: int, centre: float, radius: float) -> torch.Tensor:
    x = torch.arange(n, dtype=torch.float64)
    return ((x[:, None] - centre) ** 2 + (x - n / 2) ** 2 < radius**2).double()[None, None]


def test_trap_2_descent_leads_to_the_label_and_not_to_its_complement() -> None:
    y = disc(24, 12, 6)
    p = torch.full_like(y, 0.5)
    for _ in range(100):
        p.requires_grad_()
        (gradient,) = torch.autograd.grad(elastic_energy(p, y, (1.0, 1.0)), p)
        p = p.detach() - y.numel() * gradient
    assert p[y > 0].mean() > p[y == 0].mean() + 0.8
    assert elastic_energy(y, y, (1.0, 1.0)).item() == 0
    energies = [elastic_energy(f * y + (1 - f) * (1 - y), y, (1.0, 1.0)).item() for f in (0, 0.5, 1)]
    assert energies[0] > energies[1] > energies[2]


def test_what_overlaps_is_drawn_together_and_what_does_not_is_pushed_apart() -> None:
    y = disc(64, 14, 5)
    energies = [elastic_energy(disc(64, c, 5), y, (1.0, 1.0)).item() for c in (14, 16, 18, 20, 22, 24)]
    assert all(a < b for a, b in itertools.pairwise(energies))
    errors = [(disc(64, c, 5) - y).square().mean().item() for c in (14, 16, 24)]
    assert energies[1] / energies[-1] > 2 * errors[1] / errors[-1]  # hears small shifts better than MSE
    apart = [elastic_energy(disc(64, c, 5), y, (1.0, 1.0)).item() for c in (26, 30, 36, 50)]
    assert all(a > b for a, b in itertools.pairwise(apart))


def test_trap_3_elements_of_the_batch_are_independent() -> None:
    p, y = random(6, 3, 2, 6, 5, 4), random(7, 3, 2, 6, 5, 4)
    spacing = (1.0, 1.0, 2.0)
    each = [elastic_energy(p[b : b + 1], y[b : b + 1], spacing).item() for b in range(3)]
    assert elastic_energy(p, y, spacing).item() == pytest.approx(np.mean(each))
    order = torch.tensor([2, 0, 1])
    assert elastic_energy(p[order], y[order], spacing).item() == pytest.approx(np.mean(each))
    p = p.requires_grad_()
    (gradient,) = torch.autograd.grad(elastic_energy(p, y, spacing), p)
    other = y.clone()
    other[1:] = 1 - other[1:]
    (changed,) = torch.autograd.grad(elastic_energy(p, other, spacing), p)
    assert torch.equal(gradient[0], changed[0])


def test_trap_4_opposite_borders_do_not_touch() -> None:
    """The energy that two things share: across the whole crop it is small, where a ring would join them."""
    n = 32
    left, right = (torch.zeros(1, 1, n, n, dtype=torch.float64) for _ in range(2))
    left[:, :, :3, 12:20] = 1
    right[:, :, -3:, 12:20] = 1
    nothing = torch.zeros_like(left)

    def shared(energy) -> float:
        return abs(energy(left + right) - energy(left) - energy(right))

    def periodic(x: torch.Tensor) -> float:
        k = torch.fft.fftfreq(n, dtype=torch.float64)
        return float(((k[:, None] ** 2 + k**2).sqrt() * torch.fft.fft2(x, norm="ortho").abs() ** 2).mean())

    def ours(x: torch.Tensor) -> float:
        return elastic_energy(x, nothing, (1.0, 1.0)).item()

    assert shared(ours) < 0.1 * shared(periodic)


def test_trap_5_it_is_blind_to_constants() -> None:
    """So no method may use it alone: a prediction that is off by 0.3 everywhere costs nothing."""
    y = disc(16, 8, 4)
    p = (y + 0.3).requires_grad_()
    energy = elastic_energy(p, y, (1.0, 1.0))
    energy.backward()
    assert energy.item() == pytest.approx(0, abs=1e-20)
    assert p.grad.abs().max() < 1e-15


@pytest.mark.parametrize("alpha", [1.0, 0.35])
def test_invalid_voxels_and_unannotated_classes_do_not_matter(alpha: float) -> None:
    p, y = random(8, 2, 2, 6, 5), random(9, 2, 2, 6, 5)
    valid = (random(10, 2, 1, 6, 5) > 0.3).double()
    annotated = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    unknown = (valid == 0) | (annotated[:, :, None, None] == 0)
    p = p.requires_grad_()
    losses = [
        elastic_energy(p, target, (1.0, 1.0), alpha=alpha, valid=valid, annotated=annotated)
        for target in (y, torch.where(unknown, 1 - y, y))
    ]
    assert losses[0].item() == losses[1].item()
    (gradient,) = torch.autograd.grad(losses[0], p)
    assert gradient[unknown].abs().max() == 0
    assert gradient[~unknown].abs().min() > 0
    nobody = elastic_energy(p, y, (1.0, 1.0), annotated=annotated * 0)
    assert nobody.item() == 0
    assert torch.autograd.grad(nobody, p)[0].abs().max() == 0


def test_single_precision_is_kept_and_autocast_left() -> None:
    p, y = random(11, 1, 1, 8, 8).float(), random(12, 1, 1, 8, 8).float()
    plain = elastic_energy(p, y, (1.0, 1.0))
    with torch.autocast("cpu", torch.bfloat16):
        assert elastic_energy(p, y, (1.0, 1.0)).item() == plain.item()
        assert elastic_energy(p.bfloat16(), y, (1.0, 1.0)).dtype == torch.float32


def test_what_does_not_fit_is_refused() -> None:
    p = torch.zeros(1, 1, 4, 4)
    with pytest.raises(ValueError, match="differ"):
        elastic_energy(p, p[:, :, :3], (1.0, 1.0))
    with pytest.raises(ValueError, match="spacing"):
        elastic_energy(p, p, (1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="dims"):
        elastic_energy(p, p, (1.0, 1.0), dims="plane")
