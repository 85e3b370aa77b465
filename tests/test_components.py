"""Connected pieces of a region."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from semivox.components import count_components, largest_component


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
