"""The guard against losses that are not finite, where it may look at once and where it may not."""

from __future__ import annotations

import math

import pytest
import torch

from semivox.batches import Crops
from semivox.errors import TrainingFailed
from semivox.methods.declare import Term
from semivox.training.guard import FiniteGuard

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
