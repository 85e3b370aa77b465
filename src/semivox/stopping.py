"""SIGINT, SIGTERM and SIGUSR1 ask a command to stop."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class StopSignals:
    """``with StopSignals() as stop``: ``stop()`` tells whether a signal came, ``stop.name`` which.

    ``at_once``: the first one also raises KeyboardInterrupt in the main thread. A second SIGINT always does.
    One block may stand in another: the inner one hears them.
    """

    def __init__(self, at_once: bool = False) -> None:
        self.name: str | None = None
        self._at_once, self._before = at_once, dict[int, Any]()

    def __call__(self) -> bool:
        return self.name is not None

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
                number = getattr(signal, name, None)  # Windows has no SIGUSR1
                if number is not None:
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def stay_deaf(self) -> None:
        """Nothing is left to stop: from now on signals do nothing, after the block too."""
        for number in self._before:
            self._before[number] = signal.SIG_IGN
            signal.signal(number, signal.SIG_IGN)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        first, self.name = self.name is None, signal.Signals(number).name
        if (self._at_once and first) or (not first and number == signal.SIGINT):
            raise KeyboardInterrupt(self.name)
