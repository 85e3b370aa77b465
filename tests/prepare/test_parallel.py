"""One function over many cases: order, errors, and how many cases are in hand at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from semivox.prepare.parallel import map_cases


@pytest.mark.parametrize("workers", [1, 3])
def test_results_keep_the_order_of_the_cases(workers: int) -> None:
    told: list[tuple[int, int]] = []

    def slow_first(i: int) -> int:
        time.sleep(0.02 if i < 2 else 0)
        return i * i

    found = map_cases(slow_first, range(20), workers, lambda done, of: told.append((done, of)))
    assert found == [i * i for i in range(20)]
    assert told == [(i, 20) for i in range(1, 21)]
    assert map_cases(slow_first, [], workers) == []


def test_several_at_a_time_and_each_once() -> None:
    lock, now, most, seen = threading.Lock(), [0], [0], []

    def work(i: int) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
            seen.append(i)
        time.sleep(0.005)
        with lock:
            now[0] -= 1

    map_cases(work, range(30), 3)
    assert sorted(seen) == list(range(30))
    assert 2 <= most[0] <= 3


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_stops_what_has_not_begun(workers: int) -> None:
    seen = []

    def work(i: int) -> None:
        seen.append(i)
        time.sleep(0.002)
        if i == 4:
            raise KeyError("bad case")

    with pytest.raises(KeyError, match="bad case"):
        map_cases(work, range(1000), workers)
    assert len(seen) < 30


class Counting(Sequence[int]):
    """Numbers 0 .. n - 1 that count how many were taken."""

    def __init__(self, n: int) -> None:
        self.n, self.taken = n, 0

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: Any) -> Any:
        if i >= self.n:
            raise IndexError
        self.taken += 1
        return i


def test_few_cases_are_handed_out_ahead() -> None:
    """Memory must not grow with the cohort: cases are taken from it as they are needed."""
    cases, ahead = Counting(200), []
    map_cases(lambda i: time.sleep(0.001), cases, 3, lambda done, of: ahead.append(cases.taken - done))
    assert cases.taken == len(ahead) == 200
    assert max(ahead) <= 2 * 3
