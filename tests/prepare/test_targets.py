"""Class fractions against one-hot averages, and the round trip."""

from __future__ import annotations

import numpy as np
import pytest

from semivox.cohort.orientation import Orientation
from semivox.errors import DataError
from semivox.prepare.grid import Grid
from semivox.prepare.resample import resample
from semivox.prepare.targets import check_values, class_fractions, dice_ceilings, restore, valid_voxels

STRAIGHT = Orientation((0, 1, 2), (False, False, False))


def grid(native: tuple[int, ...], working: tuple[int, ...], orientation: Orientation = STRAIGHT) -> Grid:
    return Grid(orientation, native, (1.0, 1.0, 1.0), working)


def ball(shape: tuple[int, ...], radius: float) -> np.ndarray:
    at = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in shape), indexing="ij"))
    return (at**2).sum(axis=0) <= radius**2


def test_halving_counts_the_eight_voxels() -> None:
    label = np.random.default_rng(0).choice([0, 3, 7], size=(1, 6, 4, 8))
    planes = class_fractions(label, (3, 7), grid((6, 4, 8), (3, 2, 4)))
    counts = [(label[0] == v).reshape(3, 2, 2, 2, 4, 2).sum(axis=(1, 3, 5)) for v in (3, 7)]
    assert planes.dtype == np.uint8
    np.testing.assert_allclose(planes / 255, np.stack(counts) / 8, atol=1 / 255)


def test_planes_never_sum_above_255_and_full_voxels_are_255() -> None:
    rng = np.random.default_rng(1)
    label = rng.integers(0, 12, size=(1, 13, 11, 10))
    label[0, :6] = np.repeat(np.repeat(rng.integers(0, 12, size=(2, 11, 10)), 3, axis=0), 1, axis=1)
    planes = class_fractions(label, tuple(range(1, 12)), grid((13, 11, 10), (6, 5, 7)))
    assert planes.astype(int).sum(axis=0).max() <= 255
    everywhere = class_fractions(np.full((1, 9, 9, 9), 2), (1, 2, 3), grid((9, 9, 9), (4, 5, 6)))
    assert (everywhere[1] == 255).all()
    assert not everywhere[[0, 2]].any()


def test_equal_grids_are_exact() -> None:
    label = np.random.default_rng(2).integers(0, 4, size=(1, 7, 6, 5))
    turned = Orientation((2, 0, 1), (True, False, True))
    same = grid((5, 7, 6), (5, 7, 6), turned)
    planes = class_fractions(label, (1, 2, 3), same)
    for k, plane in enumerate(planes, start=1):
        assert np.array_equal(plane == 255, turned.apply(label == k)[0])
    assert np.array_equal(restore(planes, same), label[0])
    assert dice_ceilings(label, (1, 2, 3), same) == (1.0, 1.0, 1.0)


def test_restore_is_the_argmax_of_interpolated_fractions() -> None:
    label = np.random.default_rng(3).integers(0, 4, size=(1, 9, 8, 10))
    coarse = grid((9, 8, 10), (5, 4, 4))
    planes = class_fractions(label, (1, 2, 3), coarse)
    fractions = resample(planes, (9, 8, 10)) / np.float32(255)
    everything = np.concatenate([1 - fractions.sum(axis=0, keepdims=True), fractions])
    ordered = np.sort(everything, axis=0)
    clear = ordered[-1] - ordered[-2] > 1e-5  # rounding decides between equals
    assert np.array_equal(restore(planes, coarse)[clear], everything.argmax(axis=0)[clear])


def test_ceiling_falls_with_resolution_and_absent_classes_have_none() -> None:
    label = ball((30, 30, 30), 9.3).astype(np.int16)[None] * 5
    fine, coarse = (dice_ceilings(label, (5, 6), grid((30, 30, 30), (n,) * 3)) for n in (15, 6))
    assert fine[1] is None
    assert fine[0] is not None
    assert coarse[0] is not None
    assert 0.97 < fine[0] < 1
    assert coarse[0] < fine[0]


def test_ignore_marks_every_voxel_it_touches() -> None:
    label = np.zeros((1, 8, 8, 8), np.int16)
    assert valid_voxels(label, 9, grid((8, 8, 8), (4, 4, 4))) is None
    label[0, 2, 3, 4] = 9
    valid = valid_voxels(label, 9, grid((8, 8, 8), (4, 4, 4)))
    assert valid is not None
    assert np.argwhere(valid[0] == 0).tolist() == [[1, 1, 2]]
    assert set(np.unique(valid)) == {0, 255}


def test_strange_values_are_named() -> None:
    label = np.array([[[[0, 1, 9, 4]]]])
    check_values(label, (1, 4), 9, None)
    with pytest.raises(DataError, match=r"\[4\]"):
        check_values(label, (1,), 9, None)
