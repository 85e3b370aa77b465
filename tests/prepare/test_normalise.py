"""Normalisation from its definition, and its edge cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from semivox.cohort import is_ct
from semivox.errors import DataError
from semivox.prepare.assumptions import say_channel
from semivox.prepare.normalise import normalise
from semivox.prepare.plan import ChannelPlan

ZSCORE = ChannelPlan("MR", "zscore")


def test_zscore_has_mean_zero_and_deviation_one_a_channel() -> None:
    array = np.random.default_rng(0).normal(50, 9, size=(2, 8, 9, 7))
    array[1] = array[1] * 30 - 4000
    result = normalise(array, (ZSCORE, ZSCORE))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result.mean(axis=(1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(result.std(axis=(1, 2, 3)), 1, rtol=1e-5)


def test_padding_does_not_count() -> None:
    body = np.random.default_rng(1).integers(20, 200, size=(1, 10, 10)).astype(np.uint8)
    padded = np.pad(body, ((0, 0), (5, 5), (5, 5)))
    expected = normalise(body, (ZSCORE,))
    np.testing.assert_allclose(normalise(padded, (ZSCORE,))[:, 5:15, 5:15], expected, atol=1e-5)
    thin = np.pad(body, ((0, 0), (0, 1), (0, 0)))  # under a quarter: it is part of the image
    assert normalise(thin, (ZSCORE,)).mean() == pytest.approx(0, abs=1e-5)


def test_two_valued_and_constant_images() -> None:
    two = np.zeros((1, 4, 4))
    two[:, :1] = 1.0
    result = normalise(two, (ZSCORE,))
    assert result.std() == pytest.approx(1, rel=1e-5)
    assert not normalise(np.full((1, 4, 4), 0.1), (ZSCORE,)).any()
    assert not normalise(np.full((1, 4, 4), 3e7), (ZSCORE,)).any()


def test_ct_is_clipped_and_shared_by_the_cohort() -> None:
    plan = ChannelPlan("CT", "ct", low=-100.0, high=300.0, mean=50.0, std=25.0)
    array = np.array([[-2000, -100, 50, 75, 300, 3000]], np.int16)
    np.testing.assert_allclose(normalise(array, (plan,)), [[-6, -6, 0, 1, 10, 10]])


def test_what_names_a_ct() -> None:
    assert all(is_ct(name) for name in ("CT", "ct", "Contrast CT", "abdomen_ct", "CT-portal"))
    assert not any(is_ct(name) for name in ("MRI", "contrast", "T1-weighted", "cine-MRI", "ACDCT", "act"))


def test_the_clipping_of_ct_is_offered_unless_a_name_says_another_kind() -> None:
    for name in ("MRI", "T1-weighted", "T2w", "flair", "cine-MRI", "R", "green", "PET"):
        assert "scheme=ct" not in say_channel(0, ChannelPlan(name, "zscore"))
    for name in ("channel_0", "image", "contrast", "ACDCT"):
        assert "--set plan.channels.1.scheme=ct" in say_channel(1, ChannelPlan(name, "zscore"))


def test_wrong_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="channels"):
        normalise(np.zeros((2, 3, 3)), (ZSCORE,))
    with pytest.raises(ValueError, match="unknown"):
        normalise(np.zeros((1, 3, 3)), (ChannelPlan("MR", "minmax"),))
    with pytest.raises(ValueError, match="needs low"):
        normalise(np.zeros((1, 3, 3)), (ChannelPlan("CT", "ct"),))


@pytest.mark.parametrize("huge", [1e300, 1e308, 1e160])
def test_numbers_without_a_finite_deviation_are_refused(huge: float) -> None:
    array = np.random.default_rng(2).uniform(-1, 1, size=(1, 8, 9, 7)) * huge
    with pytest.raises(
        DataError, match=r"scan\.nii: the intensities are too large; found numbers from -.*e\+"
    ):
        normalise(array, (ZSCORE,), Path("scan.nii"))
    one = np.zeros((1, 8, 9, 7))
    one[0, 0, 0, 0] = huge
    with pytest.raises(DataError, match="too large"):
        normalise(one, (ZSCORE,))


def test_large_numbers_are_normalised_as_small_ones() -> None:
    array = np.random.default_rng(2).normal(size=(1, 8, 9, 7))
    np.testing.assert_array_equal(normalise(array * 2.0**400, (ZSCORE,)), normalise(array, (ZSCORE,)))
    ct = ChannelPlan("CT", "ct", low=-100.0, high=300.0, mean=50.0, std=25.0)
    np.testing.assert_allclose(normalise(np.array([[-1e300, 50, 1e300]]), (ct,)), [[-6, 0, 10]])
