"""The guard against losses that are not finite, where it may look at once and where it may not, and against
weights that are not."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import nn

from semivox.batches import Crops
from semivox.errors import TrainingFailed
from semivox.methods.declare import At, Batch, Facts, Method, Optimizer, Player, Stage, Term
from semivox.testing.synthetic import tiny_facts, tiny_plan
from semivox.training.guard import FiniteGuard
from semivox.training.loop import Hooks, fit

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def look(guard: FiniteGuard, step: int, **terms: float) -> None:
    values = {name: Term(torch.tensor(value)) for name, value in terms.items()}
    nothing = torch.zeros(2)
    batch = {"all": Crops({}, None, nothing, nothing, None, torch.tensor([step, 10 * step]), nothing)}
    guard.look(step, sum((term.value for term in values.values()), torch.zeros(())), values, batch)


def test_a_cpu_stops_at_once() -> None:
    guard = FiniteGuard(CPU)
    look(guard, 3, dice=1.0, contrast=2.0)
    with pytest.raises(TrainingFailed, match=r"step 4.*term contrast; .*\{'all': \[4, 40\]\}"):
        look(guard, 4, dice=1.0, contrast=math.nan)


def test_a_gpu_is_asked_later_and_the_first_bad_step_is_named() -> None:
    guard = FiniteGuard(GPU)
    for step, contrast in ((3, 1.0), (4, math.inf), (5, math.nan)):
        look(guard, step, dice=1.0, contrast=contrast)
    with pytest.raises(TrainingFailed, match=r"step 4.*term contrast; .*\{'all': \[4, 40\]\}"):
        guard.read()
    look(guard, 6, dice=1.0)
    guard.read()  # nothing is left of what was told


def test_finite_terms_whose_sum_is_not() -> None:
    guard = FiniteGuard(CPU)
    with pytest.raises(TrainingFailed, match="sum of all"):
        look(guard, 0, a=3e38, b=3e38)


class Breaks(Method):
    """Its loss is 0 in every step; from the one numbered ``at`` on its gradient is not finite."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.student, self.at = nn.Linear(1, 1), at

    def stages(self, facts: Facts) -> Sequence[Stage]:
        return [Stage("train", {}, (Player("segmenter", ("student",)),))]

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        nothing = self.student.weight - self.student.weight.detach()
        return {"segmentation": Term((nothing.sqrt() if at.step >= self.at else nothing).sum())}


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw", "rmsprop"])
@pytest.mark.parametrize("clip", [0.0, 6.0])
@pytest.mark.parametrize("at", [0, 2])
def test_weights_that_are_not_finite_are_not_kept(at: int, clip: float, kind: str) -> None:
    facts, kept = tiny_facts(tiny_plan(2), steps=3), list[int]()
    source = cast(Any, SimpleNamespace(batch=lambda step: {}))

    def checkpoint(step: int, state: Callable[[], dict[str, Any]]) -> None:
        kept.append(state()["step"])

    with pytest.raises(TrainingFailed, match=f"not finite after step {at + 1}; found student.weight"):
        fit(
            Breaks(at),
            facts,
            lambda stage: source,
            optimizer=Optimizer(cast(Any, kind), clip=clip),
            rebuild=lambda: Breaks(at),
            paper_steps=3,
            hooks=Hooks(checkpoint=checkpoint),
        )
    assert kept == list(range(1, at + 1))
