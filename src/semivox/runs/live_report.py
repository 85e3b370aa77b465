"""``RUN/report.html`` while a run goes on: refreshed now and then, and never at the run's expense."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from semivox.training.display import Display

EVERY_SECONDS = 300.0
COST_SHARE = 0.005
"""Of the run's time that all refreshing may take."""
FIRST_SECONDS = 3.0
"""What the first page is taken to need, imports included."""


class LiveReport:
    """Writes the page of the run in ``path`` with ``write``. Whatever goes wrong is told in one line, once,
    and changes nothing of the run."""

    def __init__(self, path: Path, display: Display, write: Callable[[Path], object]) -> None:
        self.path, self._display, self._write = path, display, write
        self._written, self._took, self._told = time.monotonic(), FIRST_SECONDS, False

    def refresh(self, last: bool) -> None:
        """Write the page if it is due or this is the ``last`` time: not within EVERY_SECONDS of the time
        before, and less often if writing it takes more than COST_SHARE of the time."""
        began = time.monotonic()
        if not last and began - self._written < max(EVERY_SECONDS, self._took / COST_SHARE):
            return
        try:
            self._write(self.path)
        except Exception as error:
            if not self._told:
                self._display.say(f"warning: report.html was not written: {type(error).__name__}: {error}")
            self._told = True
        self._written = time.monotonic()
        self._took = self._written - began
