"""What geometry computes with plain numbers, held against numpy's arrays and against the long way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semivox.cohort import geometry
from semivox.cohort.geometry import Geometry, broken_geometry, grid_difference, is_sheared
from semivox.cohort.volume import edges_of

ODD = (0.0, 1e-200, 1e-9, 1e-3, 1.0, 1e9, 1e200, np.nan, np.inf)


def random_affine(rng: np.random.Generator) -> np.ndarray:
    """Of every sort: upright, oblique, sheared, of hardly two axes, of numbers that leave their range."""
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] * 10 ** rng.uniform(-4, 3, 3)
    affine[:3, 3] = rng.uniform(-500, 500, 3)
    match rng.integers(5):
        case 0:
            affine[:3, 1] += affine[:3, 0] * 10 ** rng.uniform(-5, 0)
        case 1:
            affine[:3, 1:3] = affine[:3, :1] + affine[:3, 1:3] * 10 ** rng.uniform(-12, -3)
        case 2:
            affine[rng.integers(3), rng.integers(4)] = rng.choice(ODD)
        case 3:
            affine[:3, rng.integers(3)] *= rng.choice(ODD)
    return affine


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([2, 3]))
def test_plain_numbers_say_what_arrays_do(seed: int, dims: int) -> None:
    affine = random_affine(np.random.default_rng(seed))
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(affine[:3, :dims], axis=0)
        np.testing.assert_array_equal(edges_of(affine, dims), lengths)  # bit for bit: plans depend on them
        axes = affine[:3, :dims] / lengths
        gram = axes.T @ axes
        whole = np.isfinite(affine[:3, [*range(dims), 3]]).all() and np.isfinite(lengths).all()
        broken = not whole or not lengths.all() or np.linalg.det(gram) < 1e-12
    if whole and lengths.all() and 1e-13 < abs(np.linalg.det(gram)) < 1e-11:
        return  # rounding decides
    assert (broken_geometry(affine, dims) is not None) == broken
    cosine = np.abs(gram - np.eye(dims)).max()
    if not broken and abs(cosine - 1e-3) > 1e-9:
        assert is_sheared(affine, dims) == (cosine > 1e-3)


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 2**32), st.sampled_from([(9, 8), (9, 1), (1, 1, 1), (48, 40, 1), (9, 8, 7), (400, 3, 1)])
)
def test_what_is_surely_one_grid_is_one_by_its_corners(seed: int, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(seed)
    one = random_affine(rng)
    if len(shape) == 2:
        one[:3, 2] = (0, 0, 1)  # nobody reads it
    other = one.copy()
    size = 10 ** rng.uniform(-8, 1)
    with np.errstate(all="ignore"):
        other[:3, rng.choice([0, 1, 3])] += rng.normal(size=3) * size * np.abs(one[:3, :3]).max()
    if len(shape) == 3 and rng.integers(3) == 0:
        other[:3, 2] *= 10 ** rng.uniform(-6, 6)  # nobody sees the edge of an axis of length 1
    grids = [Geometry(shape, 1, affine, np.dtype("u1")) for affine in (one, other)]
    with np.errstate(all="ignore"):
        quick = grid_difference(*grids)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(geometry, "_surely_one", lambda *both: False)
            assert grid_difference(*grids) == quick
