"""Orders by lot: a function of seed and name, foreground first, each structure in its turn."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from semivox.ranking.choose import choose
from semivox.ranking.lots import FULL_NOISE, random_scores, stratified_scores
from semivox.ranking.measure import Measured
from semivox.ranking.rank import rank_scans

RNG = np.random.default_rng(0)
NAMES = [f"scan{i}" for i in range(12)]


def of(*by_structure: float, features: float = 0.0) -> Measured:
    return Measured(float(np.mean(by_structure)), None, (), np.array([features]), by_structure)


def chosen(scans: dict[str, Measured], labeled: int = 0, **options) -> list[str]:
    known = {f"x{i}": of(0.1, 0.1, features=i) for i in range(labeled)}
    rows = rank_scans(scans, known, {name: name for name in scans}, (), {1: "a", 2: "b"}, **options)
    return [row.case for row in sorted((r for r in rows if r.chosen), key=lambda r: r.chosen or 0)]


def test_scans_in_which_something_is_found_come_first_and_each_as_often() -> None:
    scans = {name: of(*((0.3, 0.0) if i < 9 else (0.0, 0.0))) for i, name in enumerate(NAMES)}
    first = Counter()
    for seed in range(300):
        order = chosen(scans, score="random", top=12, seed=seed)
        assert {*order[:9]} == {*NAMES[:9]}
        first[order[0]] += 1
    assert max(first.values()) < 60  # 33 are to be expected
    assert len(first) == 9


def test_lots_depend_on_seed_and_name_alone() -> None:
    scans = {name: of(*RNG.random(2)) for name in NAMES}
    for score in ("random", "stratified"):
        one = chosen(scans, score=score, top=5)
        assert chosen(dict(reversed(scans.items())), score=score, top=5) == one
        assert chosen(scans, score=score, top=5, seed=1) != one
    few = {name: scans[name] for name in NAMES[:6]}
    places = [random_scores([*names], [True] * len(names), 0) for names in (few, scans)]
    assert places[0] == places[1][:6]


def test_without_much_noise_each_structure_has_its_scan_in_turn() -> None:
    scans = {name: of(*RNG.random(2)) for name in NAMES}
    order = chosen(scans, labeled=4000 * FULL_NOISE, score="stratified", top=6)
    left = [*NAMES]
    for turn, name in enumerate(order):
        assert name == max(left, key=lambda n, turn=turn: scans[n].by_structure[turn % 2])
        left.remove(name)


def test_noise_is_as_large_as_it_says() -> None:
    flat = np.full((2000, 1), 0.2)
    names = [str(i) for i in range(2000)]
    steep = np.array([[0.2 * np.e], [0.2]])
    wins = np.mean([stratified_scores(["a", "b"], steep, 0, seed)[0][0] == 1.0 for seed in range(800)])
    assert wins == pytest.approx(np.e / (1 + np.e), abs=0.06)  # Gumbel noise: softmax of the logarithms
    assert len(set(stratified_scores(names, flat, 0, 0)[0])) > 1990  # some agree to six digits


def test_several_lists_of_scores_are_taken_in_turn() -> None:
    lists = [[0.1, 0.9, 0.5], [0.8, 0.2, 0.3]]
    none = np.zeros((0, 0))
    assert choose(list("abc"), lists, np.zeros((3, 0)), list("abc"), none, (), 3) == [1, 0, 2]
