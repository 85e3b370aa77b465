"""Damaged files of every format end no process, raise nothing unnamed, hang nothing and take no memory."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fuzz_readers
from fuzz_readers import damaged, run
from fuzz_seeds import write_seeds
from semivox.cohort import ENDINGS, read_volume
from semivox.errors import DataError

FILES = 400
"""In each run, however slow the machine is."""
SECONDS = float(os.environ.get("SEMIVOX_FUZZ_SECONDS", "5"))
"""For which more of them are tried."""


def test_every_ending_has_a_sound_file(tmp_path: Path) -> None:
    """A new row of the table of formats has its seeds here, or a writer."""
    seeds = write_seeds(tmp_path)
    assert set(seeds) == set(ENDINGS)
    for ending, paths in seeds.items():
        assert paths, ending
        for path in paths:
            if ENDINGS[ending].read:
                assert read_volume(path).array.size > 0


def test_damaged_files_are_read_or_refused_by_name(record_property: Callable[[str, object], None]) -> None:
    ends = time.monotonic() + SECONDS
    first = run(0, FILES, seed=1)
    more = run(FILES, 10**9, seed=1, limit_s=max(0.0, ends - time.monotonic()))
    record_property("told", f"{more['next']} damaged files were read or refused by name")
    assert [*first["bad"], *more["bad"]] == []
    assert set(first["counts"]) == set(ENDINGS)
    outcomes = sum(first["counts"].values(), start=Counter())
    assert outcomes.total() == FILES
    assert outcomes["read"] > FILES // 20
    assert outcomes["refused"] > FILES // 5


def test_a_file_has_the_same_damage_in_every_call(tmp_path: Path) -> None:
    seeds = [write_seeds(tmp_path / name) for name in "ab"]
    for first, again in zip(seeds[0].values(), seeds[1].values(), strict=True):
        for one, other in zip(first, again, strict=True):
            if not one.name.startswith("whole"):  # OME's numbers itself by chance
                assert one.read_bytes() == other.read_bytes(), one.name
    made = [damaged(np.random.default_rng([3, 5]), found) for found in seeds]
    assert made[0][1] == made[1][1]


POOR = """
import os, sys
first, last = int(sys.argv[2]), int(sys.argv[3])
for n in range(first, last):
    print('{"n": %d, "file": "a.nrrd"}' % n, flush=True)
    if n == 3:
        os.kill(os.getpid(), 11)
    outcome = {2: "exception", 5: "memory"}.get(n, "read")
    print('{"n": %d, "outcome": "%s", "said": "", "seconds": 0.1, "mib": 1}' % (n, outcome), flush=True)
"""


def test_what_is_bad_is_counted_and_the_rest_goes_on() -> None:
    found = run(0, 8, 0, child=(sys.executable, "-c", POOR))
    assert found["counts"] == {".nrrd": {"read": 5, "exception": 1, "death": 1, "memory": 1}}
    assert [(one["n"], one["outcome"]) for one in found["bad"]] == [
        (2, "exception"),
        (3, "death"),
        (5, "memory"),
    ]
    assert found["next"] == 8


def test_the_child_sees_exceptions_and_errors_that_name_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.nii"
    unnamed, named = DataError("bad"), DataError("bad", path=path)
    for error, outcome in ((KeyError("x"), "exception"), (unnamed, "exception"), (named, "refused")):

        def fail(path: Path, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr("semivox.cohort.read_volume", fail)
        path.write_bytes(b"")
        assert fuzz_readers.read_all(path)[0] == outcome
