"""The one training loop. Every method runs through it; none has a case of its own in it.

In the order of events, which is that of :func:`fit`::

    for stage: enter (relabel, start weights, fresh modules, copies, pairs that begin, optimizers)
        for step: batch -> terms -> each player moves -> each teacher follows -> journal -> checkpoint
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from semivox.batches import prefetch
from semivox.batches.source import BatchSource
from semivox.errors import SettingsError
from semivox.methods import At, Facts, Method, Optimizer, Player, Stage, Term
from semivox.methods.declare import Batch
from semivox.networks.compiled import compiling
from semivox.networks.shard import sharing
from semivox.training import ema
from semivox.training.gradient_shares import gradient_shares
from semivox.training.guard import FiniteGuard, refuse_broken
from semivox.training.optimizers import build_optimizer, differentiate, learning_rate, move, parameters_of
from semivox.training.processes import ALONE, Processes, partial_parameters
from semivox.training.stages import enter, pair_ages, remaining, schedule_spans, stages_of

AHEAD = 2
"""Batches made while a GPU works on another one; a CPU has no core to spare for that."""


class Events(Protocol):
    """Whom the loop tells what happens, and asks whether to go on.

    ``journal(record)`` at every logged step, ``progress(step, record)`` after every step (``record`` is empty
    where none was logged); ``watch``, ``checkpoint`` (which may ask for the state) and ``stop`` come after
    every step and decide for themselves. ``relabel(index, stage, method)`` on entry of a stage that labels
    anew, before anything else. ``admitted(index, stage, method)`` before a stage's first step, and before the
    first one of a run that goes on within it: the stage as it is to be trained.
    """

    def relabel(self, index: int, stage: Stage, method: Method, /) -> None: ...
    def admitted(self, index: int, stage: Stage, method: Method, /) -> Stage: ...
    def journal(self, record: dict[str, Any], /) -> None: ...
    def progress(self, step: int, record: dict[str, Any], /) -> None: ...
    def watch(self, step: int, method: Method, /) -> None: ...
    def checkpoint(self, step: int, state: Callable[[], dict[str, Any]], /) -> None: ...
    def stop(self) -> bool: ...


@dataclass
class Hooks:
    """:class:`Events` of which nobody needs to be told; each may be a function of one's own."""

    journal: Callable[[dict[str, Any]], None] = lambda record: None
    progress: Callable[[int, dict[str, Any]], None] = lambda step, record: None
    checkpoint: Callable[[int, Callable[[], dict[str, Any]]], None] = lambda step, state: None
    stop: Callable[[], bool] = lambda: False
    watch: Callable[[int, Method], None] = lambda step, method: None
    relabel: Callable[[int, Stage, Method], None] = lambda index, stage, method: None
    admitted: Callable[[int, Stage, Method], Stage] = lambda index, stage, method: stage


@dataclass
class Progress:
    """Where a run stands: global step, and everything besides the method's own state."""

    step: int = 0
    optimizers: dict[str, dict[str, Any]] = field(default_factory=dict)
    ends: dict[str, dict[str, Tensor]] = field(
        default_factory=dict
    )  # weights at the end of stages, if needed


def fit(
    method: Method,
    facts: Facts,
    source_of: Callable[[Stage], BatchSource],
    *,
    optimizer: Optimizer,
    rebuild: Callable[[], Method],
    paper_steps: int,
    log_every: int = 10,
    shares_every: int = 0,
    device: torch.device | None = None,
    hooks: Events | None = None,
    progress: Progress | None = None,
    stages: Sequence[Stage] | None = None,
    processes: Processes = ALONE,
    compiled: bool = False,
) -> Progress:
    """Train ``method`` for ``facts.steps`` steps, or from ``progress`` on; returns where it stopped.

    ``source_of(stage)`` makes a stage's batches; ``rebuild()`` makes the method with its initial weights
    (for stages that start from ``initial`` or with ``fresh`` modules). Of several ``processes`` all call this
    alike, each with the source of its own samples. ``compiled``: networks run compiled in the steps.
    ``shares_every``: steps between two shares of the terms in the gradient (with one process, not compiled).
    Raises TrainingFailed for a loss or kept weights that are not finite, SettingsError for impossible stages.
    """
    events: Events = hooks or Hooks()
    device, progress = device or torch.device("cpu"), progress or Progress()
    stages = stages_of(method, facts) if stages is None else list(stages)
    ages, spans = pair_ages(stages, facts.steps), schedule_spans(stages, facts.steps)
    more = processes, compiled, 0 if compiled or processes.ranks > 1 else shares_every
    loop = _Loop(method, facts, optimizer, paper_steps, device, progress, stages, *more)

    for index, stage, begin, end in remaining(stages, facts.steps, progress.step):
        if progress.step == begin and stage.relabel is not None:
            events.relabel(index, stage, method)
        stage = events.admitted(index, stage, method)
        if progress.step == begin:
            enter(method, stage, ages[index], progress.ends, rebuild)
        if begin == end:
            loop.keep_end(stage)
            continue
        moving = _StageInMotion(loop, stage, (begin, end), spans[index], ages[index])
        made = prefetch(source_of(stage), progress.step, end, 0 if device.type == "cpu" else AHEAD)
        while progress.step < end:
            clock = _Clock()
            batch = processes.batch(next(made), stage.streams, device)
            clock.data()
            step, terms = progress.step, moving.take(batch)
            logged = step % log_every == 0 or progress.step == facts.steps or bool(moving.shares)
            record = moving.record(step, terms, clock) if logged else {}
            if record:
                events.journal(record)
            if progress.step == end:
                loop.keep_end(stage)
            events.progress(progress.step, record)
            events.watch(progress.step, method)
            events.checkpoint(progress.step, moving.state)
            if events.stop():
                return progress
    return progress


class _Loop:
    """What stays the same through all stages."""

    def __init__(
        self,
        method: Method,
        facts: Facts,
        optimizer: Optimizer,
        paper_steps: int,
        device: torch.device,
        progress: Progress,
        stages: Sequence[Stage],
        processes: Processes,
        compiled: bool,
        shares_every: int,
    ) -> None:
        self.method, self.facts, self.optimizer, self.paper_steps = method, facts, optimizer, paper_steps
        self.progress, self.processes, self.compiled = progress, processes, compiled
        self.partial, self.guard = partial_parameters(method), FiniteGuard(device)
        self.shares_every = shares_every
        self.teachers = {pair.teacher for stage in stages for pair in stage.pairs}
        self._needed = {stage.start for stage in stages} - {"go_on", "initial"}

    def keep_end(self, stage: Stage) -> None:
        """The weights at the end of a stage that a later one starts from."""
        if stage.name in self._needed:
            state = self.method.state_dict()
            self.progress.ends[stage.name] = {name: value.detach().clone() for name, value in state.items()}


class _StageInMotion:
    """The steps of a stage: its players with their optimizers, and its pairs of student and teacher."""

    def __init__(
        self,
        loop: _Loop,
        stage: Stage,
        steps: tuple[int, int],
        span: tuple[int, int],
        ages: Sequence[int | None],
    ) -> None:
        self.loop, self.stage, self.ages = loop, stage, ages
        (self.begin, self.end), self.span = steps, span
        following = {pair.teacher for pair in stage.pairs}
        for teacher in loop.teachers:
            getattr(loop.method, teacher).requires_grad_(teacher not in following)
        self.players = [_Moving(loop.method, player, loop.optimizer) for player in stage.players]
        saved = loop.progress.optimizers
        for player in self.players:
            if player.name in saved:
                player.torch.load_state_dict(saved[player.name])
        loop.progress.optimizers = {}
        steps_in_all = loop.facts.steps
        self.decays = [ema.scaled_decay(pair.decay, loop.paper_steps, steps_in_all) for pair in stage.pairs]
        self.moving: list[_Moving] = []
        self.norms: dict[str, Tensor] = {}
        self.shares: dict[str, float] = {}

    def take(self, batch: Batch) -> dict[str, Term]:
        """One step of the run; returns the terms of its loss."""
        terms = self.differentiate(batch)
        self.move()
        self.follow()
        self.loop.progress.step += 1
        return terms

    def differentiate(self, batch: Batch) -> dict[str, Term]:
        """The loss terms of ``batch``, and the gradients of every player that has any."""
        loop, step = self.loop, self.loop.progress.step
        within = (step - self.begin) / (self.end - self.begin)
        at = At(self.stage.name, step, step / loop.facts.steps, within, loop.facts.key)
        with sharing(loop.processes.shard), compiling(loop.compiled):
            terms: dict[str, Term] = getattr(loop.method, self.stage.step)(batch, at)
            _refuse_no_terms(terms, loop.method, self.stage.step)
            found = [(player, _loss(terms, player.name)) for player in self.players]
            losses = [(player, loss) for player, loss in found if loss is not None]
            self.moving = [player for player, _ in losses]
            self.shares = {}
            if loop.shares_every and step % loop.shares_every == 0 and len(terms) > 1:
                self.shares = gradient_shares(terms, {p.name: p.parameters for p in self.moving})
            # all gradients before the first move: players may share a graph
            for player, loss in losses:
                loop.guard.look(step, loss, terms, batch)
                differentiate(player.parameters, loss, keep_graph=player is not self.moving[-1])
        return terms

    def move(self) -> None:
        """Every player whose loss was differentiated takes its step."""
        for player in self.moving:
            self.loop.processes.join_gradients(player.parameters, self.loop.partial)
        self.norms = {}
        for player in self.moving:
            norm = move(player.torch, player.parameters, self._rate(player), player.settings.clip)
            if norm is not None:
                self.norms[player.name] = norm

    def follow(self) -> None:
        """Every teacher follows its student."""
        method, step = self.loop.method, self.loop.progress.step
        for pair, decay, age in zip(self.stage.pairs, self.decays, self.ages, strict=True):
            averaged = (age or 0) + step - self.begin
            ema.update(getattr(method, pair.student), getattr(method, pair.teacher), decay, averaged)

    def record(self, step: int, terms: Mapping[str, Term], clock: _Clock) -> dict[str, Any]:
        """The journal's record of ``step``, which has been taken."""
        self.loop.guard.read()
        return {
            "kind": "step",
            "step": step,
            "stage": self.stage.name,
            "lr": {p.name: self._rate(p, step) for p in self.players},
            "terms": {name: float(term.value.detach()) for name, term in terms.items()},
            "weights": {name: float(term.weight) for name, term in terms.items()},
            "gradient_norm": {name: float(norm.detach()) for name, norm in self.norms.items()},
            **({"gradient_share": self.shares} if self.shares else {}),
            "seconds": clock.seconds(),
            "data_seconds": clock.data_seconds,
        }

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of the run."""
        progress, weights = self.loop.progress, self.loop.method.state_dict()
        self.loop.guard.read()
        refuse_broken(weights, progress.step)
        at_end = progress.step == self.end  # the next stage begins with optimizers of its own
        return {
            "step": progress.step,
            "method": weights,
            "optimizers": {} if at_end else {p.name: p.torch.state_dict() for p in self.players},
            "ends": progress.ends,
        }

    def _rate(self, player: _Moving, step: int | None = None) -> float:
        step = self.loop.progress.step if step is None else step
        return learning_rate(player.settings, (step - self.span[0]) / (self.span[1] - self.span[0]))


class _Moving:
    """A player in motion: its parameters and its torch optimizer."""

    def __init__(self, method: Method, player: Player, default: Optimizer) -> None:
        self.name = player.name
        self.settings = player.optimizer or default
        self.parameters = parameters_of(method, player)
        self.torch = build_optimizer(self.parameters, self.settings)


class _Clock:
    """Seconds of a step, and of waiting for its data."""

    def __init__(self) -> None:
        self._began, self.data_seconds = time.perf_counter(), 0.0

    def data(self) -> None:
        """The batch is here."""
        self.data_seconds = self.seconds()

    def seconds(self) -> float:
        return time.perf_counter() - self._began


def _refuse_no_terms(terms: object, method: Method, step: str) -> None:
    """Raise SettingsError where what a step of the method gave is no loss."""
    named = terms.items() if isinstance(terms, Mapping) else [("all", terms)]
    strange = [f"{name}: {type(term).__name__}" for name, term in named if not isinstance(term, Term)]
    if strange:
        raise SettingsError(
            f"{type(method).__name__}.{step} gives no terms of a loss",
            path=getattr(sys.modules.get(type(method).__module__), "__file__", None),
            found=", ".join(strange),
            expected="a dict: name -> Term",
            remedy="correct the method",
        )


def _loss(terms: Mapping[str, Term], player: str) -> Tensor | None:
    """Sum of weight x value of a player's terms; a weight of 0 drops the term. None if nothing is left."""
    parts = [t.weight * t.value for t in terms.values() if t.player == player and t.weight != 0]
    parts = [part for part in parts if part.requires_grad]
    if not parts:
        return None
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
