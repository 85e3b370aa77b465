"""What every engine is: three functions; and the loop that a command has around them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from itertools import islice
from typing import Protocol

from semivox.engines.task import Outcome, Task


class Engine(AbstractContextManager["Engine"], Protocol):
    """Does tasks somewhere. ``places``: how many at a time, as far as it is known; ``bundle``: pieces of
    seconds each that a task should be made of, since a process may begin with it."""

    places: int
    bundle: int

    def put(self, task: Task) -> None:
        """Have it done; returns at once, or when there is room."""
        ...

    def take(self) -> Outcome:
        """The next task that has ended, whichever it is; waits for it. A worker that dies takes none with it:
        its task is given to another one, and after ``TRIES`` deaths it has failed."""
        ...

    def close(self) -> None:
        """End what is at work, which saves what it has, and let go of everything."""
        ...


TRIES = 3
"""Workers that a task may take with it into death."""


def done_on(engine: Engine, tasks: Iterable[Task]) -> Iterator[Outcome]:
    """The outcome of each task as it ends. Few more are handed out than there are places, so that hundreds of
    thousands take no memory."""
    upcoming, out = iter(tasks), 0
    while True:
        for task in islice(upcoming, 2 * engine.places - out):
            engine.put(task)
            out += 1
        if not out:
            return
        yield engine.take()
        out -= 1
