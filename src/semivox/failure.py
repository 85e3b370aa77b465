"""An error in words: as it travels between processes, as JSON. Nothing is pickled."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from semivox import errors
from semivox.errors import PARTS, SemivoxError, fault_of_method


@dataclass(frozen=True)
class Failure:
    """An error as it left a process. ``kind``: its class, of ours the nearest that stands in
    :mod:`semivox.errors`. ``parts`` are those of a :class:`SemivoxError`, ``traceback`` is kept of others
    and of what came out of a user's method."""

    kind: str
    text: str
    parts: Mapping[str, Any] | None = None
    traceback: str | None = None

    @property
    def error(self) -> Exception:
        """The same error here: of its class and with its words, if it is one of ours."""
        if self.parts is None:
            return RuntimeError(f"{self.kind}: {self.text}\n{self.traceback or ''}".rstrip())
        known = getattr(errors, self.kind, SemivoxError)
        sort = known if isinstance(known, type) and issubclass(known, SemivoxError) else SemivoxError
        made = sort(**self.parts)
        if self.traceback is not None:
            made.add_note(self.traceback)  # what a log of it shows
        return made


def failure_of(error: Exception) -> Failure:
    """An error in words that can travel."""
    lines = None if isinstance(error, SemivoxError) else "".join(traceback.format_exception(error))
    if not isinstance(error, SemivoxError):
        theirs = fault_of_method(error)
        if theirs is None:
            return Failure(type(error).__name__, str(error), traceback=lines)
        error = theirs
    nearest = next(each for each in type(error).__mro__ if each.__module__ == errors.__name__)
    parts = {n: None if (part := getattr(error, n)) is None else str(part) for n in PARTS}
    return Failure(nearest.__name__, str(error), parts, lines)
