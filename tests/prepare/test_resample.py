"""Resampling against slow loops written from its definition, and its properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from semivox.prepare.resample import resample, source_of


def slow_area(line: np.ndarray, n_out: int) -> np.ndarray:
    """The mean of a piecewise constant function over each output cell."""
    n_in, result = len(line), []
    for i in range(n_out):
        low, high = i * n_in / n_out, (i + 1) * n_in / n_out
        inside = [max(0.0, min(high, j + 1) - max(low, j)) for j in range(n_in)]
        result.append(sum(w * v for w, v in zip(inside, line, strict=True)) / (high - low))
    return np.array(result)


def slow_linear(line: np.ndarray, n_out: int) -> np.ndarray:
    """Interpolation between voxel centres, edge values beyond them."""
    centres = (np.arange(len(line)) + 0.5) / len(line)
    return np.array([np.interp((i + 0.5) / n_out, centres, line) for i in range(n_out)])


def slow(array: np.ndarray, out_shape: tuple[int, ...]) -> np.ndarray:
    result = array.astype(np.float64)
    for axis, n_out in enumerate(out_shape, start=1):
        line = slow_area if n_out < result.shape[axis] else slow_linear
        result = np.apply_along_axis(line, axis, result, n_out)
    return result


@pytest.mark.parametrize(
    ("shape", "out_shape"),
    [
        ((7,), (3,)),
        ((7,), (6,)),
        ((5,), (11,)),
        ((1,), (4,)),
        ((4,), (1,)),
        ((9, 4), (5, 7)),
        ((6, 5, 8), (3, 9, 8)),
        ((6, 5, 8), (11, 2, 5)),
    ],
)
def test_equals_the_definition(shape: tuple[int, ...], out_shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).normal(size=(2, *shape))
    np.testing.assert_allclose(resample(array, out_shape), slow(array, out_shape), atol=2e-6)


def test_halving_is_block_averaging() -> None:
    array = np.random.default_rng(1).normal(size=(1, 8, 6, 4)).astype(np.float32)
    blocks = array.reshape(1, 4, 2, 3, 2, 2, 2).mean(axis=(2, 4, 6))
    np.testing.assert_allclose(resample(array, (4, 3, 2)), blocks, atol=1e-6)


def test_growing_equals_scipy() -> None:
    """scipy's ``grid_mode`` with ``nearest`` is the same half-pixel, edge-clamped convention."""
    array = np.random.default_rng(2).normal(size=(5, 7))
    expected = ndimage.zoom(array, (3.0, 2.0), order=1, grid_mode=True, mode="nearest")
    np.testing.assert_allclose(resample(array[None], (15, 14))[0], expected, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 2**31))
def test_constant_and_mean_are_kept(n_in: int, n_out: int, seed: int) -> None:
    np.testing.assert_allclose(resample(np.full((1, n_in, 2), 3.7), (n_out, 2)), 3.7, rtol=1e-6)
    array = np.random.default_rng(seed).uniform(size=(1, n_in))
    if n_out <= n_in:
        assert resample(array, (n_out,)).mean() == pytest.approx(array.mean(), rel=1e-5)
    assert resample(array, (n_out,)).min() >= array.min() - 1e-6
    assert resample(array, (n_out,)).max() <= array.max() + 1e-6


def test_equal_shape_is_the_identity_and_a_copy() -> None:
    array = np.random.default_rng(3).normal(size=(2, 3, 4)).astype(np.float32)
    result = resample(array, (3, 4))
    assert np.array_equal(result, array)
    assert not np.shares_memory(result, array)


def test_a_reversed_axis_gives_the_reversed_result() -> None:
    array = np.random.default_rng(4).normal(size=(1, 11)).astype(np.float32)
    for n_out in (5, 23):
        there = resample(array[:, ::-1], (n_out,))[:, ::-1]
        np.testing.assert_allclose(there, resample(array, (n_out,)), atol=1e-6)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="spatial axes"):
        resample(np.zeros((1, 3, 3)), (3,))
    with pytest.raises(ValueError, match="empty"):
        resample(np.zeros((1, 3)), (0,))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9), st.data()), min_size=1, max_size=3))
def test_a_part_has_the_bits_of_the_whole(axes: list) -> None:
    shape, out_shape = [n for n, _, _ in axes], [n for _, n, _ in axes]
    starts = [data.draw(st.integers(0, n - 1)) for _, n, data in axes]
    stops = [data.draw(st.integers(start + 1, n)) for start, (_, n, data) in zip(starts, axes, strict=True)]
    part = tuple(slice(*ends) for ends in zip(starts, stops, strict=True))
    array = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    found = resample(array, out_shape, part)
    np.testing.assert_array_equal(found, resample(array, out_shape)[(slice(None), *part)])
    source = array[(slice(None), *source_of(shape, out_shape, part))]
    assert source.min() - 1e-5 <= found.min()
    assert found.max() <= source.max() + 1e-5


def test_an_array_that_stays_as_it_is_is_copied() -> None:
    array = np.ones((1, 4, 5), np.float32)
    for part in (None, (slice(0, 4), slice(1, 3))):
        resample(array, (4, 5), part)[:] = 7
    assert (array == 1).all()
