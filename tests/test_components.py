"""Connected pieces of a region."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from semivox.components import box_of, components, count_components, largest_component


@pytest.mark.parametrize("shape", [(24, 19), (11, 9, 8)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_pieces_equal_scipys(shape: tuple[int, ...], seed: int) -> None:
    region = np.random.default_rng(seed).random(shape) < (0.2 if len(shape) == 2 else 0.06)
    pieces, count = ndimage.label(region, np.ones((3,) * len(shape)))
    assert count > 3
    assert count_components(region) == count
    sizes = np.bincount(pieces.ravel())[1:]
    found = largest_component(region)
    assert found.dtype == bool
    assert found.sum() == sizes.max()
    (piece,) = np.unique(pieces[found])
    assert np.array_equal(found, pieces == piece)


def test_one_piece_stays_and_nothing_stays_nothing() -> None:
    region = np.zeros((5, 5, 5), bool)
    assert count_components(region) == 0
    assert not largest_component(region).any()
    region[1, 1, 1] = region[2, 2, 2] = True  # they share a corner
    assert count_components(region) == 1
    assert np.array_equal(largest_component(region), region)


@pytest.mark.parametrize("dims", [2, 3])
def test_no_voxel_outside_the_region_has_a_piece_whatever_the_shape(dims: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(400):
        shape = tuple(int(n) for n in rng.integers(1, 15 if dims == 2 else 8, dims))
        region = rng.random(shape) < rng.choice([0.1, 0.3, 0.5])
        pieces, count = components(region)
        expected, number = ndimage.label(region, np.ones((3,) * dims))
        assert count == number == pieces.max(initial=0)
        assert not pieces[~region].any()
        assert len({*zip(pieces[region].tolist(), expected[region].tolist(), strict=True)}) == number
        largest = largest_component(region)
        assert not (largest & ~region).any()
        box = box_of(region, True)
        assert np.array_equal(largest[box], largest_component(region[box]))  # ties too
