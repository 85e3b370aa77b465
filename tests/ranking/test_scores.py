"""Places, their mean, and percentages, against counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from semivox.ranking.scores import combined, places, ranks_from_top, top_percent

numbers = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=12)


@given(numbers)
def test_a_place_is_the_share_at_most_as_large_and_ties_share_theirs(values: list[float]) -> None:
    n = len(values)
    for value, place in zip(values, places(values), strict=True):
        smaller, equal = sum(v < value for v in values), sum(v == value for v in values)
        assert place == pytest.approx((smaller + (equal + 1) / 2) / n)


@given(numbers)
def test_units_do_not_matter(values: list[float]) -> None:
    other = [float(i % 4) for i in range(len(values))]
    np.testing.assert_array_equal(
        combined(values, other), combined([7 * v + 100 for v in values], [np.exp(o) for o in other])
    )


def test_the_combination_is_the_mean_of_the_places() -> None:
    assert combined([5, 1, 3], [0.2, 0.3, 0.1]).tolist() == pytest.approx([5 / 6, 2 / 3, 1 / 2])


@given(numbers)
def test_the_percentage_counts_those_that_are_as_large(values: list[float]) -> None:
    for value, percent in zip(values, top_percent(values), strict=True):
        place = sum(v >= value for v in values)
        assert percent >= 100 * place / len(values) > percent - 1


@given(numbers)
def test_the_rank_counts_those_that_are_larger(values: list[float]) -> None:
    assert ranks_from_top(values) == [1 + sum(v > value for v in values) for value in values]


@given(st.floats(0, 10), st.integers(2, 30), st.integers(0, 99))
def test_a_measure_that_differs_by_rounding_alone_tells_nothing(level: float, n: int, seed: int) -> None:
    values = (level + 1e-9 * np.random.default_rng(seed).uniform(-1, 1, n)).tolist()
    values = [round(level, 3) + v - level for v in values]  # away from where six decimals part
    assert top_percent(values) == [100] * n
    assert set(places(values)) == {(n + 1) / (2 * n)}


def test_the_largest_of_two_hundred_is_in_the_top_percent() -> None:
    assert top_percent(list(range(200)))[-3:] == [2, 1, 1]
