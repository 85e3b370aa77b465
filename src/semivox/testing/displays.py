"""Displays for tests: one remembers what it is told, the other has the process stopped in the middle."""

from __future__ import annotations

import os
import signal
from typing import Any

from semivox.training.display import Silent


class Told(Silent):
    """Remembers what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


class StopAfter(Told):
    """Sends this process SIGTERM once ``step`` steps of a run are done."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.at = step

    def step(self, step: int, steps: int, record: dict[str, Any]) -> None:
        if step == self.at:
            os.kill(os.getpid(), signal.SIGTERM)
