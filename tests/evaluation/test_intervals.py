"""Bootstrap intervals against slow resampling and exact cases."""

from __future__ import annotations

import numpy as np
import pytest

from semivox.evaluation.intervals import draw_counts, group, mean_and_interval
from semivox.randomness import Key

PATIENTS = ["a", "a", "b", "c", "c", "c", "d", "e", "e"]


def test_equals_a_slow_bootstrap_over_patients() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((9, 3))
    values[[0, 4], 1] = np.nan
    values[2, 2] = np.nan  # patient b has no number at all
    key = Key(1) / "test"
    mean, interval = mean_and_interval(values, PATIENTS, resamples=400, key=key)
    np.testing.assert_allclose(mean, np.nanmean(values, 0))
    names = ["a", "b", "c", "d", "e"]
    drawn = (key / 0).numpy().integers(5, size=(400, 5))
    statistics = []
    for resample in drawn:
        cases = [case for i in resample for case, patient in enumerate(PATIENTS) if patient == names[i]]
        statistics.append(
            [
                np.nanmean(values[cases, c]) if (~np.isnan(values[cases, c])).any() else np.nan
                for c in range(3)
            ]
        )
    np.testing.assert_allclose(interval, np.nanpercentile(statistics, [2.5, 97.5], axis=0).T, rtol=1e-10)


def test_cases_of_one_patient_stay_together() -> None:
    values = np.repeat(np.linspace(0, 1, 10), 8)[:, None]  # 10 patients, 8 equal cases each
    by_patient = mean_and_interval(values, [str(i // 8) for i in range(80)])[1][0]
    by_case = mean_and_interval(values, [str(i) for i in range(80)])[1][0]
    # As independent cases the interval would be sqrt(8) times too narrow.
    assert np.ptp(by_patient) / np.ptp(by_case) == pytest.approx(np.sqrt(8), rel=0.08)


def test_width_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(3).normal(size=(200, 1))
    mean, interval = mean_and_interval(values, [str(i) for i in range(200)])
    half = 1.96 * values.std() / np.sqrt(200)
    np.testing.assert_allclose(interval[0] - mean[0], [-half, half], atol=0.06 * half)


def test_constant_few_and_absent_numbers() -> None:
    nan = np.nan
    values = np.array([[0.1, 0.5, nan], [0.1, nan, nan], [0.1, nan, nan]])
    mean, interval = mean_and_interval(values, ["a", "b", "c"])
    assert mean[:2].tolist() == [pytest.approx(0.1), 0.5]
    assert np.isnan(mean[2])
    np.testing.assert_allclose(interval[0], [0.1, 0.1], rtol=1e-12)
    assert np.isnan(interval[1:]).all()
    assert np.isnan(mean_and_interval(values, ["a", "a", "a"])[1]).all()


def test_the_same_cases_give_the_same_interval_whatever_else_is_measured() -> None:
    values = np.random.default_rng(4).random((9, 2))
    alone = mean_and_interval(values[:, :1], PATIENTS)[1]
    assert np.array_equal(alone, mean_and_interval(values[:, :1], PATIENTS)[1])
    np.testing.assert_allclose(alone[0], mean_and_interval(values, PATIENTS)[1][0], rtol=1e-12)


def test_blocks_cover_all_resamples_and_draw_n_each() -> None:
    blocks = list(draw_counts(5000, 2000, Key(0)))
    assert len(blocks) > 1
    assert sum(len(b) for b in blocks) == 2000
    assert all((b.sum(1) == 5000).all() for b in blocks)
    assert not np.array_equal(blocks[0][0], blocks[1][0])
    index, n = group(PATIENTS)
    assert (index.tolist(), n) == ([0, 0, 1, 2, 2, 2, 3, 4, 4], 5)
