"""What a step costs: the mean of its stages, on any device, whatever else the machine does for a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn

from semivox.batches import Crops
from semivox.methods.declare import At, Batch, Facts, Method, Optimizer, Player, Stage, Term
from semivox.randomness import Key
from semivox.training import step_time
from semivox.training.step_time import Moment, mean_seconds, seconds_of_stages

from .toys import PLAN

CPU = torch.device("cpu")


@dataclass
class Machine:
    """A clock, and the processor's: from ``busy_from`` on others leave us ``ours`` of it for a second. A
    thread waits for ``waits`` of each second of its own."""

    busy_from: float = float("inf")
    ours: float = 0.0
    waits: float = 0.05
    now: float = 0.0
    cpu: float = 0.0
    steps: int = field(default=0)

    def work(self, seconds: float) -> None:
        self.cpu += seconds * (1 - self.waits)
        before = min(seconds, max(0.0, self.busy_from - self.now))
        self.now, seconds = self.now + before, seconds - before
        if seconds and self.now < self.busy_from + 1:
            rest = self.busy_from + 1 - self.now
            done = min(seconds, rest * self.ours)
            self.now += rest if done < seconds or not self.ours else done / self.ours
            seconds -= done
        self.now += seconds


class Steps(Method):
    """A step of its first stage takes ``each`` seconds, of its second three times that, the first one of all
    twice."""

    machine: Machine
    each = 0.02

    def __init__(self) -> None:
        super().__init__()
        self.student = nn.Linear(1, 1)

    def stages(self, facts: Facts) -> Sequence[Stage]:
        players = (Player("segmenter", ("student",)),)
        return [Stage("short", {}, players, share=0.75), Stage("long", {}, players, share=0.25)]

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        self.machine.steps += 1
        cold = 2 if self.machine.steps == 1 else 1
        self.machine.work(self.each * (cold if at.stage == "short" else 3))
        return {"segmentation": Term(self.student(torch.ones(1, 1)).sum())}


class OneStage(Steps):
    def stages(self, facts: Facts) -> Sequence[Stage]:
        return [Stage("short", {}, (Player("segmenter", ("student",)),))]


class Nothing:
    def batch(self, step: int) -> Mapping[str, Crops]:
        return {}


def measured(
    machine: Machine,
    each: float,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Steps] = Steps,
    limit: float = 3.0,
    deadline: float = 1e9,
) -> float:
    monkeypatch.setattr(step_time, "_now", lambda device: Moment(machine.now, machine.cpu))
    monkeypatch.setattr(step_time.time, "monotonic", lambda: machine.now)
    monkeypatch.setattr(Steps, "machine", machine, raising=False)
    monkeypatch.setattr(Steps, "each", each)

    def make(steps: int, precision: str) -> tuple[Facts, Method]:
        return Facts(PLAN, steps, 1, 1, Key(0)), kind()

    batches = cast(Any, lambda stage: Nothing())
    found = seconds_of_stages(make, "fp32", batches, Optimizer(), CPU, limit=limit, deadline=deadline)
    return mean_seconds(kind().stages(make(100, "fp32")[0]), found)


def test_a_step_costs_the_mean_of_the_stages_by_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    assert measured(Machine(), 0.02, monkeypatch) == pytest.approx(0.75 * 0.02 + 0.25 * 0.06)


def test_a_stage_that_was_not_measured_counts_as_the_mean_of_the_others() -> None:
    stages = [Stage(name, {}, (), share=share) for name, share in (("a", 0.2), ("b", 0.2), ("c", 0.6))]
    assert mean_seconds(stages, {"a": 1.0, "b": 3.0}) == pytest.approx(2.0)
    assert mean_seconds(stages, {"a": 1.0, "b": 3.0, "c": 5.0, "of another run": 9.0}) == pytest.approx(3.8)


def test_where_only_stages_without_a_share_were_measured_they_tell() -> None:
    stages = [Stage(name, {}, (), share=share) for name, share in (("a", 0.0), ("b", 0.0), ("c", 1.0))]
    assert mean_seconds(stages, {"a": 1.0, "b": 3.0}) == pytest.approx(2.0)
    assert mean_seconds(stages, {"a": 1.0, "b": 3.0, "c": 5.0}) == pytest.approx(5.0)


@pytest.mark.parametrize("ours", [0.0, 0.4])
@pytest.mark.parametrize(
    ("kind", "each", "budget"),
    [
        (OneStage, 0.02, 75),
        (OneStage, 0.2, 75),
        (OneStage, 1.1, 75),
        (OneStage, 1.1, 1200),
        (OneStage, 0.02, 8),
        (OneStage, 0.2, 8),
        (Steps, 0.02, 75),
        (Steps, 0.2, 75),
        (Steps, 0.2, 1200),
    ],
)
def test_a_busy_second_changes_the_number_of_steps_by_less_than_a_tenth(
    kind: type[Steps], each: float, budget: float, ours: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = min(3.0, 0.03 * budget), 0.1 * budget
    quiet = Machine()
    expected = measured(quiet, each, monkeypatch, kind, *limits)
    assert quiet.now <= min(limits[0] + 17 * each, limits[1] + 3 * each)
    for begin in np.arange(0, min(quiet.now, 6.0), 0.65):
        found = measured(Machine(float(begin), ours), each, monkeypatch, kind, *limits)
        assert 0.9 < expected / found < 1.1, begin
