"""Where else a run's journal goes: TensorBoard, MLflow, Weights & Biases; each is an optional package.

``metrics.jsonl`` is the record. A sink is a convenience: if one fails, because its server is gone, say, one
line tells so and the training goes on without it.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

from semivox.errors import Stopped
from semivox.settings import as_dict, flatten
from semivox.training.sinks.installed import KINDS, asked

if TYPE_CHECKING:
    from semivox.training.config import Config

T = TypeVar("T")
State = Literal["done", "stopped", "failed"]
NO_NUMBERS = ("kind", "step", "stage")


class Sink(Protocol):
    """Made with (run folder, settings, step to go on from); all of it may raise whatever it likes."""

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        """Take the numbers of one record of the journal."""

    def close(self, state: State) -> None:
        """The run ends, or stops for now."""


class Sinks:
    """``with Sinks(...) as sinks: sinks.write(record)``; left by an error, the run counts as failed.

    ``makers``: name -> what makes the sink; ``step`` of ``steps``: where the run goes on; ``say`` tells of a
    sink that fails.
    """

    def __init__(
        self,
        makers: Mapping[str, Callable[[], Sink]] | None = None,
        step: int = 0,
        steps: int = 0,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._say, self._next, self._steps = say, step, steps
        self._sinks: dict[str, Sink] = {}
        for name, make in (makers or {}).items():
            sink = self._try(name, make)
            if sink is not None:
                self._sinks[name] = sink

    def write(self, record: Mapping[str, Any]) -> None:
        """Hand a record of the journal on."""
        numbers = dict(numbers_of(record))
        self._next = max(self._next, record["step"] + 1)
        for name, sink in list(self._sinks.items()):
            self._try(name, partial(sink.write, record["step"], numbers))

    def __enter__(self) -> Sinks:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        state: State = "done" if self._next >= self._steps else "stopped"
        if error is not None:
            state = "stopped" if isinstance(error, Stopped | KeyboardInterrupt) else "failed"
        for name, sink in list(self._sinks.items()):
            self._try(name, partial(sink.close, state))

    def _try(self, name: str, act: Callable[[], T]) -> T | None:
        try:
            return act()
        except Exception as error:  # whatever a foreign package does
            self._sinks.pop(name, None)
            told = " ".join(str(error).split())[:200] or type(error).__name__
            self._say(f"warning: {name} failed and is left out from here on: {told}")
            return None


def open_sinks(run: Path, config: Config, step: int, say: Callable[[str], None]) -> Sinks:
    """The sinks that the settings of the run folder ``run`` ask for, to go on at ``step``."""

    def maker(kind: str) -> Callable[[], Sink]:
        return lambda: importlib.import_module(f"{__name__}.{kind}").make(run, config, step)

    assert config.run.steps is not None
    makers = {KINDS[kind][0]: maker(kind) for kind in asked(config.run)}
    return Sinks(makers, step, config.run.steps, say)


def numbers_of(record: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """All finite numbers of a record of the journal, groups with a slash: ``terms/segmentation``."""
    for name, value in record.items():
        if name in NO_NUMBERS:
            continue
        named = {f"{name}/{k}": v for k, v in value.items()} if isinstance(value, Mapping) else {name: value}
        for each, number in named.items():
            if isinstance(number, int | float) and math.isfinite(number):
                yield each, float(number)


def parameters_of(config: Config) -> dict[str, Any]:
    """All settings of a run by their dotted names."""
    return flatten(as_dict(config))


__all__ = ["Sink", "Sinks", "State", "numbers_of", "open_sinks", "parameters_of"]
