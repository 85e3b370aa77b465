"""The working grid: orientation, sizes, and the way back."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest

from semivox.cohort.volume import Volume
from semivox.prepare.grid import Grid, working_size
from semivox.prepare.plan import ChannelPlan, ClassPlan, NetworkPlan, Plan

PLAN = Plan(
    dims=3,
    axes=(0, 2, 1),
    native_spacing=(1.0, 1.5, 4.0),
    spacing=(2.0, 3.0, 4.0),
    spacing_known=True,
    rung=2.0,
    shape=(4, 4, 4),
    patch=(4, 4, 4),
    batch=(2, 2),
    network=NetworkPlan("unet", (16,), ((3, 3, 3),), ()),
    channels=(ChannelPlan("MR", "zscore"),),
    classes=(ClassPlan(1, "organ", 10.0, 1.0),),
    budget_seconds=None,
    step_seconds=1.0,
    steps=None,
    assumptions=(),
)


def ras_scan() -> Volume:
    array = np.random.default_rng(0).normal(size=(2, 9, 5, 8)).astype(np.float32)
    return Volume(array, np.diag([1.0, 4.0, 1.5, 1.0]))


def turned(volume: Volume, order: tuple[int, ...], signs: tuple[int, ...]) -> Volume:
    """The same scan stored with other axes: nibabel reorders array and affine together."""
    image = nib.Nifti1Image(np.moveaxis(volume.array, 0, -1), volume.affine)
    other = image.as_reoriented(np.array(list(zip(order, signs, strict=True)), float))
    return Volume(np.moveaxis(np.asarray(other.dataobj), -1, 0), other.affine)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_all_48_orientations_give_one_working_array_and_come_back(order: tuple[int, ...]) -> None:
    scan = ras_scan()
    expected = Grid.of(scan, PLAN).to_working(scan.array)
    for signs in product((1, -1), repeat=3):
        copy = turned(scan, order, signs)
        grid = Grid.of(copy, PLAN)
        np.testing.assert_allclose(grid.to_working(copy.array), expected, atol=1e-6)
        native = replace(PLAN, spacing=PLAN.native_spacing)
        same = Grid.of(copy, native)
        assert np.array_equal(same.to_native(same.to_working(copy.array)), copy.array)


def test_axes_sizes_and_spacing() -> None:
    grid = Grid.of(ras_scan(), PLAN)
    assert grid.native_shape == (9, 8, 5)
    assert grid.native_spacing == (1.0, 1.5, 4.0)
    assert grid.working_shape == (5, 4, 5)  # 9 mm / 2 mm = 4.5 rounds up
    assert grid.spacing == pytest.approx((9 / 5, 3.0, 4.0))


def test_nominal_spacing_replaces_the_header() -> None:
    scan = replace(ras_scan(), affine=np.diag([7.0, 7.0, 7.0, 1.0]))
    grid = Grid.of(scan, replace(PLAN, spacing_known=False))
    assert grid.native_spacing == PLAN.native_spacing
    assert grid.working_shape == (5, 4, 5)


def test_back_on_the_file_axes_after_resampling() -> None:
    """A ramp along one anatomical axis is still one on the file's own axes."""
    ramp = np.broadcast_to(np.arange(40.0)[:, None, None], (40, 6, 8))[None]
    scan = turned(Volume(ramp, np.diag([1.0, 4.0, 1.5, 1.0])), (2, 0, 1), (-1, 1, -1))
    grid = Grid.of(scan, PLAN)
    back = grid.to_native(grid.to_working(scan.array))
    assert back.shape == scan.array.shape
    assert np.abs(back - scan.array).max() <= 0.5 + 1e-5  # the half voxel lost at the border


def test_two_dimensions_keep_their_axes() -> None:
    picture = Volume(np.random.default_rng(0).normal(size=(3, 6, 10)), np.eye(4))
    plan = replace(PLAN, dims=2, axes=(0, 1), native_spacing=(1.0, 1.0), spacing=(2.0, 2.0))
    assert Grid.of(picture, plan).working_shape == (3, 5)


def test_working_size_is_never_zero_and_tolerates_rounded_headers() -> None:
    assert working_size(1, 1.0, 3.0) == 1
    assert working_size(143, 0.62499999, 1.25) == 72
    assert working_size(100, 0.9999999, 1.0) == 100
