"""A budget is a time in which a run ends."""

from __future__ import annotations

import time
from pathlib import Path

from semivox.commands.train import train
from semivox.testing.displays import Told


def test_eight_seconds_end_within_eight_seconds(phantoms: tuple[Path, Path], tmp_path: Path) -> None:
    """By the clock, or by the processor's time: one thread never has more than the clock, and on a busy
    machine it has less."""
    display, began = Told(), time.process_time()
    settings = {"run.threads": 1, "plan.network.kind": "unet", "plan.batch": [6, 6]}
    result = train(
        phantoms[0], tmp_path / "run", method="supervised", budget=8.0, settings=settings,
        cache=tmp_path / "cache", display=display,
    )  # fmt: skip
    spent = time.process_time() - began  # the export included
    assert min(result.seconds, spent) <= 8.0
    assert 1 <= result.steps < 100
    assert result.undertrained is not None
    assert any(line.startswith(f"warning: {result.undertrained}") for line in display.said)
