"""Drawing positions of each class, the contrast of classes and the pairs of regions, against slow loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from semivox.losses import (
    class_contrast,
    known_classes,
    pooled,
    region_pairs,
    sample_positions,
    vectors_at,
)
from semivox.randomness import BatchKey, Key

KEY = BatchKey(Key(3) / "positions")


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def blobs(batch: int = 3, positions: int = 60, classes: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (batch, positions), generator=rng)
    return labels, torch.rand(batch, positions, generator=rng) < 0.7


def slow(labels: Tensor, allowed: Tensor, c: int, count: int, u: Tensor) -> list[int]:
    """The positions of one class of one sample, from the description; ``u`` (count + 1,) its draws."""
    members = [p for p in range(len(labels)) if allowed[p] and labels[p] == c]
    n = len(members)
    stretches = min(n, count)
    turn = int(u[-1].item() * n)
    ring = members[turn:] + members[:turn]
    found = []
    for j in range(stretches):
        stretch = ring[j * n // stretches : (j + 1) * n // stretches]
        found.append(stretch[int(u[j].item() * len(stretch))])
    return found


@pytest.mark.parametrize("count", [1, 4, 7, 30])
def test_positions_are_those_of_the_description(count: int) -> None:
    labels, allowed = blobs()
    classes = (0, 2)
    index, present = sample_positions(labels, allowed, classes, count, KEY)
    u = KEY.uniform((3, 2, count + 1))
    assert index.shape == present.shape == (3, 2, count)
    for b in range(3):
        for i, c in enumerate(classes):
            found = index[b, i][present[b, i]].tolist()
            assert found == slow(labels[b], allowed[b], c, count, u[b, i])


def test_no_position_twice_none_forbidden_none_of_another_class() -> None:
    labels, allowed = blobs(batch=8)
    index, present = sample_positions(labels, allowed, range(3), 12, KEY)
    for b in range(8):
        for c in range(3):
            found = index[b, c][present[b, c]]
            assert len(found.unique()) == len(found) == min(12, int((allowed[b] & (labels[b] == c)).sum()))
            assert bool(allowed[b, found].all())
            assert bool((labels[b, found] == c).all())


def test_a_small_class_gives_all_and_an_absent_one_nothing() -> None:
    labels = torch.zeros(2, 20, dtype=torch.int64)
    labels[0, [3, 17]] = 1
    index, present = sample_positions(labels, torch.ones_like(labels, dtype=torch.bool), (1,), 5, KEY)
    assert sorted(index[0, 0][present[0, 0]].tolist()) == [3, 17]
    assert not present[1].any()
    assert bool(((index >= 0) & (index < 20)).all())  # may be gathered all the same
    _, present = sample_positions(labels, torch.zeros_like(labels, dtype=torch.bool), (0, 1), 5, KEY)
    assert not present.any()


@pytest.mark.parametrize(("n", "count"), [(10, 4), (7, 5), (30, 1)])
def test_every_position_is_as_likely(n: int, count: int) -> None:
    samples = 3000
    labels = torch.ones(samples, 40, dtype=torch.int64)
    allowed = torch.zeros(samples, 40, dtype=torch.bool)
    where = torch.arange(n) * 40 // n
    allowed[:, where] = True
    index, _ = sample_positions(labels, allowed, (1,), count, KEY)
    seen = torch.bincount(index.flatten(), minlength=40)[where] / samples
    p = count / n
    assert (seen - p).abs().max() < 5 * math.sqrt(p * (1 - p) / samples)


def test_a_sample_depends_on_itself_and_its_key_alone() -> None:
    labels, allowed = blobs()
    index, present = sample_positions(labels, allowed, range(3), 6, KEY)
    last = BatchKey(KEY.key, first=2)  # as a second process that holds sample 2 alone
    alone = sample_positions(labels[2:], allowed[2:], range(3), 6, last)
    assert torch.equal(index[2:], alone[0])
    assert torch.equal(present[2:], alone[1])
    again, _ = sample_positions(labels, allowed, range(3), 6, KEY)
    other, _ = sample_positions(labels, allowed, range(3), 6, KEY / "other")
    assert torch.equal(index, again)
    assert not torch.equal(index, other)


def test_shapes_that_do_not_fit_are_refused() -> None:
    labels, allowed = blobs()
    with pytest.raises(ValueError, match="labels and allowed"):
        sample_positions(labels, allowed[:, :5], (1,), 2, KEY)


@pytest.mark.parametrize("space", [(4, 5), (4, 3, 2)])
def test_vectors_at(space: tuple[int, ...]) -> None:
    features = draw(2, 3, *space).requires_grad_()
    index = torch.tensor([[[0, 5], [19, 7]], [[1, 1], [2, 11]]])
    vectors = vectors_at(features, index)
    assert vectors.shape == (2, 2, 2, 3)
    for b in range(2):
        for i in range(2):
            for j in range(2):
                place = torch.unravel_index(index[b, i, j], space)
                assert torch.equal(vectors[b, i, j], features[(b, slice(None), *place)])
    assert torch.autograd.gradcheck(lambda x: vectors_at(x, index), features)


def test_known_classes() -> None:
    target = torch.tensor([[[[0.25, 1.0, 0.0]], [[0.5, 0.0, 0.0]]]]).repeat(2, 1, 1, 1)  # (2, 2, 1, 3)
    valid = torch.tensor([[[[1.0, 1.0, 0.0]]]]).repeat(2, 1, 1, 1)
    annotated = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    planes = known_classes(target, valid, annotated)
    whole = torch.tensor([[[0.25, 0.0, 0.0]], [[0.25, 1.0, 0.0]], [[0.5, 0.0, 0.0]]])
    partly = torch.tensor([[[0.0, 0.0, 0.0]], [[0.25, 1.0, 0.0]], [[0.0, 0.0, 0.0]]])
    assert torch.equal(planes, torch.stack([whole, partly]))


def cosine(a: Tensor, b: Tensor) -> float:
    return (a @ b / (a.norm() * b.norm())).item()


def slow_contrast(
    q: Tensor, k: Tensor, label: Tensor, present: Tensor, tau: float,
    memory: Tensor | None = None, memory_label: Tensor | None = None, left_out: Tensor | None = None,
) -> float:  # fmt: skip
    values = []
    for i in range(len(q)):
        if not present[i]:
            continue
        own, other = [], []
        for j in range(len(k)):
            if present[j] and j != i:
                (own if label[j] == label[i] else other).append(cosine(q[i], k[j]) / tau)
        if memory is not None:
            for j in range(len(memory)):
                if not left_out[i, j]:
                    (own if memory_label[j] == label[i] else other).append(cosine(q[i], memory[j]) / tau)
        if own:
            bottom = sum(math.exp(s) for s in other)
            values.append(sum(-math.log(math.exp(s) / (math.exp(s) + bottom)) for s in own) / len(own))
    return sum(values) / len(values)


LABEL = torch.tensor([0, 0, 0, 1, 1, 2, 2, 3])  # class 3 is alone
PRESENT = torch.tensor([True, True, True, True, False, True, True, True])


@pytest.mark.parametrize("tau", [0.1, 0.5])
def test_class_contrast_is_the_formula(tau: float) -> None:
    q, k = draw(8, 4), draw(8, 4, seed=1)
    expected = slow_contrast(q, k, LABEL, PRESENT, tau)
    assert class_contrast(q, k, LABEL, PRESENT, temperature=tau).item() == pytest.approx(expected, abs=1e-12)


def test_class_contrast_meets_the_memory_but_for_what_is_left_out() -> None:
    q, k, memory = draw(8, 4), draw(8, 4, seed=1), draw(5, 4, seed=2)
    memory_label = torch.tensor([0, 3, 1, 3, 2])
    case, memory_case = torch.tensor([4, 4, 0, 0, 1, 1, 2, 2]), torch.tensor([0, 1, -1, 4, 0])
    left_out = (case[:, None] == memory_case) | (memory_case < 0)
    expected = slow_contrast(q, k, LABEL, PRESENT, 0.5, memory, memory_label, left_out)
    split = [(memory[r], memory_label[r], memory_case[r]) for r in (slice(0, 2), slice(2, None))]
    found = class_contrast(q, k, LABEL, PRESENT, temperature=0.5, case=case, memory=split)
    assert found.item() == pytest.approx(expected, abs=1e-12)
    with pytest.raises(ValueError, match="case"):
        class_contrast(q, k, LABEL, PRESENT, memory=split)


def test_class_contrast_properties() -> None:
    q, k = draw(8, 4).requires_grad_(), draw(8, 4, seed=1)
    assert torch.autograd.gradcheck(lambda x: class_contrast(x, k, LABEL, PRESENT, temperature=0.5), q)
    order = torch.tensor([5, 2, 7, 0, 1, 6, 3, 4])
    torch.testing.assert_close(
        class_contrast(q[order], k[order], LABEL[order], PRESENT[order]),
        class_contrast(q, k, LABEL, PRESENT),
    )
    # What a missing row holds does not matter, and it gets no gradient.
    wrong = torch.where(PRESENT[:, None], k, 100.0)
    assert torch.equal(class_contrast(q, wrong, LABEL, PRESENT), class_contrast(q, k, LABEL, PRESENT))
    (grad,) = torch.autograd.grad(class_contrast(q, k, LABEL, PRESENT), q)
    assert not grad[~PRESENT].any()
    # Classes at right angles, each gathered: nothing left to learn. Two classes in one place: log 2 and more.
    gathered = torch.eye(4)[LABEL]
    assert class_contrast(gathered, gathered, LABEL, PRESENT, temperature=0.01).item() == pytest.approx(0)
    mixed = torch.ones(4, 3)
    loss = class_contrast(mixed, mixed, torch.tensor([0, 0, 1, 1]), torch.ones(4, dtype=torch.bool))
    assert loss.item() == pytest.approx(math.log(3))  # a positive against two negatives as near


@pytest.mark.parametrize(
    ("label", "present"),
    [
        ([0, 1, 2, 3], [True] * 4),  # every class once: no positives
        ([1, 1, 1, 1], [True] * 4),  # one class: no negatives
        ([0, 0, 1, 1], [False] * 4),  # nothing drawn
    ],
)
def test_an_empty_contrast_is_0_and_not_nan(label: list[int], present: list[bool]) -> None:
    q = draw(4, 3).requires_grad_()
    loss = class_contrast(q, draw(4, 3, seed=1), torch.tensor(label), torch.tensor(present))
    loss.backward()
    assert loss.item() == 0
    assert q.grad is not None
    assert not q.grad.any()  # and so not NaN


def test_pooled_averages_cells() -> None:
    x = draw(2, 3, 4, 6, 2)
    cells = pooled(x, (2, 3, 2))
    torch.testing.assert_close(cells[1, 2, 1, 0, 1], x[1, 2, 2:4, 0:2, 1].mean())
    assert pooled(x, (4, 6, 2)) is x
    torch.testing.assert_close(pooled(x[..., 0], (2, 3)), cells[..., 0])


@pytest.mark.parametrize("window", [0, 1, 2])
@pytest.mark.parametrize("cross_image", [False, True])
def test_region_pairs(window: int, cross_image: bool) -> None:
    start = torch.tensor([[0.0, 1.3], [0.2, 0.9], [-2.0, 3.0]])  # in cells; the second lies as the first
    grid = (2, 4)
    positives, exclude = region_pairs(start, grid, window, cross_image)
    cells = [(b, (start[b, 0] + x).item(), (start[b, 1] + y).item())
             for b in range(3) for x in range(2) for y in range(4)]  # fmt: skip
    assert positives.shape == exclude.shape == (24, 24)
    for i, (b, x, y) in enumerate(cells):
        for j, (other, u, v) in enumerate(cells):
            distance = max(abs(x - u), abs(y - v))
            comparable = b == other or cross_image
            assert bool(positives[i, j]) == (comparable and distance < 0.5)
            near = 0.5 <= distance < window + 0.5
            assert bool(exclude[i, j]) == (not comparable or near)
    assert bool(positives.diagonal().all())
    if not cross_image:
        assert torch.equal(positives, torch.eye(24, dtype=torch.bool))
