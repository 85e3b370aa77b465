from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semivox.cohort.orientation import Orientation, orientation_of
from semivox.errors import DataError

ALL_48 = [(p, s) for p in permutations(range(3)) for s in product((1.0, -1.0), repeat=3)]
SHAPE = (2, 3, 4, 5)


def affine_of(permutation: tuple[int, ...], signs: tuple[float, ...]) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = 0
    for file_axis, (ras_axis, sign) in enumerate(zip(permutation, signs, strict=True)):
        affine[ras_axis, file_axis] = sign * (0.5 + file_axis)
    affine[:3, 3] = (7, -3, 11)
    return affine


@pytest.mark.parametrize(("permutation", "signs"), ALL_48)
def test_turns_to_ras_as_nibabel_does_and_exactly_back(permutation, signs):
    array = np.random.default_rng(0).random(SHAPE)
    affine = affine_of(permutation, signs)
    orientation = orientation_of(affine, 3, (0, 1, 2))
    turned = orientation.apply(array)
    for channel in range(2):
        canonical = nib.as_closest_canonical(nib.Nifti1Image(array[channel], affine))
        np.testing.assert_array_equal(turned[channel], canonical.get_fdata())
    np.testing.assert_array_equal(orientation.invert(turned), array)
    assert turned.base is not None
    assert np.shares_memory(turned, array)  # a view
    assert orientation.reorder(array.shape[1:]) == turned.shape[1:]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(ALL_48),
    st.permutations(range(3)),
    st.tuples(*[st.integers(1, 4)] * 4),
)
def test_axes_permute_the_ras_axes_and_invert_is_exact(orientation48, axes, shape):
    array = np.arange(np.prod(shape)).reshape(shape)
    affine = affine_of(*orientation48)
    ras = orientation_of(affine, 3, (0, 1, 2)).apply(array)
    working = orientation_of(affine, 3, axes)
    np.testing.assert_array_equal(working.apply(array), ras.transpose(0, *(a + 1 for a in axes)))
    np.testing.assert_array_equal(working.invert(working.apply(array)), array)
    np.testing.assert_array_equal(working.apply(working.invert(working.apply(array))), working.apply(array))


@pytest.mark.parametrize(("permutation", "signs"), ALL_48[::7])
def test_an_oblique_scan_uses_the_nearest_axes(permutation, signs):
    angle = np.deg2rad(25)
    rotation = np.eye(4)
    rotation[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    straight = affine_of(permutation, signs)
    assert orientation_of(rotation @ straight, 3, (2, 0, 1)) == orientation_of(straight, 3, (2, 0, 1))


def test_2d_keeps_its_axes_whatever_the_affine():
    assert orientation_of(np.diag([-1.0, -1, 1, 1]), 2, (0, 1)) == Orientation((0, 1), (False, False))
    assert orientation_of(np.eye(4), 2, (1, 0)).apply(np.zeros((1, 3, 5))).shape == (1, 5, 3)


@pytest.mark.parametrize("bad", [np.diag([1.0, 0, 1, 1]), np.diag([1.0, np.nan, 1, 1])])
def test_a_degenerate_affine_is_refused(bad):
    with pytest.raises(DataError, match="not invertible"):
        orientation_of(bad, 3, (0, 1, 2))


def test_axes_that_are_no_order_are_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="order"):
        orientation_of(np.eye(4), 3, (0, 1, 1))
