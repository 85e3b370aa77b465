"""Checks of single steps: each on a new method, with its first weights and a batch of random voxels."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from semivox.batches import Crops
from semivox.errors import SettingsError
from semivox.methods import Facts, Method, Stage, Term
from semivox.settings import override
from semivox.testing.faults import method_fault
from semivox.testing.synthetic import build, random_batch, tiny_at, tiny_facts, tiny_plan

Settings = Mapping[str, Any] | None
Terms = dict[tuple[str, str], Term]
Change = Callable[[Crops], Crops]

SHAPES = ((3, 2, 1), (3, 3, 2), (2, 4, 3))
"""Dimensions, classes (background included) and channels in which every term must train."""


def check_terms(method: type[Method], settings: Settings = None) -> None:
    """Every term is finite, belongs to a player, moves that player's modules, and reaches no teacher."""
    for dims, classes, channels in SHAPES:
        facts = tiny_facts(tiny_plan(dims, classes, channels))
        for index, stage in enumerate(build(method, facts, settings).stages(facts)):
            made = build(method, facts, settings)
            _let_differ(made, stage, facts)
            where = f"in {dims}D with {classes} classes and {channels} channels"
            _check_players(stage)
            terms = made.step(random_batch(made, facts, index), tiny_at(made, facts, index))
            if not terms:
                raise method_fault(f"step returns no term {where}", "Return at least one", stage=stage.name)
            for name, term in terms.items():
                _check_term(made, stage, name, term, where)


def _let_differ(method: Method, stage: Stage, facts: Facts) -> None:
    """Move every teacher a little away from its student, as after some steps: between two equal networks an
    agreement has no gradient."""
    for pair in stage.pairs:
        for name, parameter in getattr(method, pair.teacher).named_parameters():
            noise = torch.randn(
                parameter.shape, generator=(facts.key / "apart" / pair.teacher / name).torch()
            )
            parameter.data.add_(0.05 * noise)


def _check_players(stage: Stage) -> None:
    moved = {module for player in stage.players for module in player.modules}
    for pair in stage.pairs:
        if pair.teacher in moved:
            raise method_fault(
                f"the teacher {pair.teacher!r} is moved by an optimizer as well as by its pair",
                "Take it out of the player's modules, or end the pair before this stage",
                stage=stage.name,
            )


def _check_term(method: Method, stage: Stage, name: str, term: Term, where: str) -> None:
    place = {"stage": stage.name, "term": name}
    players = {player.name: player.modules for player in stage.players}
    if term.player not in players:
        raise method_fault(
            f"its player {term.player!r} is not declared, so the loop drops it",
            f"The stage's players are {sorted(players)}",
            **place,
        )
    value = float(term.value.detach())
    if not np.isfinite(value) or not np.isfinite(float(term.weight)):
        raise method_fault(
            f"it is {value} with weight {float(term.weight)} {where}",
            "Guard divisions by the number of what is compared: it may be 0",
            **place,
        )
    if not term.value.requires_grad:
        raise method_fault(
            f"it has no gradient {where}",
            "A detach(), a torch.no_grad() or an argmax lies between it and the networks",
            **place,
        )
    found = reached(method, term.value)
    for pair in stage.pairs:
        if pair.teacher in found:
            raise method_fault(
                f"its gradient reaches the teacher {pair.teacher!r} {where}",
                "Put `with torch.no_grad():` around the teacher's forward",
                **place,
            )
    if not found.intersection(players[term.player]):
        raise method_fault(
            f"it trains none of {players[term.player]} {where}: every gradient in them is 0",
            "Look for a detach() on the trained side; where a threshold leaves an untrained network nothing "
            "to learn from, check the method with settings that open it",
            **place,
        )


def reached(method: Method, loss: Tensor) -> set[str]:
    """The child modules in which ``loss`` has a gradient that is not zero."""
    named = [(name, p) for name, p in method.named_parameters(remove_duplicate=False) if p.requires_grad]
    grads = torch.autograd.grad(loss, [p for _, p in named], allow_unused=True, retain_graph=True)
    return {
        name.split(".")[0]
        for (name, _), grad in zip(named, grads, strict=True)
        if grad is not None and bool(grad.abs().sum() > 0)
    }


def all_terms(
    method: type[Method], facts: Facts, settings: Settings = None, change: Change | None = None
) -> Terms:
    """(stage, term) -> the terms of one step of each stage; ``change`` is applied to every stream."""
    found: Terms = {}
    for index, stage in enumerate(build(method, facts, settings).stages(facts)):
        made = build(method, facts, settings)  # of each stage anew: queues remember
        batch = random_batch(made, facts, index)
        if change is not None:
            batch = {name: change(crops) for name, crops in batch.items()}
        terms = made.step(batch, tiny_at(made, facts, index))
        found |= {(stage.name, name): term for name, term in terms.items()}
    return found


def check_switches(method: type[Method], settings: Settings = None) -> dict[str, set[str]]:
    """A term that is switched off leaves all others bit for bit as they were.

    Each number and switch of the settings is set to 0 or False in turn; returns which terms that dropped
    from every stage.
    Values that the method refuses (SettingsError, or ValueError of a loss) are passed over, and so are
    stages that then ask for other streams.
    """
    facts = tiny_facts(tiny_plan())
    whole, streams = _kept(all_terms(method, facts, settings)), _streams(method, facts, settings)
    given = method.Settings(**(settings or {}))
    dropped: dict[str, set[str]] = {}
    for field in fields(given):
        value = getattr(given, field.name)
        if field.name == "paper_steps" or not isinstance(value, bool | int | float) or not value:
            continue
        try:
            off = {**(settings or {}), field.name: type(value)(0)}
            override(given, {field.name: type(value)(0)})
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's, of layers of width 0
                left, asked = _kept(all_terms(method, facts, off)), _streams(method, facts, off)
        except (SettingsError, ValueError, ZeroDivisionError):
            continue
        except Exception as error:
            if type(value) is int:  # a size, of which there cannot be 0
                continue
            raise method_fault(
                f"set to {type(value)(0)!r} the method crashes: {type(error).__name__}: {error}",
                "A 0 drops the term; where it has no meaning, refuse it in __init__ with a SettingsError",
                setting=field.name,
            ) from error
        gone = {key for key in whole if key not in left}
        dropped[field.name] = {name for _, name in whole} - {name for _, name in left}
        for stage, name in whole.keys() & left.keys() if gone else ():
            one, two = whole[stage, name], left[stage, name]
            if asked[stage] == streams[stage] and not _same(one, two):
                raise method_fault(
                    f"it changes from {_shown(one)} to {_shown(two)} when {field.name}=0 drops "
                    f"{sorted({name for _, name in gone})}",
                    "Draw with at.rng and a name of its own for each draw, and let no term pass through what "
                    "another one made or changed",
                    stage=stage,
                    term=name,
                    setting=field.name,
                )
    return dropped


def check_partly_annotated(method: type[Method], settings: Settings = None) -> None:
    """An organ that was not annotated, painted into the label of labelled cases, changes no term."""

    def partly(crops: Crops, paint: bool) -> Crops:
        if crops.target is None:
            return crops
        annotated, target = crops.annotated.clone(), crops.target.clone()
        annotated[:, 1] = 0
        if paint:
            target[:, 1] = 1 - target[:, 0]
        sdm = None if crops.sdm is None else 1 - 2 * target
        return replace(crops, annotated=annotated, target=target, sdm=sdm)

    _compare(
        method,
        settings,
        lambda crops: partly(crops, False),
        lambda crops: partly(crops, True),
        "it depends on the label of a class that was not annotated",
        "Give crops.annotated to the loss; anchors, keys, class means, distances and critics take only "
        "the classes where it is 1, and the background where all are (semivox.losses.known_classes)",
    )


def check_valid(method: type[Method], settings: Settings = None) -> None:
    """What a target says outside ``valid`` changes no term: beyond the scan's end, between slices that were
    drawn, and in a crop that holds none of them."""

    def cut(crops: Crops, known: Tensor, wrong: bool) -> Crops:
        if crops.target is None:
            return crops
        valid = torch.ones_like(crops.valid) * known
        target = torch.where(valid > 0, crops.target, 1 - crops.target) if wrong else crops.target
        sdm = None if crops.sdm is None else 1 - 2 * target
        return replace(crops, valid=valid, target=target, sdm=sdm)

    def known(crops: Crops, pattern: str) -> Tensor:
        last = torch.arange(crops.valid.shape[-1])
        if pattern == "end":
            return (last >= 4).float()
        drawn = (last % 5 == 2).float().expand(crops.valid.shape).clone()
        drawn[0] = 0
        return drawn

    for pattern in ("end", "slices"):
        _compare(
            method,
            settings,
            lambda crops, pattern=pattern: cut(crops, known(crops, pattern), False),  # type: ignore[misc]
            lambda crops, pattern=pattern: cut(crops, known(crops, pattern), True),  # type: ignore[misc]
            "it depends on the target where crops.valid is 0: outside the scan, or marked `ignore`",
            "Give crops.valid to the loss, or multiply by it and divide by its sum",
        )


def _compare(
    method: type[Method], settings: Settings, before: Change, after: Change, what: str, remedy: str
) -> None:
    for dims, classes in ((3, 3), (2, 4)):
        facts = tiny_facts(tiny_plan(dims, classes))
        one, two = (all_terms(method, facts, settings, change) for change in (before, after))
        for stage, name in one:
            if not _same(one[stage, name], two[stage, name]):
                raise method_fault(what, remedy, stage=stage, term=name)


def check_purity(method: type[Method], settings: Settings = None) -> None:
    """First weights and terms depend on key, state, batch and place alone; the batch stays as it is."""
    facts = tiny_facts(tiny_plan())
    first, again = (build(method, facts, settings).state_dict() for _ in range(2))
    for name, value in first.items():
        if not torch.equal(value, again[name]):
            raise method_fault(
                f"the first weights {name!r} are drawn anew each time the method is built",
                "Make networks with facts.network, and other layers with semivox.networks.layers.initialise("
                "module, facts.key / NAME)",
            )
    made = build(method, facts, settings)
    for index, stage in enumerate(made.stages(facts)):
        state = {name: value.clone() for name, value in made.state_dict().items()}
        batch = random_batch(made, facts, index)
        generators = _generators()
        runs: list[Mapping[str, Term]] = []
        for _ in range(2):
            made.load_state_dict(state)
            runs.append(made.step(batch, tiny_at(made, facts, index)))
        for name, term in runs[0].items():
            if name not in runs[1] or not _same(term, runs[1][name]):
                raise method_fault(
                    "two calls of step with equal state, batch and place differ",
                    "Draw from at.rng(NAME) instead of torch.rand; what is to be remembered is a buffer, so "
                    "that it is in state_dict()",
                    stage=stage.name,
                    term=name,
                )
        if _generators() != generators:
            raise method_fault(
                "step draws from a global generator of torch, NumPy or Python",
                "Draw from at.rng(NAME)",
                stage=stage.name,
            )
        for name, crops in random_batch(made, facts, index).items():
            if not all(
                torch.equal(a, b) for a, b in zip(_tensors(crops), _tensors(batch[name]), strict=True)
            ):
                raise method_fault(
                    f"step changes its batch (stream {name!r})",
                    "No in-place operation on what the batch holds: clone() it first",
                    stage=stage.name,
                )


def _same(one: Term, two: Term) -> bool:
    return torch.equal(one.value, two.value) and float(one.weight) == float(two.weight)


def _shown(term: Term) -> str:
    return f"{float(term.weight):.9g} x {float(term.value.detach()):.9g}"


def _kept(terms: Terms) -> Terms:
    return {key: term for key, term in terms.items() if float(term.weight) != 0}


def _streams(method: type[Method], facts: Facts, settings: Settings) -> dict[str, object]:
    return {stage.name: dict(stage.streams) for stage in build(method, facts, settings).stages(facts)}


def _generators() -> tuple[object, ...]:
    numpy_state = np.random.get_state()
    return torch.get_rng_state().numpy().tobytes(), str(numpy_state), random.getstate()


def _tensors(crops: Crops) -> Sequence[Tensor]:
    found = (*crops.views.values(), crops.target, crops.valid, crops.annotated, crops.sdm, crops.case)
    return [tensor for tensor in found if tensor is not None]
