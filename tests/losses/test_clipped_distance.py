"""Signed distances by shifts against scipy's transform; which way signed distances take."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from semivox.losses import distance, signed_distance
from semivox.losses.clipped_distance import clipped_signed_distance, is_worth_clipping

GRIDS = [
    ((9, 12), (1.0, 1.0)),
    ((9, 12), (0.7, 0.7)),
    ((8, 11), (0.8, 2.1)),
    ((7, 9, 10), (1.0, 1.0, 1.0)),
    ((7, 9, 10), (0.625, 0.625, 0.625)),
    ((7, 9, 10), (1.0, 1.2, 3.0)),
    ((6, 1, 5), (2.0, 2.0, 2.0)),
]


def by_scipy(inside: np.ndarray, spacing: tuple[float, ...], limit: float) -> np.ndarray:
    d_out = ndimage.distance_transform_edt(~inside, sampling=spacing)
    d_in = ndimage.distance_transform_edt(inside, sampling=spacing)
    return np.clip(d_out - d_in, -limit, limit) / limit


@pytest.mark.parametrize(("shape", "spacing"), GRIDS)
@pytest.mark.parametrize("limit", [0.5, 3.0, 5.6, 30.0])
def test_equals_scipy(shape: tuple[int, ...], spacing: tuple[float, ...], limit: float) -> None:
    for seed, share in enumerate((0.01, 0.03, 0.5, 0.97)):
        inside = np.random.default_rng(seed).random(shape) < share
        inside.flat[0], inside.flat[-1] = False, True
        found = clipped_signed_distance(inside, spacing, limit)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, by_scipy(inside, spacing, limit), atol=1e-6)


@pytest.mark.parametrize(("shape", "spacing"), GRIDS)
def test_nothing_passes_from_row_to_row(shape: tuple[int, ...], spacing: tuple[float, ...]) -> None:
    inside = np.zeros(shape, dtype=bool)
    inside[..., -1][0] = True  # the end of a row; the next one begins beside it in memory
    for mask in (inside, ~inside):
        found = clipped_signed_distance(mask, spacing, 20.0)
        np.testing.assert_allclose(found, by_scipy(mask, spacing, 20.0), atol=1e-6)


@pytest.mark.parametrize(("shape", "spacing"), GRIDS)
def test_of_one_kind_alone(shape: tuple[int, ...], spacing: tuple[float, ...]) -> None:
    assert (clipped_signed_distance(np.zeros(shape, dtype=bool), spacing, 4.0) == 1).all()
    assert (clipped_signed_distance(np.ones(shape, dtype=bool), spacing, 4.0) == -1).all()


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.7, 1.0, 2.5)])
def test_both_ways_give_the_same_map(spacing: tuple[float, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.random.default_rng(0).random((12, 10, 9)) < 0.02
    near = signed_distance(mask, spacing, 4.0)
    assert is_worth_clipping(spacing, 4.0)
    monkeypatch.setattr(distance, "is_worth_clipping", lambda *grid: False)
    np.testing.assert_allclose(signed_distance(mask, spacing, 4.0), near, atol=1e-6)


def test_far_limits_take_the_full_transform() -> None:
    assert is_worth_clipping((1.0, 1.0, 1.0), 8.0)
    assert is_worth_clipping((1.0, 1.0, 3.0), 8.0)
    assert not is_worth_clipping((1.0, 1.0, 1.0), 40.0)
    assert not is_worth_clipping((1.0, 1.0, 1.1), 20.0)
