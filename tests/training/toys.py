"""What the tests of the loop train on: a plan, batches of numbers, and settings that say nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from semivox.batches import Crops
from semivox.methods.declare import Stage
from semivox.prepare import ChannelPlan, ClassPlan, NetworkPlan, Plan
from semivox.randomness import Key

PLAN = Plan(
    dims=2, axes=(0, 1), native_spacing=(1.0, 1.0), spacing=(1.0, 1.0), spacing_known=True, rung=1.0,
    shape=(8, 8), patch=(4, 4), batch=(1, 1), network=NetworkPlan("unet", (4,), ((3, 3),), ()),
    channels=(ChannelPlan("x", "zscore"),), classes=(ClassPlan(1, "a", 1.0, 1.0),),
    budget_seconds=None, step_seconds=1.0, steps=None, assumptions=(),
)  # fmt: skip


class Numbers:
    """Batches whose one view is drawn from the step's key."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def batch(self, step: int) -> Mapping[str, Crops]:
        x = torch.rand(2, 3, generator=(Key(1) / self.stage.name / step).torch())
        nothing = torch.zeros(2)
        return {"all": Crops({"weak": x}, None, nothing, nothing, None, torch.tensor([3, 5]), nothing)}


@dataclass(frozen=True)
class NoSettings:
    paper_steps: int = 10
