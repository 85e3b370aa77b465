"""Class means of embeddings and their contrast, against loops from the formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from semivox.losses import class_mean_contrast, class_means
from semivox.losses.class_means import Negatives, Reach

REACHES: tuple[Reach, ...] = ("inter", "intra")
NEGATIVES: tuple[Negatives, ...] = ("means", "voxels")


def slow_means(embeddings: Tensor, weights: Tensor, least: float) -> tuple[Tensor, Tensor]:
    images, size = embeddings.shape[:2]
    classes = weights.shape[1]
    means, present = torch.zeros(images, classes, size).double(), torch.zeros(images, classes).bool()
    for i in range(images):
        for c in range(classes):
            total, amount = torch.zeros(size).double(), 0.0
            for place in torch.cartesian_prod(*(torch.arange(n) for n in embeddings.shape[2:])).tolist():
                w = weights[(i, c, *place)].item()
                total, amount = total + w * embeddings[(i, slice(None), *place)].double(), amount + w
            if amount >= least:
                means[i, c], present[i, c] = total / amount, True
    return means, present


def slow_contrast(
    anchors: Tensor, drawn: Tensor, means: Tensor, present: Tensor, tau: float, reach: str, negatives: str
) -> float:
    images, classes, count = drawn.shape

    def e(a: Tensor, k: Tensor) -> float:
        return math.exp((a @ k / (a.norm() * k.norm())).item() / tau)

    losses = []
    for i in range(images):
        partner = i + 1 if i % 2 == 0 else i - 1
        seen = [i, partner] if reach == "inter" else [i]
        for c in range(classes):
            for n in range(count):
                if not drawn[i, c, n]:
                    continue
                a = anchors[i, c, n]
                positives = [e(a, means[j, c]) for j in seen if present[j, c]]
                others = [(j, d) for j in seen for d in range(classes) if d != c]
                if negatives == "means":
                    against = [e(a, means[j, d]) for j, d in others if present[j, d]]
                else:
                    against = [
                        e(a, anchors[j, d, m]) for j, d in others for m in range(count) if drawn[j, d, m]
                    ]
                if positives and against:
                    total = sum(positives) + sum(against)
                    losses.append(-sum(math.log(p / total) for p in positives) / len(positives))
    return sum(losses) / len(losses) if losses else 0.0


def draw(
    images: int = 6, classes: int = 3, count: int = 2, size: int = 4, seed: int = 0
) -> tuple[Tensor, ...]:
    rng = torch.Generator().manual_seed(seed)
    anchors = torch.randn(images, classes, count, size, generator=rng, dtype=torch.float64)
    drawn = torch.rand(images, classes, count, generator=rng) < 0.7
    means = torch.randn(images, classes, size, generator=rng, dtype=torch.float64)
    present = torch.rand(images, classes, generator=rng) < 0.7
    present[0], drawn[0] = True, True
    present[1] = torch.tensor([True] + [False] * (classes - 1))  # its partner has one class only
    drawn[2], present[2] = False, False  # nothing at all
    return anchors, drawn, means * present[..., None], present


@pytest.mark.parametrize("shape", [(4, 3), (3, 4, 2)])
def test_means_equal_the_loop(shape: tuple[int, ...]) -> None:
    rng = torch.Generator().manual_seed(1)
    embeddings = torch.randn(2, 5, *shape, generator=rng)
    weights = torch.rand(2, 3, *shape, generator=rng)
    weights[0, 1] = 0
    weights[1, 2] *= 0.9 / weights[1, 2].sum()  # less than one voxel
    means, present = class_means(embeddings, weights)
    expected, there = slow_means(embeddings, weights, 1.0)
    assert torch.equal(present, there)
    assert present.sum() == 4
    assert torch.allclose(means.double(), expected, atol=1e-6)
    assert not class_means(embeddings, weights, least=100.0)[1].any()


def test_a_mean_takes_every_voxel_of_its_class_and_no_other() -> None:
    embeddings = torch.zeros(1, 2, 3, 3)
    embeddings[0, 0, 0] = torch.tensor([1.0, 2.0, 6.0])
    embeddings[0, 1, 1:] = 1e6  # other classes
    mask = torch.zeros(1, 1, 3, 3)
    mask[0, 0, 0] = 1
    assert torch.equal(class_means(embeddings, mask)[0], torch.tensor([[[3.0, 0.0]]]))


@pytest.mark.parametrize("reach", REACHES)
@pytest.mark.parametrize("negatives", NEGATIVES)
@pytest.mark.parametrize("tau", [0.1, 0.7])
def test_contrast_equals_the_loop(reach: Reach, negatives: Negatives, tau: float) -> None:
    for classes, count in ((3, 2), (2, 3), (5, 1)):
        values = draw(classes=classes, count=count)
        ours = class_mean_contrast(*values, temperature=tau, reach=reach, negatives=negatives)
        expected = slow_contrast(*values, tau, reach, negatives)
        assert expected > 0
        assert ours.item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("reach", REACHES)
@pytest.mark.parametrize("negatives", NEGATIVES)
def test_gradient(reach: Reach, negatives: Negatives) -> None:
    rng = torch.Generator().manual_seed(2)
    embeddings = torch.randn(2, 3, 3, 2, generator=rng, dtype=torch.float64, requires_grad=True)
    weights = torch.rand(2, 2, 3, 2, generator=rng, dtype=torch.float64)
    drawn = torch.tensor([[[True, True], [True, False]], [[True, True], [False, False]]])

    def loss(x: Tensor) -> Tensor:
        anchors = x.flatten(2).movedim(1, 2)[:, :4].unflatten(1, (2, 2))
        means, present = class_means(x, weights)
        return class_mean_contrast(anchors, drawn, means, present, reach=reach, negatives=negatives)

    assert torch.autograd.gradcheck(loss, embeddings)


@pytest.mark.parametrize("reach", REACHES)
@pytest.mark.parametrize("negatives", NEGATIVES)
def test_neither_the_order_of_pairs_nor_that_within_a_pair_matters(
    reach: Reach, negatives: Negatives
) -> None:
    values = draw()
    loss = class_mean_contrast(*values, reach=reach, negatives=negatives)
    for order in ([4, 5, 2, 3, 0, 1], [1, 0, 3, 2, 5, 4], [2, 3, 5, 4, 0, 1]):
        again = class_mean_contrast(*(v[order] for v in values), reach=reach, negatives=negatives)
        assert torch.allclose(again, loss, atol=1e-12)
    broken = class_mean_contrast(*(v[[0, 3, 4, 5, 2, 1]] for v in values), reach="inter", negatives=negatives)
    assert not torch.allclose(broken, class_mean_contrast(*values, reach="inter", negatives=negatives))


@pytest.mark.parametrize("reach", REACHES)
def test_every_pair_counts_alike(reach: Reach) -> None:
    """Ten times the same pair: the loss of one, and a tenth of its gradient in each."""
    anchors, drawn, means, present = (v[:2] for v in draw(seed=5))
    drawn, present = torch.ones_like(drawn), torch.ones_like(present)
    one = class_mean_contrast(anchors, drawn, means, present, reach=reach)
    many = anchors.repeat(10, 1, 1, 1).requires_grad_()
    loss = class_mean_contrast(
        many, drawn.repeat(10, 1, 1), means.repeat(10, 1, 1), present.repeat(10, 1), reach=reach
    )
    assert loss.item() == pytest.approx(one.item(), abs=1e-12)
    (grad,) = torch.autograd.grad(loss, many)
    size = grad.unflatten(0, (10, 2)).flatten(1).norm(dim=1)
    assert size[0] > 1e-6
    assert torch.allclose(size, size[:1].expand(10), rtol=1e-10)


@pytest.mark.parametrize("reach", REACHES)
@pytest.mark.parametrize("negatives", NEGATIVES)
def test_what_is_not_there_does_not_matter(reach: Reach, negatives: Negatives) -> None:
    anchors, drawn, means, present = draw()
    options = {"reach": reach, "negatives": negatives}
    before = class_mean_contrast(anchors, drawn, means, present, **options)
    absent = torch.where(drawn[..., None], anchors, 1e3)
    nowhere = torch.where(present[..., None], means, -1e3)
    assert torch.equal(class_mean_contrast(absent, drawn, nowhere, present, **options), before)


def test_pairs_are_compared_within_themselves() -> None:
    values = list(draw())
    before = class_mean_contrast(*(v[:2] for v in values))
    alone = [v.clone() for v in values]
    alone[1][2:] = False  # the others have no anchors, but their means are there
    alone[2][2:] *= 100
    assert class_mean_contrast(*alone).item() == pytest.approx(before.item(), abs=1e-12)


@pytest.mark.parametrize("reach", REACHES)
@pytest.mark.parametrize("negatives", NEGATIVES)
def test_with_nothing_to_compare_it_is_zero(reach: Reach, negatives: Negatives) -> None:
    anchors, drawn, means, present = draw(classes=1)  # one class: no negatives
    anchors.requires_grad_()
    for there in (present, torch.zeros_like(present)):
        loss = class_mean_contrast(anchors, drawn, means, there, reach=reach, negatives=negatives)
        (grad,) = torch.autograd.grad(loss, anchors)
        assert loss.item() == 0
        assert bool((grad == 0).all())


def test_inter_draws_a_class_together_across_the_pair() -> None:
    """Means of one class that point the same way in both images are better than ones that do not."""
    axes = torch.eye(3)
    means = torch.stack([axes[:2], axes[:2]])  # (2, 2, 3)
    anchors, drawn = means[:, :, None], torch.ones(2, 2, 1).bool()
    present = torch.ones(2, 2).bool()
    apart = means.clone()
    apart[1] = axes[[2, 0]]  # class 0 elsewhere, class 1 where the other image has class 0
    for negatives in NEGATIVES:
        good = class_mean_contrast(anchors, drawn, means, present, negatives=negatives)
        bad = class_mean_contrast(apart[:, :, None], drawn, apart, present, negatives=negatives)
        assert good < bad
        inside = class_mean_contrast(
            apart[:, :, None], drawn, apart, present, reach="intra", negatives=negatives
        )
        assert inside < 1e-3  # within each image the classes are apart


def test_half_precision_is_widened() -> None:
    anchors, drawn, means, present = draw()
    loss = class_mean_contrast(anchors.bfloat16(), drawn, means.bfloat16(), present)
    assert loss.dtype == torch.float32
    assert class_means(torch.ones(1, 2, 3, 3).bfloat16(), torch.ones(1, 1, 3, 3))[0].dtype == torch.float32


def test_wrong_shapes_are_refused() -> None:
    anchors, drawn, means, present = draw()
    with pytest.raises(ValueError, match="pairs"):
        class_mean_contrast(anchors[:3], drawn[:3], means[:3], present[:3])
    with pytest.raises(ValueError, match="differ"):
        class_means(torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 4))
