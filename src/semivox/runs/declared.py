"""What a method declares, looked at before anything is prepared: every name it gives must be there."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from semivox.batches import Stream
from semivox.errors import SettingsError
from semivox.methods import Facts, Method, Pair, Player, Stage
from semivox.networks import Segmenter


@dataclass(frozen=True)
class _Fault:
    what: str
    found: object
    expected: object


def refuse_declared(method: Method, facts: Facts, settings: object, predictor: Sequence[str]) -> None:
    """Raise SettingsError for the first thing that the method declares and that nothing can be trained with:
    a stage of another kind, a module or a step that it has not, a ``predictor`` that is no network of it."""
    fault = next(_faults(method, facts, settings, predictor), None)
    if fault is None:
        return
    kind = type(method)
    raise SettingsError(
        f"{kind.__name__}: {fault.what}",
        path=getattr(sys.modules.get(kind.__module__), "__file__", None),
        found=fault.found,
        expected=fault.expected,
        remedy="correct the method",
    )


def _faults(method: Method, facts: Facts, settings: object, predictor: Sequence[str]) -> Iterator[_Fault]:
    networks = {name: child for name, child in method.named_children() if isinstance(child, Segmenter)}
    yield from _unknown("predictor", predictor, networks)
    if not predictor:
        yield _Fault("predictor names no network", predictor, sorted(networks))
    if not hasattr(settings, "paper_steps"):
        yield _Fault("its Settings have no paper_steps", type(settings).__name__, "a field paper_steps: int")
    stages = method.stages(replace(facts, sweeps=1) if facts.sweeps == 0 else facts)
    yield from _of_another_kind("stages()", stages, Stage)
    if not stages:
        yield _Fault("stages() gives none", stages, "one Stage or more")
    for stage in stages:
        for fault in _of_stage(method, stage, networks):
            yield replace(fault, what=f"stage {stage.name!r}: {fault.what}")


def _of_stage(method: Method, stage: Stage, networks: Mapping[str, nn.Module]) -> Iterator[_Fault]:
    modules = dict(method.named_children())
    if not isinstance(stage.streams, Mapping):
        yield _Fault("streams", _kind(stage.streams), "a dict: name -> Stream")
    yield from _of_another_kind("streams", list(stage.streams.values()), Stream)
    yield from _of_another_kind("players", stage.players, Player)
    yield from _of_another_kind("pairs", stage.pairs, Pair)
    for player in stage.players:
        yield from _unknown(f"player {player.name!r}", player.modules, modules)
    yield from _unknown("pairs", [n for pair in stage.pairs for n in (pair.student, pair.teacher)], modules)
    yield from _unknown("fresh", stage.fresh, modules)
    yield from _unknown("copy", [*stage.copy, *stage.copy.values()], modules)
    if stage.relabel is not None:
        yield from _unknown("relabel by", stage.relabel.by, networks)
    if not callable(getattr(method, stage.step, None)):
        yield _Fault("step names no function of the method", stage.step, "such as 'step'")


def _unknown(what: str, names: Sequence[str], known: Mapping[str, nn.Module]) -> Iterator[_Fault]:
    if isinstance(names, str):
        yield _Fault(f"{what} is a text", repr(names), f"a tuple of names, such as ({names!r},)")
    elif strange := [name for name in names if name not in known]:
        yield _Fault(f"{what} names what the method has not", ", ".join(map(str, strange)), sorted(known))


def _of_another_kind(what: str, found: Any, kind: type) -> Iterator[_Fault]:
    expected = f"a list or tuple of {kind.__name__}"
    if not isinstance(found, list | tuple):
        yield _Fault(what, _kind(found), expected)
    elif strange := [each for each in found if not isinstance(each, kind)]:
        yield _Fault(what, _kind(strange[0]), expected)


def _kind(value: object) -> str:
    return f"a {type(value).__name__}" if value is not None else "None"
