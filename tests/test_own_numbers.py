"""Tests whose module has one generator do not depend on which of them ran before, or in which process."""

from __future__ import annotations

import numpy as np
import pytest

RNG = np.random.default_rng(3)
FIRST = np.random.default_rng(3).integers(0, 2**62)


@pytest.mark.parametrize("turn", [1, 2])
def test_each_test_draws_from_the_start(turn: int) -> None:
    assert RNG.integers(0, 2**62) == FIRST
