"""Voxel-wise contrasts against their formulas; positions that are valid; who is a negative of whom."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cosine_similarity

from semivox.losses import mean_feature, same_voxel_contrast, valid_positions, volume_contrast
from semivox.networks import Queue
from semivox.randomness import BatchKey, Key

B, N, D = 3, 5, 4


def embeddings(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def like(a: torch.Tensor, b: torch.Tensor, tau: float) -> float:
    return math.exp(float(cosine_similarity(a, b, dim=0)) / tau)


def slow_voxels(
    z_s: torch.Tensor, z_t: torch.Tensor, present: torch.Tensor, case: list[int], tau: float
) -> float:
    losses = []
    for b in range(B):
        for i in range(N):
            if not present[b, i]:
                continue
            itself = like(z_s[b, i], z_t[b, i], tau)
            everything = 0.0
            for c in range(B):
                for j in range(N):
                    if present[c, j] and (c == b or case[c] != case[b]):
                        everything += like(z_s[b, i], z_t[c, j], tau)
            losses.append(-math.log(itself / everything))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("case", [[0, 1, 2], [4, 4, 1]])
def test_same_voxels_find_each_other(case: list[int]) -> None:
    z_s, z_t = embeddings(0, B, N, D), embeddings(1, B, N, D)
    present = torch.ones(B, N, dtype=torch.bool)
    present[0, 3:] = False
    present[2] = case[0] != 4
    for tau in (0.1, 0.5):
        found = same_voxel_contrast(z_s, z_t, present, torch.tensor(case), temperature=tau)
        assert found.item() == pytest.approx(slow_voxels(z_s, z_t, present, case, tau))


def slow_volume(
    z: torch.Tensor, g: torch.Tensor, present: torch.Tensor, case: list[int], past: list, tau: float
) -> float:
    losses = []
    for b in range(B):
        for i in range(N):
            if not present[b, i]:
                continue
            own = like(z[b, i], g[b], tau)
            others = sum(like(z[b, i], vector, tau) for vector, c in past if c != case[b])
            losses.append(-math.log(own / (own + others)))
    return sum(losses) / len(losses)


def test_voxels_find_their_volume_and_no_case_is_its_own_negative() -> None:
    z, g, case = embeddings(2, B, N, D), embeddings(3, B, D), [5, 6, 5]
    earlier, earlier_case = embeddings(4, 4, D), [5, 8, 9, 6]
    queue = Queue(10, D).double()
    queue.push(earlier, torch.tensor(earlier_case))
    queue.push(g, torch.tensor(case))
    present = torch.ones(B, N, dtype=torch.bool)
    present[1, 2:] = False
    past = [*zip(earlier, earlier_case, strict=True), *zip(g, case, strict=True)]
    exclude = queue.exclude(torch.tensor(case))
    found = volume_contrast(z, g, present, queue.vectors, exclude, temperature=0.5)
    assert found.item() == pytest.approx(slow_volume(z, g, present, case, past, 0.5))

    # what the queue holds of a crop's own case makes no difference to it, what it holds of others does
    changed = queue.vectors.clone()
    changed[[0, 4, 6]] *= -1  # case 5
    first = present.clone()
    first[1] = False
    same = volume_contrast(z, g, first, changed, exclude, temperature=0.5)
    assert same.item() == volume_contrast(z, g, first, queue.vectors, exclude, temperature=0.5).item()
    assert volume_contrast(z, g, present, changed, exclude, temperature=0.5).item() != found.item()


def test_without_a_negative_or_an_anchor_nothing_is_learned() -> None:
    z = embeddings(5, B, N, D).requires_grad_()
    g, empty = embeddings(6, B, D), Queue(3, D).double()
    case = torch.zeros(B, dtype=torch.int64)
    everyone = torch.ones(B, N, dtype=torch.bool)
    nobody = torch.zeros(B, N, dtype=torch.bool)
    exclude = empty.exclude(case)
    for loss in (
        volume_contrast(z, g, everyone, empty.vectors, exclude, temperature=0.5),
        volume_contrast(z, g, nobody, empty.vectors, ~exclude, temperature=0.5),
        same_voxel_contrast(z, z.detach(), nobody, case, temperature=0.5),
    ):
        (gradient,) = torch.autograd.grad(loss, z)
        assert loss.item() == pytest.approx(0, abs=1e-12)
        assert gradient.abs().max() < 1e-12


def test_the_order_of_the_batch_does_not_matter_and_gradients_are_right() -> None:
    z_s, z_t, g = embeddings(7, B, N, D), embeddings(8, B, N, D), embeddings(9, B, D)
    memory, case = embeddings(10, 6, D), torch.tensor([0, 1, 1])
    memory_case = torch.tensor([0, 1, 2, 0, 1, 2])
    present = torch.ones(B, N, dtype=torch.bool)
    order = torch.tensor([2, 0, 1])

    def both(rows: torch.Tensor | slice, z: torch.Tensor = z_s) -> torch.Tensor:
        exclude = case[rows][:, None] == memory_case
        return torch.stack(
            [
                same_voxel_contrast(z[rows], z_t[rows], present, case[rows], temperature=0.5),
                volume_contrast(z[rows], g[rows], present, memory, exclude, temperature=0.5),
            ]
        )

    assert torch.allclose(both(slice(None)), both(order))
    assert torch.autograd.gradcheck(lambda z: both(slice(None), z), (z_s.requires_grad_(),))


@pytest.mark.parametrize("size", [(8, 8), (8, 8, 4)])
def test_positions_are_valid_different_and_drawn_by_key(size: tuple[int, ...]) -> None:
    valid = torch.zeros(2, 1, *size)
    valid[0, :, 2:6, 1:7] = 1
    valid[1, :, :2, :2] = 1
    key = BatchKey(Key(0))
    index, present = valid_positions(valid, size, 20, key)
    assert index.shape == present.shape == (2, 20)
    for crop in range(2):
        inside = valid[crop].flatten().nonzero()[:, 0].tolist()
        drawn = index[crop][present[crop]].tolist()
        assert set(drawn) <= set(inside)
        assert len(set(drawn)) == len(drawn) == min(20, len(inside))
    assert torch.equal(index, valid_positions(valid, size, 20, key)[0])
    assert not torch.equal(index, valid_positions(valid, size, 20, BatchKey(Key(1)))[0])
    assert not valid_positions(torch.zeros_like(valid), size, 20, key)[1].any()


def test_coarse_cells_are_valid_where_half_of_their_voxels_are() -> None:
    valid = torch.zeros(1, 1, 8, 8)
    valid[..., :4, :5] = 1  # of the cells of 4 x 4 voxels: all of one, a quarter of its neighbour
    index, present = valid_positions(valid, (2, 2), 256, BatchKey(Key(0)))
    assert index[present].tolist() == [0]
    assert present.shape == (1, 4)


def test_the_mean_feature_is_of_valid_voxels() -> None:
    x, valid = embeddings(11, 2, 3, 4, 5, 2), (embeddings(12, 2, 1, 4, 5, 2) > 0).double()
    expected = torch.stack([x[b][:, valid[b, 0] > 0].mean(1) for b in range(2)])
    assert torch.allclose(mean_feature(x, valid), expected)
    assert torch.equal(mean_feature(x, valid * 0), torch.zeros(2, 3, dtype=torch.float64))
