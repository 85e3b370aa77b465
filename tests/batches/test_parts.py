"""Parts of the cases, cut by patient."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from semivox.batches import Batches, Stream, part_of
from semivox.errors import SettingsError
from semivox.randomness import Key

cohorts = st.lists(st.integers(0, 8), min_size=1, max_size=40).map(lambda owners: [f"p{o}" for o in owners])


@settings(max_examples=150, deadline=None)
@given(patients=cohorts, k=st.integers(1, 5), seed=st.integers(0, 99), data=st.data())
def test_parts_cover_the_cases_and_cut_no_patient(
    patients: list[str], k: int, seed: int, data: st.DataObject
) -> None:
    cases = data.draw(st.permutations(range(len(patients))))[: data.draw(st.integers(1, len(patients)))]
    counts = Counter(patients[c] for c in cases)
    if len(counts) < k:
        with pytest.raises(SettingsError, match=rf"found {len(counts)} patients; expected at least {k}"):
            part_of(cases, patients, (0, k), Key(seed))
        return
    parts = [part_of(cases, patients, (i, k), Key(seed)) for i in range(k)]
    assert sorted(c for part in parts for c in part) == sorted(cases)
    owners = [{patients[c] for c in part} for part in parts]
    assert sum(map(len, owners)) == len(set().union(*owners))
    for part in parts:
        assert list(part) == [c for c in cases if c in part]
    sizes = [len(part) for part in parts]
    assert min(sizes) > 0
    assert max(sizes) - min(sizes) <= max(counts.values())
    # the order the cases come in decides nothing
    assert [sorted(part_of(sorted(cases), patients, (i, k), Key(seed))) for i in range(k)] == [
        sorted(part) for part in parts
    ]


def test_the_next_patient_goes_to_the_smallest_part() -> None:
    patients = ["big"] * 5 + ["a", "b", "c", "d", "e"]
    for seed in range(20):
        names = sorted(set(patients))
        drawn = [names[int(p)] for p in (Key(seed) / "parts").numpy().permutation(len(names))]
        slow: list[list[str]] = [[], []]
        for name in drawn:
            counts = [sum(patients.count(n) for n in part) for part in slow]
            slow[0 if counts[0] <= counts[1] else 1].append(name)
        for i in range(2):
            ours = part_of(range(10), patients, (i, 2), Key(seed))
            assert {patients[c] for c in ours} == set(slow[i])


def test_one_part_is_everything_and_keys_differ() -> None:
    patients = [f"p{i}" for i in range(12)]
    assert part_of((3, 1, 2), patients, (0, 1), Key(0)) == (3, 1, 2)
    assert part_of((), patients, (0, 1), Key(0)) == ()
    assert len({part_of(range(12), patients, (0, 2), Key(seed)) for seed in range(10)}) > 5
    assert part_of(range(12), patients, (0, 2), Key(4)) == part_of(range(12), patients, (0, 2), Key(4))


@pytest.mark.parametrize("part", [(1, 1), (-1, 2), (2, 2), (0, 0)])
def test_parts_that_are_none_are_refused(part: tuple[int, int]) -> None:
    with pytest.raises(SettingsError, match="no such part"):
        part_of(range(4), "abcd", part, Key(0))


def test_the_parts_of_streams_are_those_of_the_run() -> None:
    owners = tuple(f"p{i // 2}" for i in range(16))
    store: Any = SimpleNamespace(labeled=tuple(range(4)), unlabeled=tuple(range(4, 16)), patients=owners)
    streams = {f"{i}": Stream("unlabeled", 4, part=(i, 2)) for i in range(2)}
    for seed in range(4):
        first, second = (
            Batches(store, streams, (8, 8), Key(seed), stage).cases for stage in ("first", "second")
        )
        assert first == second
        for i in range(2):  # what a relabelling of that part labels
            assert first[f"{i}"] == part_of(store.unlabeled, owners, (i, 2), Key(seed))
    with pytest.raises(SettingsError, match="found 2 patients; expected at least 3"):
        Batches(store, {"l": Stream("labeled", 4, part=(0, 3))}, (8, 8), Key(0), "first")
