"""A child that dies or hangs over one try costs that try: whatever the script, the others are done."""

from __future__ import annotations

import sys

import psutil
import pytest

from mortal_children import outcomes

POOR = """
import json, os, sys, time
for n in range(int(sys.argv[1]), 7):
    print(json.dumps({"n": n, "file": "a"}), flush=True)
    if n == 1:
        os.kill(os.getpid(), 11)
    if n == 2:
        time.sleep(60)
    if n == 6:
        sys.stdout.write('{"n": 6, "outc')
        sys.stdout.flush()
        os._exit(3)
    print(json.dumps({"n": n, "outcome": "done", "pid": os.getpid()}), flush=True)
"""


def poor(number: int) -> list[str]:
    return [sys.executable, "-c", POOR, str(number)]


def test_each_try_has_one_outcome_and_the_next_one_a_new_child() -> None:
    found = list(outcomes(poor, 0, 7, patience_s=3))
    assert [one["n"] for one in found] == list(range(7))
    assert [one["outcome"] for one in found] == ["done", "death", "hang", "done", "done", "done", "death"]
    assert found[1]["said"] == "exit -11"
    assert found[6]["said"] == "exit 3"
    assert len({one["pid"] for one in found[3:6]}) == 1 != len({found[0]["pid"], found[3]["pid"]})


def test_a_child_is_ended_when_nobody_asks_for_more() -> None:
    tries = outcomes(poor, 3, 7, patience_s=60)
    child = psutil.Process(next(tries)["pid"])
    tries.close()
    assert not child.is_running()


@pytest.mark.parametrize("words", ["raise SystemExit(4)", "pass"])
def test_a_child_that_tries_nothing_is_no_endless_loop(words: str) -> None:
    with pytest.raises(RuntimeError, match="could not work"):
        list(outcomes(lambda n: [sys.executable, "-c", words], 0, 7, patience_s=60))
