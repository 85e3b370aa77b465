"""Pieces of a few seconds each, such as scans, in tasks that hold as many as suits the engine."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Generic, TypeVar

from semivox.engines import Needs, Task, done_on, engine_on
from semivox.errors import DiskFault, Stopped

Piece = TypeVar("Piece")
SAID = logging.getLogger(__name__)
"""What an engine has to say, such as why it waits; on stderr where nobody has set up logging."""


def results_of(
    on: str,
    needs: Needs,
    folder: Path,
    kind: str,
    common: Mapping[str, Any],
    pieces: Iterator[Piece],
    plain: Callable[[Piece], Mapping[str, Any]],
) -> Generator[tuple[Piece, Any]]:
    """Each piece with what came of it, as it ends: a result, or the error for which nobody could do it.

    The task's function is called with ``common`` and some ``pieces``, each made JSON by ``plain``, with its
    ``name``, and returns as many results. After their end there may be more pieces, while others are still at
    work. Raises DiskFault or Stopped.
    """
    given: dict[int, list[Piece]] = {}
    with engine_on(on, needs, SAID.warning, folder) as engine:
        for outcome in done_on(engine, _Bundles(kind, common, pieces, plain, engine.bundle, given)):
            bundle, failure = given.pop(outcome.task), outcome.failure
            if failure is None:
                yield from zip(bundle, outcome.result, strict=True)
            elif isinstance(error := failure.error, DiskFault | Stopped):
                raise error
            else:
                yield from ((piece, error) for piece in bundle)


class _Bundles(Iterator[Task], Generic[Piece]):
    """``given`` keeps the pieces of each task by its number."""

    def __init__(
        self,
        kind: str,
        common: Mapping[str, Any],
        pieces: Iterator[Piece],
        plain: Callable[[Piece], Mapping[str, Any]],
        size: int,
        given: dict[int, list[Piece]],
    ) -> None:
        self._kind, self._common, self._pieces, self._plain = kind, common, pieces, plain
        self._size, self._given, self._next = size, given, 0

    def __next__(self) -> Task:
        bundle = list(islice(self._pieces, self._size))
        if not bundle:
            raise StopIteration
        number, self._next = self._next, self._next + 1
        self._given[number] = bundle
        pieces = [self._plain(piece) for piece in bundle]
        return Task(number, self._kind, {**self._common, "pieces": pieces}, str(pieces[0]["name"]))
