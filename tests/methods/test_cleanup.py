"""Of what labels show in one piece, only the largest piece stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from semivox.methods.cleanup import in_one_piece
from semivox.prepare import Plan
from semivox.testing.synthetic import tiny_plan

USUAL = 4.0
"""Voxels of each class in a usual label."""


def plan(together: bool, pieces: tuple[bool, ...], dims: int) -> Plan:
    made = tiny_plan(dims, len(pieces) + 1)
    classes = tuple(
        replace(c, one_piece=one, voxels=USUAL) for c, one in zip(made.classes, pieces, strict=True)
    )
    return replace(made, classes=classes, together=together)


def slow(label: np.ndarray, together: bool, one_piece: tuple[bool, ...]) -> np.ndarray:
    """Flood fill, voxel by voxel."""

    def pieces(region: np.ndarray) -> list[set[tuple[int, ...]]]:
        left, found = {tuple(int(i) for i in p) for p in np.argwhere(region)}, []
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
            found.append(piece)
        return found

    def likeness(piece: set[tuple[int, ...]]) -> tuple[float, int]:
        classes = [int(label[at]) for at in piece]
        shares = [min(1.0, classes.count(k) / USUAL) for k in range(1, len(one_piece) + 1)]
        return round(sum(shares), 6), len(piece)

    kept = label.copy()
    if together and (kept > 0).any():
        stays = max(pieces(kept > 0), key=likeness)
        for at in map(tuple, np.argwhere(kept > 0)):
            kept[at] = kept[at] if at in stays else 0
    for k, one in enumerate(one_piece, 1):
        if one and (kept == k).any():
            stays = max(pieces(kept == k), key=len)
            for at in map(tuple, np.argwhere(kept == k)):
                kept[at] = kept[at] if at in stays else 0
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


@pytest.mark.parametrize("scale", [1, 4])
def test_a_heart_is_told_from_a_larger_blob_that_looks_like_one_of_its_chambers(scale: int) -> None:
    label = np.zeros((20 * scale, 20), np.uint8)
    label[2 * scale : 4 * scale, 2:4], label[2 * scale : 4 * scale, 4:6] = 1, 2  # 4 and 4, as usual
    label[8 * scale : 18 * scale, 8:18] = 2
    kept = in_one_piece(label, plan(True, (True, True), 2), scale)
    assert [int((kept == k).sum()) for k in (1, 2)] == [4 * scale, 4 * scale]
    alone = in_one_piece(label, plan(False, (True, True), 2), scale)
    assert [int((alone == k).sum()) for k in (1, 2)] == [4 * scale, 100 * scale]
