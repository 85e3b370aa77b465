"""The one training loop. Every method runs through it; none has a case of its own in it.

In the order of events::

    for stage: enter (relabel, start weights, fresh modules, copies, pairs that begin, optimizers)
        for step: batch -> terms -> each player moves -> each teacher follows -> journal -> checkpoint
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from semivox.batches import prefetch
from semivox.batches.source import BatchSource
from semivox.methods.declare import At, Facts, Method, Optimizer, Player, Stage, Term
from semivox.networks.compiled import compiling
from semivox.networks.shard import sharing
from semivox.training import ema
from semivox.training.guard import FiniteGuard
from semivox.training.optimizers import build_optimizer, differentiate, move, parameters_of
from semivox.training.processes import ALONE, Processes, partial_parameters
from semivox.training.schedules import learning_rate, scaled_decay
from semivox.training.stages import enter, pair_ages, remaining, schedule_spans, stages_of

AHEAD = 2
"""Batches made ahead for a GPU."""


@dataclass
class Hooks:
    """What the loop tells the outside; each may be left as it is.

    ``journal(record)`` at every logged step, ``progress(step, record | None)`` after every step,
    ``checkpoint``, ``watch`` and ``stop`` are asked after every step and decide for themselves.
    ``relabel(index, stage, method)`` on entry of a stage that labels anew, before anything else.
    """

    journal: Callable[[dict[str, Any]], None] = lambda record: None
    progress: Callable[[int, dict[str, Any]], None] = lambda step, record: None
    checkpoint: Callable[[int, Callable[[], dict[str, Any]]], None] = lambda step, state: None
    stop: Callable[[], bool] = lambda: False
    watch: Callable[[int, Method], None] = lambda step, method: None
    relabel: Callable[[int, Stage, Method], None] = lambda index, stage, method: None


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
    device: torch.device | None = None,
    hooks: Hooks | None = None,
    progress: Progress | None = None,
    stages: Sequence[Stage] | None = None,
    processes: Processes = ALONE,
    compiled: bool = False,
) -> Progress:
    """Train ``method`` for ``facts.steps`` steps, or from ``progress`` on; returns where it stopped.

    ``source_of(stage)`` makes a stage's batches; ``rebuild()`` makes the method with its initial weights
    (asked for only by stages that start from ``initial`` or with ``fresh`` modules). Of several
    ``processes`` all call this alike, each with the source of its own samples. ``compiled``: networks run
    compiled in the steps. Raises TrainingFailed on a non-finite loss, naming step, term and cases;
    SettingsError for stages that cannot be.
    """
    hooks = hooks or Hooks()
    device = device or torch.device("cpu")
    progress = progress or Progress()
    stages = stages_of(method, facts) if stages is None else list(stages)
    needed = {stage.start for stage in stages} - {"go_on", "initial"}
    teachers = {pair.teacher for stage in stages for pair in stage.pairs}
    all_ages = pair_ages(stages, facts.steps)
    spans = schedule_spans(stages, facts.steps)
    partial, guard = partial_parameters(method), FiniteGuard(device)

    for index, stage, begin, end in remaining(stages, facts.steps, progress.step):
        ages = all_ages[index]
        if progress.step == begin:
            if stage.relabel is not None:
                hooks.relabel(index, stage, method)
            enter(method, stage, ages, progress.ends, rebuild)
        if begin == end:
            if stage.name in needed:
                progress.ends[stage.name] = _weights(method)
            continue
        following = {pair.teacher for pair in stage.pairs}
        for teacher in teachers:
            getattr(method, teacher).requires_grad_(teacher not in following)
        players = [_Moving(method, player, optimizer) for player in stage.players]
        for player in players:
            if player.name in progress.optimizers:
                player.torch.load_state_dict(progress.optimizers[player.name])
        progress.optimizers = {}
        decays = [scaled_decay(pair.decay, paper_steps, facts.steps) for pair in stage.pairs]
        span = spans[index]
        # while a GPU works on a batch the next ones are made; a CPU has no core to spare for that
        made = prefetch(source_of(stage), progress.step, end, 0 if device.type == "cpu" else AHEAD)

        while progress.step < end:
            step = progress.step
            clock = time.perf_counter()
            batch = processes.batch(next(made), stage.streams, device)
            data_seconds = time.perf_counter() - clock

            at = At(stage.name, step, step / facts.steps, (step - begin) / (end - begin), facts.key)
            scheduled = (step - span[0]) / (span[1] - span[0])
            with sharing(processes.shard), compiling(compiled):
                terms = getattr(method, stage.step)(batch, at)
                losses = {p.name: _loss(terms, p.name) for p in players}
                moving = [p for p in players if losses[p.name] is not None]
                # all gradients before the first move: players may share a graph
                for player in moving:
                    loss = losses[player.name]
                    assert loss is not None
                    guard.look(step, loss, terms, batch)
                    differentiate(player.parameters, loss, keep_graph=player is not moving[-1])
            for player in moving:
                processes.join_gradients(player.parameters, partial)
            norms: dict[str, Tensor] = {}
            for player in moving:
                lr = learning_rate(player.settings, scheduled)
                norm = move(player.torch, player.parameters, lr, player.settings.clip)
                if norm is not None:
                    norms[player.name] = norm
            for pair, decay, age in zip(stage.pairs, decays, ages, strict=True):
                averaged = (age or 0) + step - begin
                ema.update(getattr(method, pair.student), getattr(method, pair.teacher), decay, averaged)

            progress.step = step + 1
            record: dict[str, Any] = {}
            if step % log_every == 0 or progress.step == facts.steps:
                guard.read()
                record = {
                    "kind": "step",
                    "step": step,
                    "stage": stage.name,
                    "lr": {p.name: learning_rate(p.settings, scheduled) for p in players},
                    "terms": {name: float(term.value.detach()) for name, term in terms.items()},
                    "weights": {name: float(term.weight) for name, term in terms.items()},
                    "gradient_norm": {name: float(norm.detach()) for name, norm in norms.items()},
                    "seconds": time.perf_counter() - clock,
                    "data_seconds": data_seconds,
                }
                hooks.journal(record)
            if progress.step == end and stage.name in needed:
                progress.ends[stage.name] = _weights(method)
            hooks.progress(progress.step, record)
            hooks.watch(progress.step, method)

            def state(
                players: list[_Moving] = players, at_end: bool = progress.step == end
            ) -> dict[str, Any]:
                assert progress is not None
                guard.read()
                live = {} if at_end else {p.name: p.torch.state_dict() for p in players}
                return {
                    "step": progress.step,
                    "method": method.state_dict(),
                    "optimizers": live,
                    "ends": progress.ends,
                }

            hooks.checkpoint(progress.step, state)
            if hooks.stop():
                return progress
    return progress


class _Moving:
    """A player in motion: its parameters and its torch optimizer."""

    def __init__(self, method: Method, player: Player, default: Optimizer) -> None:
        self.name = player.name
        self.settings = player.optimizer or default
        self.parameters = parameters_of(method, player)
        self.torch = build_optimizer(self.parameters, self.settings)


def _weights(method: Method) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in method.state_dict().items()}


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
