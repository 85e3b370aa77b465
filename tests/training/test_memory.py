from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from semivox.commands.train import train
from semivox.training import memory
from semivox.training.memory import PeakMemory

CPU = torch.device("cpu")
LINUX = pytest.mark.skipif(not memory.STATUS.is_file(), reason="/proc/self/status is Linux's")


def hold(mib: int) -> None:
    block = np.ones(mib * 2**17)
    del block


@LINUX
def test_a_peak_is_seen_after_it_is_gone_and_is_of_its_own_stretch_only() -> None:
    first = PeakMemory(CPU)
    hold(400)
    high = first.gib()
    second = PeakMemory(CPU)
    hold(50)
    low = second.gib()
    assert high is not None
    assert low is not None
    assert 0.25 < high - low < 0.45  # 350 MiB apart


def test_it_agrees_with_what_the_system_says_of_a_whole_process() -> None:
    """The system's mark of a new process starts at that of the one it was forked from: growth is compared."""
    code = (
        "import numpy as np, resource, sys\nfrom semivox.training import memory\n"
        "unit = 1 if sys.platform == 'darwin' else 1024\n"
        "system = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit\n"
        "before = memory._highest()\nnp.ones(3000 * 2**17)\n"
        "print(before, memory._highest(), system())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, ours, theirs = map(int, done.stdout.split())
    assert ours == pytest.approx(theirs, rel=0.05)
    assert ours - before == pytest.approx(3000 * 2**20, rel=0.1)


def test_what_another_stretch_may_have_used_is_not_claimed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the process cannot forget: a mark that has not risen says nothing about this stretch."""
    marks = iter([1000, 1000, 1000, 2**31])
    monkeypatch.setattr(memory, "CLEAR", tmp_path / "no such folder" / "clear_refs")
    monkeypatch.setattr(memory, "_highest", lambda: next(marks))
    assert PeakMemory(CPU).gib() is None
    assert PeakMemory(CPU).gib() == 2.0


def test_a_run_records_its_peak(phantoms: tuple[Path, Path], small: dict[str, Any], tmp_path: Path) -> None:
    train(phantoms[0], tmp_path / "run", method="supervised", steps=2, settings=small, cache=tmp_path / "c")
    status = json.loads((tmp_path / "run/status.json").read_text())
    now = psutil.Process().memory_info().rss / 2**30
    assert 0.1 < status["peak_memory_gib"] < now + 2.0
