"""Memory that stays with the process: fewer page faults, and it goes back in the end."""

from __future__ import annotations

import resource
import sys

import numpy as np
import psutil
import pytest

from semivox.networks import memory
from semivox.networks.memory import freed_memory_kept

BYTES = 80_000_000

pytestmark = pytest.mark.skipif(memory._glibc() is None, reason="another C library than glibc")


def touch() -> None:
    np.ones(BYTES, np.uint8)


def faults(times: int = 5) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        touch()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    return int(psutil.Process().memory_info().rss)


def test_pages_are_reused_inside_and_given_back_after() -> None:
    touch()
    outside, before = faults(), resident()
    with freed_memory_kept():
        touch()
        assert faults() < outside / 10
        assert resident() > before + 0.5 * BYTES  # a part may lie in what the heap had free before
        with freed_memory_kept():
            pass
        assert faults() < outside / 10  # the inner one has ended, this one has not
    assert resident() < before + 0.2 * BYTES
    assert faults() > outside / 2


def test_an_error_inside_ends_it_too() -> None:
    with pytest.raises(KeyError), freed_memory_kept():
        raise KeyError
    assert memory._inside == 0


def test_nothing_happens_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with freed_memory_kept():
        assert memory._inside == 0
