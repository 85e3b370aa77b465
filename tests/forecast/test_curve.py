"""The learning curve against made-up truths, a library's fit, and what must hold of any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.optimize import curve_fit

from forecast_simulated import TRUTHS, cohort, power, tried
from semivox.forecast import Point, forecast


@pytest.mark.parametrize(("sizes", "labeled"), [((4, 6), 8), ((6, 12), 16), ((4, 8, 12), 16)])
def test_the_interval_holds_as_often_as_it_says(sizes: Sequence[float], labeled: int) -> None:
    rng = np.random.default_rng(3)
    held, widths = zip(*(tried(truth, sizes, labeled, rng, 40) for truth in TRUTHS.values()), strict=True)
    assert 0.74 <= np.mean(held) <= 0.97  # 80 % is promised
    assert np.median(widths) < 0.1


def test_many_sure_points_give_what_least_squares_give() -> None:
    rng, truth, sizes = np.random.default_rng(1), power(0.9, 0.8, 0.7), (4, 8, 16, 32, 64)
    points = cohort(truth, sizes, 400, rng, own=0.01, run=0.0)
    said = forecast(points, 64, 64, run_noise=0.0005)
    means = [np.mean([*point.dice.values()]) for point in points]
    (a, b, c), _ = curve_fit(lambda n, a, b, c: a - b * n**-c, np.array(sizes, float), means, (0.9, 0.8, 0.7))
    fitted = power(a, b, c)
    assert said is not None
    assert said.change == pytest.approx(float(fitted(128) - fitted(64)), abs=0.003)
    assert said.dice == pytest.approx(float(fitted(128)), abs=0.004)
    assert [n for n, _ in said.points] == [*sizes]


def test_it_stays_below_one_and_never_expects_harm() -> None:
    rng = np.random.default_rng(2)
    for truth in (power(1.0, 0.3, 0.3), lambda n: np.asarray(0.9 - 0.01 * n)):  # the second one falls
        said = forecast(cohort(truth, (4, 6), 8, rng), 8, 200)
        assert said is not None
        assert said.low <= said.change <= said.at_most
        assert said.change >= 0
        assert said.dice <= 1


def test_hard_patients_that_came_later_make_no_bad_curve() -> None:
    easy = {f"p{i}": 0.8 for i in range(8)}
    better_and_hard_ones = {f"p{i}": 0.85 for i in range(8)} | {f"q{i}": 0.5 for i in range(8)}
    said = forecast([Point(6, easy), Point(12, better_and_hard_ones)], 16, 8)
    assert said is not None
    assert [round(dice, 3) for _, dice in said.points] == [0.625, 0.675]  # the difference is that of the same
    assert said.change > 0.01


def test_a_flat_curve_of_many_patients_is_enough_and_a_steep_one_not() -> None:
    rng = np.random.default_rng(5)
    flat = forecast(cohort(power(0.8, 0, 1), (20, 40), 60, rng, own=0.01, run=0.0), 60, 8)
    steep = forecast(cohort(power(0.9, 1.5, 0.8), (4, 6), 8, rng, own=0.01, run=0.0), 8, 8)
    assert flat is not None
    assert steep is not None
    assert flat.is_enough
    assert "you may stop" in flat.sentence
    assert not steep.is_enough
    assert "pay" in steep.sentence
    assert "2 points" in (steep.caveat or "")


def test_no_slope_no_forecast() -> None:
    one = Point(6, {"a": 0.5, "b": 0.6, "c": 0.7})
    assert forecast([], 8, 8) is None
    assert forecast([one], 8, 8) is None
    assert forecast([one, one], 8, 8) is None  # of one size
    assert forecast([Point(3, {"x": 0.1, "y": 0.2}), one], 8, 8) is None  # of other patients
