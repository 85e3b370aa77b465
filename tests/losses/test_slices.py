"""SimCVD's slice contrast and pairwise distillation against loops from the paper's formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from semivox.losses import (
    boundary_aware_map,
    pairwise_distillation,
    slice_contrast,
    slice_places,
    to_slices,
)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(a: Tensor, b: Tensor) -> float:
    return (a @ b / (a.norm() * b.norm())).item()


def test_boundary_aware_map() -> None:
    x, sdm = draw(2, 3, 4, 5, 6), draw(2, 2, 4, 5, 6, seed=1)
    q = boundary_aware_map(x, sdm)
    assert q.shape == (2, 2, 4, 5, 6)
    at = (1, slice(None), 2, 3, 4)
    mean = (x[1, 0, 2, 3, 4] + x[1, 1, 2, 3, 4] + x[1, 2, 2, 3, 4]) / 3
    torch.testing.assert_close(q[at], mean + sdm[at])


def test_to_slices() -> None:
    q = draw(2, 3, 4, 5, 6)
    slices = to_slices(q)
    assert slices.shape == (12, 3, 4, 5)
    assert slices[1 * 6 + 4].equal(q[1, :, :, :, 4])
    at = torch.tensor([[0, 2], [5, 1]])
    some = to_slices(q, at)
    for row, (b, z) in enumerate([(0, 0), (0, 2), (1, 5), (1, 1)]):
        assert some[row].equal(q[b, ..., z])
    image = draw(2, 3, 4, 5)
    assert to_slices(image) is image
    volume, position = slice_places(2, 6)
    assert (volume[10].item(), position[10].item()) == (1, 4)


@pytest.mark.parametrize("window", [0, 1, 2])
def test_slice_contrast_is_the_papers_sum(window: int) -> None:
    volumes, slices, tau = 2, 5, 0.5
    h_t, h_s = draw(10, 4), draw(10, 4, seed=1)
    volume, position = slice_places(volumes, slices)
    terms = []
    for i in range(volumes):
        for j in range(slices):
            anchor = h_t[i * slices + j]
            bottom = 0.0
            for k in range(volumes):
                for other in range(slices):
                    near = k == i and other != j and abs(other - j) <= window
                    if not near:
                        bottom += math.exp(cosine(anchor, h_s[k * slices + other]) / tau)
            top = math.exp(cosine(anchor, h_s[i * slices + j]) / tau)
            terms.append(-math.log(top / bottom))
    loss = slice_contrast(h_t, h_s, temperature=tau, exclude_window=window, volume=volume, position=position)
    assert loss.item() == pytest.approx(sum(terms) / len(terms), abs=1e-12)


def test_the_gradient_reaches_the_student() -> None:
    h_s = draw(8, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: slice_contrast(draw(8, 4), s, temperature=0.5), h_s)
    slice_contrast(draw(8, 4), h_s, temperature=0.5).backward()
    assert h_s.grad is not None
    assert (h_s.grad.norm(dim=1) > 0).all()


def test_the_window_needs_places() -> None:
    with pytest.raises(ValueError, match="exclude_window"):
        slice_contrast(draw(4, 2), draw(4, 2), exclude_window=1)


def test_one_volume_in_the_window_only_has_no_negatives() -> None:
    volume, position = slice_places(1, 3)
    h = draw(3, 4)
    loss = slice_contrast(h, draw(3, 4, seed=1), exclude_window=3, volume=volume, position=position)
    assert loss.item() == 0


@pytest.mark.parametrize("space", [(2, 3), (2, 3, 2)])
def test_pairwise_distillation_is_the_papers_sum(space: tuple[int, ...]) -> None:
    student, teacher = draw(2, 4, *space), draw(2, 4, *space, seed=1)
    terms = []
    for s, t in zip(student.flatten(2), teacher.flatten(2), strict=True):
        for j in range(s.shape[1]):
            all_k = [math.exp(cosine(s[:, j], t[:, k])) for k in range(t.shape[1])]
            terms.append(-math.log(all_k[j] / sum(all_k)))
    expected = sum(terms) / len(terms)
    assert pairwise_distillation(student, teacher).item() == pytest.approx(expected, abs=1e-12)
    # Student and teacher are not interchangeable: the sum runs over the teacher's places.
    assert pairwise_distillation(teacher, student).item() != pytest.approx(expected, abs=1e-6)


def test_pairwise_distillation_properties() -> None:
    student, teacher = draw(2, 4, 3, 2).requires_grad_(), draw(2, 4, 3, 2, seed=1)
    assert torch.autograd.gradcheck(lambda s: pairwise_distillation(s, teacher, 0.5), student)
    # Volumes are apart: each one's value stands alone.
    apart = [pairwise_distillation(student[i : i + 1], teacher[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(pairwise_distillation(student, teacher), torch.stack(apart).mean())
    # One orthogonal vector a place, student equal to teacher, sharp temperature: every place finds itself.
    eye = torch.eye(6).reshape(1, 6, 3, 2)
    assert pairwise_distillation(eye, eye, 0.01).item() == pytest.approx(0, abs=1e-6)
    # Dead features (ReLU) give log(places) and no gradient, not NaN.
    dead = torch.zeros(1, 4, 3, 2, requires_grad=True)
    loss = pairwise_distillation(dead, torch.rand(1, 4, 3, 2))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(6))
    assert dead.grad is not None
    assert dead.grad.abs().max() == 0
    with pytest.raises(ValueError, match="differ"):
        pairwise_distillation(student, teacher[:, :3])
