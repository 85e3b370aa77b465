"""Conformal quantiles: against their definition, and by the coverage that they promise."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from semivox.inference.conformal import highest_level, largest, smallest

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("n", [1, 2, 7, 8, 19])
@pytest.mark.parametrize("level", ["1/2", "3/4", "4/5", "8/9", "9/10"])
def test_the_end_is_the_first_value_that_enough_places_lie_below(n: int, level: str) -> None:
    """By the definition: of the n + 1 places that the next value may take among the others, all equally
    likely, those up to the end hold the level."""
    values, wanted = RNG.normal(size=n), Fraction(level)
    candidates = [v for v in sorted(values) if Fraction(int((values <= v).sum()), n + 1) >= wanted]
    expected = candidates[0] if candidates else math.inf
    assert largest(values, float(wanted)) == expected
    assert smallest(-values, float(wanted)) == -expected
    assert math.isfinite(expected) == (float(wanted) <= highest_level(n))


def test_eight_cases_promise_their_largest_at_eight_ninths_and_no_more() -> None:
    values = RNG.normal(size=8)
    assert highest_level(8) == pytest.approx(0.8889, abs=1e-4)
    assert largest(values, highest_level(8)) == values.max()
    assert largest(values, 0.9) == math.inf
    assert largest(np.zeros(0), 0.5) == math.inf


@pytest.mark.parametrize("n", [4, 8, 30])
def test_the_next_value_is_covered_as_often_as_promised(n: int) -> None:
    level, draws = 0.8, 4000
    values = RNG.standard_t(2, size=(draws, n + 1))
    covered = np.mean([row[-1] <= largest(row[:-1], level) for row in values])
    exact = math.ceil(level * (n + 1) - 1e-9) / (n + 1)
    assert covered == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / draws))
    assert exact >= level
