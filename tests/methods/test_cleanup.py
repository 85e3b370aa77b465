"""Of what labels show in one piece, only the largest piece stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from semivox.methods.cleanup import in_one_piece
from semivox.prepare import Plan
from semivox.testing.synthetic import tiny_plan


def plan(together: bool, pieces: tuple[bool, ...], dims: int) -> Plan:
    made = tiny_plan(dims, len(pieces) + 1)
    classes = tuple(replace(c, one_piece=one) for c, one in zip(made.classes, pieces, strict=True))
    return replace(made, classes=classes, together=together)


def slow(label: np.ndarray, together: bool, pieces: tuple[bool, ...]) -> np.ndarray:
    """Flood fill, voxel by voxel."""

    def largest(region: np.ndarray) -> set[tuple[int, ...]]:
        left, best = {tuple(int(i) for i in p) for p in np.argwhere(region)}, set[tuple[int, ...]]()
        for start in sorted(left):
            if start not in left:
                continue
            piece, edge = {start}, [start]
            left.discard(start)
            while edge:
                at = edge.pop()
                for step in np.ndindex(*(3,) * label.ndim):
                    near = tuple(a + s - 1 for a, s in zip(at, step, strict=True))
                    if near in left:
                        left.discard(near)
                        piece.add(near)
                        edge.append(near)
            if len(piece) > len(best):
                best = piece
        return best

    kept = label.copy()
    if together:
        stays = largest(kept > 0)
        for at in np.argwhere(kept > 0):
            if tuple(at) not in stays:
                kept[tuple(at)] = 0
    for k, one in enumerate(pieces, 1):
        stays = largest(kept == k) if one else set()
        for at in np.argwhere(kept == k) if one else ():
            if tuple(at) not in stays:
                kept[tuple(at)] = 0
    return kept


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("pieces", [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize("shape", [(9, 8), (6, 5, 4)])
def test_it_is_what_a_flood_fill_leaves(
    together: bool, pieces: tuple[bool, ...], shape: tuple[int, ...]
) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        label = rng.choice(3, size=shape, p=[0.8, 0.12, 0.08]).astype(np.uint8)
        before = label.copy()
        found = in_one_piece(label, plan(together, pieces, len(shape)))
        assert np.array_equal(label, before)
        assert found.dtype == label.dtype
        assert np.array_equal(found, slow(label, together, pieces))


def test_nothing_goes_where_nothing_is_beside_the_largest() -> None:
    label = np.zeros((6, 6), np.uint8)
    assert in_one_piece(label, plan(True, (True, True), 2)) is label
    label[1:3, 1:3], label[3, 1:3] = 1, 2
    assert in_one_piece(label, plan(True, (True, True), 2)) is label


def test_what_looks_like_one_class_far_away_goes_with_its_neighbours() -> None:
    """A heart of two classes, and a larger blob of one of them elsewhere, which is smaller than the heart."""
    label = np.zeros((20, 20), np.uint8)
    label[2:8, 2:5], label[2:8, 5:7] = 1, 2  # 18 and 12
    label[14:18, 14:18] = 2  # 16
    kept = in_one_piece(label, plan(True, (True, True), 2))
    assert (int((kept == 1).sum()), int((kept == 2).sum())) == (18, 12)
    alone = in_one_piece(label, plan(False, (True, True), 2))
    assert int((alone == 2).sum()) == 16
