"""The stages of a run: where each begins and ends, and what happens on its entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from torch import Tensor

from semivox.errors import SettingsError
from semivox.methods import Facts, Method, Stage
from semivox.training import ema
from semivox.training.warm_up import labels_alone, warmed_up


def stages_of(method: Method, facts: Facts) -> list[Stage]:
    """The method's stages, behind a warm-up where ``facts`` ask for one, and on one learning rate schedule
    where they do not ask for restarts. Where no scan may be labelled, stages that would label learn from
    labels alone.

    Raises SettingsError where two have one name (draws and weights go by it), one starts from a stage that
    does not come before it, or settings ask for more than the whole run.
    """
    never = facts.sweeps == 0
    stages = list(method.stages(replace(facts, sweeps=1) if never else facts))
    _refuse_shares(stages, type(method).__name__)
    if never:  # as if the guard had refused each round
        alone = {
            s.name: replace(labels_alone(method, s, facts.alone, stages), relabel=None)
            for s in stages
            if s.relabel
        }
        stages = [alone.get(stage.name, stage) for stage in stages]
    stages = warmed_up(method, stages, facts)
    if not facts.restarts:
        stages = [stages[0], *(on_one_schedule(*both) for both in pairwise(stages))]
    known = {"go_on", "initial"}
    for stage in stages:
        fault = None
        if stage.name in known:
            fault = "has a name that is taken"
        elif stage.start not in known:
            fault = f"starts from {stage.start!r}, which does not come before it"
        if fault is not None:
            raise SettingsError(f"stage {stage.name!r} of {type(method).__name__} {fault}")
        known.add(stage.name)
    return stages


def _refuse_shares(stages: Sequence[Stage], method: str) -> None:
    shares = ", ".join(f"{stage.name} {stage.share:.3g}" for stage in stages)
    left = {"expected": "shares of the run from 0 on, and one above", "remedy": "give stages less of the run"}
    for stage in stages:
        if stage.share < 0:
            raise SettingsError(
                f"stage {stage.name!r} of {method} has less than no part of the run", found=shares, **left
            )
    if not any(stage.share for stage in stages):
        raise SettingsError(f"no stage of {method} has a part of the run", found=shares, **left)


def on_one_schedule(before: Stage, stage: Stage) -> Stage:
    """``stage`` on the learning rate schedule of the one before, if it goes on with its weights and its
    optimizers. With another optimizer, or weights that begin anew, a stage asks for a beginning.
    """
    earlier = {player.name: player.optimizer for player in before.players}
    kept = [player.optimizer == earlier[player.name] for player in stage.players if player.name in earlier]
    goes_on = any(kept) and all(kept) and stage.start == "go_on" and not stage.fresh
    return replace(stage, continues=stage.continues or goes_on)


def stage_ends(stages: Sequence[Stage], steps: int) -> list[int]:
    """The global step at which each stage ends; shares are parts of ``steps``."""
    total = sum(stage.share for stage in stages)
    ends, passed = [], 0.0
    for stage in stages:
        passed += stage.share
        ends.append(round(steps * passed / total))
    return ends


def stage_begins(stages: Sequence[Stage], steps: int) -> list[int]:
    """The global step at which each stage begins."""
    return [0, *stage_ends(stages, steps)[:-1]]


def schedule_spans(stages: Sequence[Stage], steps: int) -> list[tuple[int, int]]:
    """(begin, end) in global steps of the learning rate schedule that each stage is part of."""
    begins, ends = stage_begins(stages, steps), stage_ends(stages, steps)
    for i in range(1, len(stages)):
        if stages[i].continues:
            begins[i] = begins[i - 1]
    for i in range(len(stages) - 1, 0, -1):
        if stages[i].continues:
            ends[i - 1] = ends[i]
    return list(zip(begins, ends, strict=True))


def remaining(stages: Sequence[Stage], steps: int, done: int) -> list[tuple[int, Stage, int, int]]:
    """(index, stage, begin, end) of what is to do after ``done`` steps.

    A stage that a short run leaves no step is entered all the same, for what it hands on (labels, weights);
    not where nothing follows it.
    """
    spans = zip(stages, stage_begins(stages, steps), stage_ends(stages, steps), strict=True)
    return [
        (i, stage, begin, end)
        for i, (stage, begin, end) in enumerate(spans)
        if begin < steps and (end > done or begin == done)
    ]


def pair_ages(stages: Sequence[Stage], steps: int) -> list[list[int | None]]:
    """For each pair of each stage: over how many steps the teacher has averaged when the stage begins.

    None: the pair begins there. A stage that starts from earlier weights takes the ages of then.
    """
    ages: dict[tuple[str, str], int] = {}
    at_end: dict[str, dict[tuple[str, str], int]] = {"initial": {}}
    on_entry: list[list[int | None]] = []
    spans = zip(stages, stage_begins(stages, steps), stage_ends(stages, steps), strict=True)
    for stage, begin, end in spans:
        if stage.start != "go_on":
            ages = at_end[stage.start]
        names = [(pair.student, pair.teacher) for pair in stage.pairs]
        on_entry.append([ages.get(name) for name in names])
        ages = {**ages, **{name: ages.get(name, 0) + end - begin for name in names}}
        at_end[stage.name] = ages
    return on_entry


def enter(
    method: Method,
    stage: Stage,
    ages: Sequence[int | None],
    ends: Mapping[str, Mapping[str, Tensor]],
    rebuild: Callable[[], Method],
) -> None:
    """Give the method the weights a stage starts with: start, fresh, copy, pairs that begin.

    ``ages``: the stage's, of :func:`pair_ages`; ``ends``: weights at the end of stages, by name;
    ``rebuild()``: the method as it was at the start of the run.
    """
    if stage.start == "initial":
        method.load_state_dict(rebuild().state_dict())
    elif stage.start != "go_on":
        method.load_state_dict(ends[stage.start])
    if stage.fresh:
        initial = rebuild()
        for name in stage.fresh:
            getattr(method, name).load_state_dict(getattr(initial, name).state_dict())
    for target, origin in stage.copy.items():
        getattr(method, target).load_state_dict(getattr(method, origin).state_dict())
    for pair, age in zip(stage.pairs, ages, strict=True):
        if age is None:
            ema.begin(getattr(method, pair.student), getattr(method, pair.teacher))
