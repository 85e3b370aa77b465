"""An error in words: as it travels between processes, as JSON. Nothing is pickled."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from semivox import errors
from semivox.errors import PARTS, SemivoxError


@dataclass(frozen=True)
class Failure:
    """An error as it left a process. ``kind``: its class, of ours the nearest that stands in
    :mod:`semivox.errors`. ``parts`` are those of a :class:`SemivoxError`, ``traceback`` is kept of others."""

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
        return sort(**self.parts)


def failure_of(error: Exception) -> Failure:
    """An error in words that can travel."""
    if not isinstance(error, SemivoxError):
        lines = "".join(traceback.format_exception(error))
        return Failure(type(error).__name__, str(error), traceback=lines)
    nearest = next(each for each in type(error).__mro__ if each.__module__ == errors.__name__)
    parts = {n: None if (part := getattr(error, n)) is None else str(part) for n in PARTS}
    return Failure(nearest.__name__, str(error), parts)
