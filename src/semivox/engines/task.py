"""A piece of a command that any process can do, and what came of it; both as JSON: nothing is pickled.

A task done twice leaves what one leaves: an engine whose worker died gives it to another one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from semivox.failure import Failure, failure_of

Tell = Callable[[str], None]
"""Takes a line of what a task has to say while it is done."""

KINDS: Mapping[str, str] = {
    "cell": "semivox.comparison.cell_task:do_cell",
    "scans": "semivox.elsewhere.predicting:do_scans",
    "seen": "semivox.elsewhere.ranking:do_see",
    "scores": "semivox.elsewhere.evaluating:do_score",
}
"""Kind of task -> the function that does it, "module:function", called with a Tell and the arguments by name.
A worker is told kinds, never functions."""


@dataclass(frozen=True)
class Task:
    """``number`` tells it from the others of a command; ``arguments`` are plain JSON; ``name`` is shown."""

    number: int
    kind: str
    arguments: Mapping[str, Any]
    name: str = ""


@dataclass(frozen=True)
class Needs:
    """What a task asks of its place."""

    cpus: int = 1
    gpus: int = 0
    minutes: int | None = None
    """It is done within these, where that is known."""

    @classmethod
    def of(cls, threads: int | None, device: str | None, minutes: int | None = None) -> Needs:
        """Of a command with these ``--threads`` and ``--device``."""
        return cls(threads or 1, int((device or "").startswith("cuda")), minutes)


@dataclass(frozen=True)
class Outcome:
    """What a task returned, or why it did not."""

    task: int
    result: Any = None
    failure: Failure | None = None


def do(task: Task, tell: Tell) -> Outcome:
    """Do it here. An error becomes a part of the outcome; that the process should end does not."""
    try:
        module, function = KINDS[task.kind].split(":")
        return Outcome(task.number, getattr(import_module(module), function)(tell, **task.arguments))
    except Exception as error:
        return Outcome(task.number, failure=failure_of(error))


def to_plain(outcome: Outcome) -> dict[str, Any]:
    """For JSON."""
    return dataclasses.asdict(outcome)


def from_plain(told: Mapping[str, Any]) -> Outcome:
    """Raises KeyError or TypeError where it was not made by :func:`to_plain`."""
    failure = told["failure"]
    return Outcome(told["task"], told["result"], None if failure is None else Failure(**failure))
