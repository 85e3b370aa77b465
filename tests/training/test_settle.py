from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from semivox.batches import Crops
from semivox.methods.declare import At, Batch, Facts, Method, Optimizer, Player, Stage, Term
from semivox.prepare import ChannelPlan, ClassPlan, NetworkPlan, Plan
from semivox.randomness import Key
from semivox.training.settle import seconds_a_step

PLAN = Plan(
    dims=2, axes=(0, 1), native_spacing=(1.0, 1.0), spacing=(1.0, 1.0), spacing_known=True, rung=1.0,
    shape=(8, 8), patch=(4, 4), batch=(1, 1), network=NetworkPlan("unet", (4,), ((3, 3),), ()),
    channels=(ChannelPlan("x", "zscore"),), classes=(ClassPlan(1, "a", 1.0, 1.0),),
    budget_seconds=None, step_seconds=1.0, steps=None, assumptions=(),
)  # fmt: skip


@dataclass(frozen=True)
class NoSettings:
    paper_steps: int = 10


class Sleeps(Method):
    """A step of its first stage takes 20 ms, of its second 60 ms."""

    Settings = NoSettings

    def __init__(self) -> None:
        super().__init__()
        self.student = nn.Linear(1, 1)

    def stages(self, facts: Facts) -> Sequence[Stage]:
        players = (Player("segmenter", ("student",)),)
        return [Stage("short", {}, players, share=0.75), Stage("long", {}, players, share=0.25)]

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        time.sleep(0.02 if at.stage == "short" else 0.06)
        return {"segmentation": Term(self.student(torch.ones(1, 1)).sum())}


class Nothing:
    def batch(self, step: int) -> Mapping[str, Crops]:
        return {}


def test_a_step_costs_the_mean_of_the_stages_by_their_share() -> None:
    def make(steps: int, precision: str) -> tuple[Facts, Method]:
        return Facts(PLAN, steps, 1, 1, Key(0)), Sleeps()

    seconds = seconds_a_step(make, "fp32", lambda stage: Nothing(), Optimizer(), torch.device("cpu"))  # type: ignore[arg-type, return-value]
    assert seconds == pytest.approx(0.75 * 0.02 + 0.25 * 0.06, abs=0.015)
