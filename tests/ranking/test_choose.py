"""The diverse choice against a slow version from its definition, and the properties that are promised."""

from __future__ import annotations

import math
import statistics
from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from semivox.ranking.choose import choose


def slow(names, scores, points, patients, known, known_patients, top):
    """From the definition, in plain Python."""
    chosen, usual = [], None
    while len(chosen) < min(top, len(names)):
        left = [i for i in range(len(names)) if i not in chosen]
        others = [*known, *(points[i] for i in chosen)]
        nearest = {i: min((math.dist(points[i], o) for o in others), default=math.inf) for i in left}
        if usual is None and others:
            usual = statistics.median(nearest.values())
        novelty = {}
        for i in left:
            if not others:
                novelty[i] = 1.0
            elif usual == 0:
                novelty[i] = float(nearest[i] > 0)
            else:
                novelty[i] = min(1.0, nearest[i] / usual)
        had = Counter(patients[i] for i in chosen)
        turns = {i: (patients[i] in known_patients, had[patients[i]]) for i in left}
        eligible = [i for i in left if turns[i] == min(turns.values())]
        eligible.sort(key=lambda i: names[i])
        eligible.sort(key=lambda i: -scores[i])
        eligible.sort(key=lambda i: -scores[i] * novelty[i])
        chosen.append(eligible[0])
    return chosen


@st.composite
def problems(draw):
    """Whole numbers as features and eighths as scores: equal values are common, and sums exact."""
    n, m = draw(st.integers(1, 9)), draw(st.integers(0, 3))
    point = st.lists(st.integers(0, 2), min_size=2, max_size=2)
    points = np.array(draw(st.lists(point, min_size=n, max_size=n)), float)
    known = np.array(draw(st.lists(point, min_size=m, max_size=m)), float).reshape(m, 2)
    scores = [k / 8 for k in draw(st.lists(st.integers(1, 8), min_size=n, max_size=n))]
    patients = draw(st.lists(st.sampled_from("abcde"), min_size=n, max_size=n))
    labeled = draw(st.sets(st.sampled_from("abcz")))
    names = draw(st.permutations([f"case{i}" for i in range(n)]))
    return names, scores, points, patients, known, labeled, draw(st.integers(1, n + 1))


@settings(max_examples=300, deadline=None)
@given(problems())
def test_it_is_the_slow_version(problem) -> None:
    assert choose(*problem) == slow(*problem)


@settings(max_examples=150, deadline=None)
@given(problems(), st.randoms(use_true_random=False))
def test_the_order_of_the_scans_does_not_matter(problem, random) -> None:
    names, scores, points, patients, known, labeled, top = problem
    order = list(range(len(names)))
    random.shuffle(order)
    again = choose(
        [names[i] for i in order], [scores[i] for i in order], points[order],
        [patients[i] for i in order], known, labeled, top,
    )  # fmt: skip
    assert [names[order[i]] for i in again] == [names[i] for i in choose(*problem)]


@settings(max_examples=150, deadline=None)
@given(problems())
def test_patients_take_turns_and_those_that_are_labelled_come_last(problem) -> None:
    names, _, _, patients, _, labeled, top = problem
    chosen = choose(*problem)
    assert len(chosen) == len(set(chosen)) == min(top, len(names))
    for place, i in enumerate(chosen):
        before = Counter(patients[j] for j in chosen[:place])
        waiting = [j for j in range(len(names)) if j not in chosen[:place]]
        if patients[i] in labeled:
            assert all(patients[j] in labeled for j in waiting)
        alike = [j for j in waiting if (patients[j] in labeled) == (patients[i] in labeled)]
        assert before[patients[i]] == min(before[patients[j]] for j in alike)


def test_twins_are_not_both_chosen() -> None:
    points = np.array([[0.0, 0], [0, 0], [0, 0], [3, 0], [0, 4]])
    scores = [1.0, 0.95, 0.9, 0.2, 0.1]
    names = list("abcde")
    none = np.zeros((0, 2))
    assert choose(names, scores, points, names, none, (), 3) == [0, 3, 4]
    assert choose(names, scores, points, names, none, (), 5) == [0, 3, 4, 1, 2]
    labelled_twin = np.zeros((1, 2))
    assert choose(names, scores, points, names, labelled_twin, (), 2) == [3, 4]


def test_an_odd_scan_does_not_win_by_its_oddness() -> None:
    points = np.array([[1.0, 0], [0, 1.1], [-1.2, 0], [1000, 0]])
    names = list("abcd")
    assert choose(names, [0.9, 0.8, 0.7, 0.3], points, names, np.zeros((1, 2)), (), 4) == [0, 1, 2, 3]


def test_equal_features_leave_the_choice_to_the_scores() -> None:
    names = list("abc")
    same = np.ones((3, 4))
    assert choose(names, [0.3, 0.9, 0.6], same, names, same[:1], (), 3) == [1, 2, 0]
