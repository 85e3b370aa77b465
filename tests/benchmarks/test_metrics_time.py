"""The benchmark of the metrics: its organs, and that all three compute the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

import metrics_time
from metrics_time import CASES, measure, organs


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_same_numbers_from_all_three(monkeypatch: pytest.MonkeyPatch) -> None:
    small = ((40, 36, 30), (0.7, 0.8, 2.0), ((10, 8, 6), (6, 5, 5)))
    monkeypatch.setitem(metrics_time.CASES, "small", small)
    found = measure("small", turns=1, medpy_turns=1)
    assert found["medpy_difference"] < 1e-6
    assert found["monai_difference"] < 1e-6
    assert found["classes"] == len(found["dice"]) == 2
    assert all(0.5 < dice < 0.99 for dice in found["dice"])
    assert found["medpy_ratio"] > 0


def test_organs_are_whole_apart_and_fill_no_border() -> None:
    shape, _, half_axes = CASES["atrium"]
    labels = organs(shape, half_axes, 0.1)
    assert labels.shape == shape
    assert set(np.unique(labels)) == {0, 1}
    ellipsoid = 4 / 3 * np.pi * np.prod(half_axes[0])
    assert (labels > 0).sum() == pytest.approx(ellipsoid, rel=0.25)
    assert not labels[[0, -1]].any()
