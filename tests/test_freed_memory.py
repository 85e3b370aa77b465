"""Memory that stays with the process: fewer page faults, and it goes back in the end."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import numpy as np
import psutil
import pytest

from semivox import machine
from semivox.machine import freed_memory_kept

BYTES = 80_000_000

pytestmark = pytest.mark.skipif(machine._glibc() is None, reason="another C library than glibc")


def touch() -> None:
    np.ones(BYTES, np.uint8)


def faults(times: int = 5) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        touch()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    return int(psutil.Process().memory_info().rss)


def measured() -> dict[str, int]:
    """Page faults and memory before, inside and after."""
    found = {}
    touch()
    found["outside"], found["memory"] = faults(), resident()
    with freed_memory_kept():
        touch()
        found["inside"], found["memory inside"] = faults(), resident()
        with freed_memory_kept():
            pass
        found["still inside"] = faults()  # the inner one has ended, this one has not
    found["memory after"], found["after"] = resident(), faults()
    return found


def test_pages_are_reused_inside_and_given_back_after() -> None:
    # in a process of its own: what other tests left free in the heap would be used first
    fresh = subprocess.run([sys.executable, __file__], capture_output=True, text=True, check=True)
    found = json.loads(fresh.stdout)
    assert found["outside"] > 100
    assert found["inside"] < found["outside"] / 10
    assert found["memory inside"] > found["memory"] + 0.5 * BYTES  # a part may have been free before
    assert found["still inside"] < found["outside"] / 10
    assert found["memory after"] < found["memory"] + 0.2 * BYTES
    assert found["after"] > found["outside"] / 2


def test_an_error_inside_ends_it_too() -> None:
    with pytest.raises(KeyError), freed_memory_kept():
        raise KeyError
    assert machine._inside == 0


def test_nothing_happens_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with freed_memory_kept():
        assert machine._inside == 0


if __name__ == "__main__":
    print(json.dumps(measured()))
