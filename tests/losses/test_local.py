"""Local contrast against loops over voxels written from the formulas."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from semivox.losses import (
    Form,
    VoxelPools,
    block_pools,
    class_labels,
    info_nce,
    place_labels,
    strided_pool,
    voxel_contrast,
)

FORMS: tuple[Form, ...] = ("out", "in", "pair", "ratio")
SHAPES = {2: (6, 5), 3: (4, 4, 3)}
TAU = 0.3


def draw(dims: int = 2, n: int = 3, classes: int = 3, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Vectors (N, D, X, Y[, Z]), labels with some left out and one class of a single voxel, ranks."""
    rng = torch.Generator().manual_seed(seed)
    shape = SHAPES[dims]
    vectors = torch.randn(n, 4, *shape, generator=rng, dtype=torch.float64)
    labels = torch.randint(-1, classes, (n, *shape), generator=rng)
    labels.flatten()[0] = classes  # it has no positive anywhere
    return vectors, labels, torch.rand(n, *shape, generator=rng)


def one_anchor(a: int, y: list[int], f: list[Tensor], form: str, background_negatives: bool) -> float | None:
    """The formula for one anchor of one pool; None where it has no positive."""
    others = [k for k in range(len(y)) if k != a and y[k] != -1]
    if not background_negatives and y[a] != 0:
        others = [k for k in others if y[k] != 0]
    e = {k: math.exp(float(f[a] @ f[k] / (f[a].norm() * f[k].norm())) / TAU) for k in others}
    own, negatives = [k for k in others if y[k] == y[a]], [k for k in others if y[k] != y[a]]
    if not own:
        return None
    if form == "out":
        return -sum(math.log(e[p] / sum(e.values())) for p in own) / len(own)
    if form == "in":
        return -math.log(sum(e[p] for p in own) / len(own) / sum(e.values()))
    below = sum(e[k] for k in negatives)
    if form == "pair":
        return -sum(math.log(e[p] / (e[p] + below)) for p in own) / len(own)
    return -math.log(sum(e[p] for p in own) / below) / len(own) if negatives else 0.0


def slow(
    vectors: Tensor,
    labels: Tensor,
    pools: list[list[tuple[int, ...]]],
    form: str,
    *,
    background_anchors: bool = False,
    background_negatives: bool = True,
) -> float:
    """Mean over pools of the mean over anchors; ``pools`` lists (image, x, y[, z]) of their voxels."""
    values = []
    for voxels in pools:
        y = [int(labels[v]) for v in voxels]
        f = [vectors[(v[0], slice(None), *v[1:])] for v in voxels]
        anchors = [a for a in range(len(y)) if y[a] > 0 or (background_anchors and y[a] == 0)]
        each = [one_anchor(a, y, f, form, background_negatives) for a in anchors]
        kept = [value for value in each if value is not None]
        if kept:
            values.append(sum(kept) / len(kept))
    return sum(values) / len(values)


def places(labels: Tensor, stride: int = 1) -> list[tuple[int, ...]]:
    n, *space = labels.shape
    return list(itertools.product(range(n), *(range(0, size, stride) for size in space)))


def by_block(labels: Tensor, side: int) -> list[list[tuple[int, ...]]]:
    found: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for v in places(labels):
        found.setdefault(tuple(i // side for i in v[1:]), []).append(v)
    return list(found.values())


def contrast(pools: VoxelPools, form: Form = "out", **options: object) -> Tensor:
    return voxel_contrast(*pools, temperature=TAU, form=form, **options)  # type: ignore[arg-type]


SWITCHES = [{}, {"background_anchors": True}, {"background_negatives": False}]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("switches", SWITCHES)
def test_stride_equals_the_loop(dims: int, form: Form, switches: dict[str, bool]) -> None:
    vectors, labels, rank = draw(dims)
    for stride in (1, 2) if dims == 2 else (2,):
        ours = contrast(strided_pool(vectors, labels, rank, stride), form, **switches)
        expected = slow(vectors, labels, [places(labels, stride)], form, **switches)
        assert ours.item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("switches", SWITCHES)
def test_blocks_equal_the_loop(dims: int, form: Form, switches: dict[str, bool]) -> None:
    vectors, labels, rank = draw(dims)
    labels[:, :2, :2] = labels[:, :2, :2].clamp(max=0)  # a block without foreground
    for side in (2, 3):  # they do not divide every axis
        ours = contrast(block_pools(vectors, labels, rank, side), form, **switches)
        expected = slow(vectors, labels, by_block(labels, side), form, **switches)
        assert ours.item() == pytest.approx(expected, abs=1e-10)


def test_a_block_as_large_as_the_image_is_stride_one() -> None:
    vectors, labels, rank = draw()
    one = contrast(strided_pool(vectors, labels, rank, 1))
    torch.testing.assert_close(contrast(block_pools(vectors, labels, rank, 8)), one)
    torch.testing.assert_close(contrast(block_pools(vectors, labels, rank, 10**6)), one)


@pytest.mark.parametrize("form", FORMS)
def test_gradients(form: Form) -> None:
    vectors, labels, rank = draw()
    vectors.requires_grad_()
    for cut in (lambda v: strided_pool(v, labels, rank, 2), lambda v: block_pools(v, labels, rank, 4, 2)):
        assert torch.autograd.gradcheck(lambda v, cut=cut: contrast(cut(v), form, anchors=6), (vectors,))


def test_every_other_voxel_is_a_key_and_left_out_ones_are_none() -> None:
    vectors, labels, rank = draw()
    vectors.requires_grad_()
    contrast(strided_pool(vectors, labels, rank, 1)).backward()
    assert vectors.grad is not None
    reached = vectors.grad.abs().sum(1) > 0
    assert torch.equal(reached, labels >= 0)


def test_order_of_images_and_length_of_vectors_do_not_matter() -> None:
    vectors, labels, rank = draw()
    order = torch.tensor([2, 0, 1])
    for cut in (lambda *x: strided_pool(*x, 2), lambda *x: block_pools(*x, 3)):
        loss = contrast(cut(vectors, labels, rank))
        shuffled = contrast(cut(5 * vectors[order], labels[order], rank[order]))
        torch.testing.assert_close(shuffled, loss)


@pytest.mark.parametrize("anchors", [1, 4, 10_000])
def test_of_too_many_anchors_the_highest_ranks_stay(anchors: int) -> None:
    vectors, labels, rank = draw()
    ours = contrast(strided_pool(vectors, labels, rank, 1), anchors=anchors)
    f = vectors.movedim(1, -1).flatten(0, -2)
    y, r = labels.flatten().tolist(), rank.flatten().tolist()
    foreground = sorted((k for k in range(len(y)) if y[k] > 0), key=lambda k: -r[k])[:anchors]
    each = [one_anchor(a, y, list(f), "out", True) for a in foreground]
    kept = [value for value in each if value is not None]
    assert ours.item() == pytest.approx(sum(kept) / len(kept), abs=1e-10)


def test_anchors_are_shared_out_over_the_pools_and_keys_stay() -> None:
    vectors, labels, rank = draw()
    labels.clamp_(min=1, max=2)
    pools = block_pools(vectors, labels, rank, 3)
    vectors_of = [pools.features[g].movedim(1, -1).flatten(0, -2) for g in range(4)]
    values = []
    for g in range(4):
        y, r = pools.labels[g].flatten().tolist(), pools.rank[g].flatten().tolist()
        best = sorted((k for k in range(len(y)) if y[k] > 0), key=lambda k: -r[k])[:2]
        each = [one_anchor(a, y, list(vectors_of[g]), "out", True) for a in best]
        values.append(sum(v for v in each if v is not None) / 2)
    assert contrast(pools, anchors=8).item() == pytest.approx(sum(values) / 4, abs=1e-10)


def test_blocks_with_foreground_are_taken_first() -> None:
    vectors, labels, rank = draw()
    labels.clamp_(max=0)
    labels[1, 4, 4], labels[2, 4, 4] = 1, 1  # of the four blocks of side 3, the last
    for seed in range(5):
        rank = torch.rand(rank.shape, generator=torch.Generator().manual_seed(seed))
        pools = block_pools(vectors, labels, rank, 3, at_most=1)
        assert pools.labels.shape == (1, 3, 3, 3)
        assert (pools.labels > 0).sum() == 2
        torch.testing.assert_close(contrast(pools), contrast(block_pools(vectors, labels, rank, 3)))
    everywhere = torch.ones_like(labels)
    chosen = set()
    for seed in range(20):
        rank = torch.rand(rank.shape, generator=torch.Generator().manual_seed(seed))
        chosen.add(float(block_pools(vectors, everywhere, rank, 3, at_most=1).features[0, 0, 0, 0, 0]))
    assert len(chosen) == 4  # each has its turn


def test_blocks_keep_every_voxel_once() -> None:
    for dims in (2, 3):
        vectors, labels, rank = draw(dims)
        pools = block_pools(vectors, labels, rank, 3)
        inside = pools.features.abs().sum(2) > 0
        found = pools.features.movedim(2, -1)[inside]
        expected = vectors.movedim(1, -1).flatten(0, -2)
        assert torch.equal(found.sort(0).values, expected.sort(0).values)
        assert bool((pools.labels[~inside] == -1).all())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("content", ["background", "single voxel", "left out", "one class"])
def test_no_number_is_lost_on_rare_classes(form: Form, content: str) -> None:
    vectors, labels, rank = draw()
    vectors = vectors.float().requires_grad_()
    labels = torch.full_like(labels, {"one class": 1, "left out": -1}.get(content, 0))
    if content == "single voxel":
        labels[0, 2, 2] = 2
    for cut in (
        lambda: strided_pool(vectors, labels, rank, 2),
        lambda: block_pools(vectors, labels, rank, 4),
    ):
        vectors.grad = None
        with torch.autograd.set_detect_anomaly(True, check_nan=True):
            loss = contrast(cut(), form, anchors=5)
            loss.backward()
        assert loss.isfinite()
        assert vectors.grad is not None
        assert vectors.grad.isfinite().all()
        if content != "one class":
            assert loss.item() == 0
            assert vectors.grad.abs().sum() == 0


@pytest.mark.parametrize("form", FORMS)
def test_large_similarities_do_not_overflow(form: Form) -> None:
    vectors, labels, rank = draw()
    vectors = (1e6 * vectors).float().requires_grad_()
    loss = voxel_contrast(*strided_pool(vectors, labels, rank, 1), temperature=1e-4, form=form)
    loss.backward()
    assert loss.isfinite()
    assert loss != 0
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()


def test_autocast_changes_nothing() -> None:
    vectors, labels, rank = draw()
    pools = block_pools(vectors.float(), labels, rank, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = contrast(pools)
    assert torch.equal(inside, contrast(pools))


def test_same_voxel_in_the_other_view_is_nt_xent() -> None:
    first, _, rank = draw(n=2)
    second = first + 0.5 * torch.randn(first.shape, generator=torch.Generator().manual_seed(1))
    valid = torch.ones(2, 1, *SHAPES[2])
    valid[0, 0, 0] = 0
    y = place_labels(valid)
    assert len(y[y > 0].unique()) == int(valid.sum())
    assert bool(((y == -1) == (valid[:, 0] == 0)).all())
    vectors, labels = torch.cat([first, second]), torch.cat([y, y])
    f = vectors.movedim(1, -1)[labels > 0]
    n = len(f) // 2
    index = torch.arange(2 * n)
    expected = info_nce(
        f, f, (index[:, None] - index).abs() == n, temperature=TAU, exclude=torch.eye(2 * n, dtype=torch.bool)
    )
    torch.testing.assert_close(contrast(strided_pool(vectors, labels, rank.repeat(2, 1, 1), 1)), expected)


def fractions(*rows: tuple[float, ...]) -> Tensor:
    """(1, K-1, len(rows), 1) one voxel a row."""
    return torch.tensor(rows).T[None, :, :, None]


def test_a_voxel_has_the_class_that_fills_half_of_it() -> None:
    target = fractions((1, 0, 0), (0.5, 0, 0.5), (0, 0.6, 0.4), (0.4, 0, 0.4), (0, 0, 0), (0.3, 0, 0.1))
    valid, annotated = torch.ones(1, 1, 6, 1), torch.ones(1, 3)
    # half class 1 and half class 3 is no class 2; without a majority there is none
    assert class_labels(target, valid, annotated).flatten().tolist() == [1, 1, 2, -1, 0, 0]
    valid[0, 0, 0] = 0
    assert class_labels(target, valid, annotated).flatten().tolist() == [-1, 1, 2, -1, 0, 0]


def test_where_a_class_was_not_annotated_the_background_is_unknown() -> None:
    target = torch.cat([fractions((1, 0), (0, 1), (0, 0), (0.6, 0.4))] * 2)
    annotated = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    found = class_labels(target, torch.ones(2, 1, 4, 1), annotated)
    assert found.flatten(1).tolist() == [[1, -1, -1, 1], [1, 2, 0, 1]]
