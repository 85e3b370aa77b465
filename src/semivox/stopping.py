"""SIGINT, SIGTERM and SIGUSR1 ask a command to stop."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType
from typing import Any

SOON = 0.01
"""Seconds in which a finaliser has ended."""


class Interrupted(KeyboardInterrupt):
    """What the first signal raises. A class of our own: where a KeyboardInterrupt itself leaves code that
    stands in a string (dataclasses compile such), Python ends ``-m`` by SIGINT, whatever the exit code."""


class StopSignals:
    """``with StopSignals() as stop``: ``stop()`` tells whether a signal came, ``stop.name`` which.

    ``at_once``: the first one also raises KeyboardInterrupt in the main thread. A second SIGINT always does.
    One block may stand in another: the inner one hears them.
    """

    def __init__(self, at_once: bool = False) -> None:
        self.name: str | None = None
        self._at_once, self._deaf, self._before = at_once, False, dict[int, Any]()

    def __call__(self) -> bool:
        return self.name is not None

    def __enter__(self) -> StopSignals:
        self._unraisable = sys.unraisablehook
        if threading.current_thread() is threading.main_thread():
            sys.unraisablehook = self._raise_again
            for name in ("SIGINT", "SIGTERM", "SIGUSR1"):
                number = getattr(signal, name, None)  # Windows has no SIGUSR1
                if number is not None:
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._before:
            sys.unraisablehook = self._unraisable
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def stay_deaf(self) -> None:
        """Nothing is left to stop: from now on signals do nothing, after the block too."""
        self._deaf = True
        for number in self._before:
            self._before[number] = signal.SIG_IGN
            signal.signal(number, signal.SIG_IGN)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        first, self.name = self.name is None, signal.Signals(number).name
        if not self._deaf and ((self._at_once and first) or (not first and number == signal.SIGINT)):
            raise Interrupted(self.name)

    def _raise_again(self, ignored: Any) -> None:
        """Python drops what is raised while an object is finalised; a signal that came then comes again."""
        if isinstance(ignored.exc_value, Interrupted):
            self.name, number = None, getattr(signal, str(ignored.exc_value))
            again = threading.Timer(SOON, signal.raise_signal, [number])
            again.daemon = True
            again.start()
        else:
            self._unraisable(ignored)
