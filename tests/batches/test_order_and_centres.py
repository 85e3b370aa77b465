"""Which case and which place a crop takes."""

from __future__ import annotations

import numpy as np

from semivox.batches.case_draws import draw_cases
from semivox.batches.geometry import draw_start
from semivox.randomness import Key

NONE = np.zeros((0, 3), np.int32)


def test_each_case_comes_once_an_epoch() -> None:
    cases = [4, 7, 9, 11, 30]
    drawn = draw_cases(Key(0), cases, 0, 25)
    epochs = [tuple(drawn[i : i + 5]) for i in range(0, 25, 5)]
    assert all(sorted(epoch) == cases for epoch in epochs)
    assert len(set(epochs)) > 1
    pieces = [c for first in range(0, 25, 3) for c in draw_cases(Key(0), cases, first, min(3, 25 - first))]
    assert pieces == drawn
    assert draw_cases(Key(1), cases, 0, 25) != drawn


def test_random_starts_cover_all_positions_inside() -> None:
    starts = [draw_start(Key(i), "random", (12, 9, 5), (8, 9, 8), {}, NONE) for i in range(400)]
    counts = np.bincount([s[0] for s in starts], minlength=5)
    assert len(counts) == 5
    assert counts.min() > 50
    assert {s[1:] for s in starts} == {(0, -2)}


def test_foreground_centres_hit_the_foreground() -> None:
    corner = np.array([[58, 3, 38]], np.int32)
    points = {1: NONE, 2: corner, 3: corner + np.array([0, 40, 0])}
    shape, patch = (60, 60, 40), (12, 12, 8)
    starts = np.array([draw_start(Key(i), "foreground", shape, patch, points, NONE) for i in range(600)])
    assert (starts >= 0).all()
    assert (starts + patch <= shape).all()
    hits = []
    for k in (2, 3):
        inside = (points[k] >= starts) & (points[k] < starts + patch)
        hits.append(inside.all(1).mean())
    # a third each on the two classes that are there, the rest at random
    assert abs(hits[0] - 1 / 3) < 0.07
    assert abs(hits[1] - 1 / 3) < 0.07


def test_body_centres_and_fallback() -> None:
    body = np.array([[30, 30, 20]], np.int32)
    shape, patch = (60, 60, 40), (12, 12, 8)
    starts = np.array([draw_start(Key(i), "body", shape, patch, {}, body) for i in range(100)])
    offset = starts + np.array(patch) // 2 - body
    assert (np.abs(offset) <= np.array(patch) // 4).all()
    assert (np.abs(offset).max(0) == np.array(patch) // 4).all()
    for where in ("foreground", "body"):
        spread = np.array([draw_start(Key(i), where, shape, patch, {1: NONE}, NONE)[0] for i in range(200)])
        assert spread.min() < 5
        assert spread.max() > 43
