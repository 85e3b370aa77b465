"""Does it learn? A run of seconds on drawn 2D cases must segment cases it has not seen."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from torch import nn

from semivox.batches import Augmentation
from semivox.methods import Method
from semivox.networks import count_parameters
from semivox.randomness import Key
from semivox.testing.faults import method_fault
from semivox.testing.memory_store import MemoryStore, draw_case
from semivox.testing.runs import TinyRun
from semivox.testing.steps import Settings
from semivox.testing.synthetic import LABELED, UNLABELED, tiny_facts, tiny_plan
from semivox.tiles import predict_probabilities

PATCH = {2: (32, 32), 3: (32, 32, 16)}
FEATURES = (8, 16, 32)
STEPS = 60
HELD_OUT = 4
WEIGHTS = 300_000
"""A network that trains must be small enough for the check to last seconds."""
BAR, GAIN = 0.7, 0.3
"""Mean Dice on held-out cases that must be reached, and by how much more than with the first weights."""


def learned_dice(method: type[Method], settings: Settings = None, dims: int = 2) -> tuple[float, float]:
    """Mean foreground Dice of the predictor on held-out cases: with its first weights, and after training."""
    plan = tiny_plan(dims, patch=PATCH[dims], features=FEATURES)
    facts = tiny_facts(plan, STEPS, sweeps=1)
    store = MemoryStore(plan, LABELED, UNLABELED, Key("learning"))
    with tempfile.TemporaryDirectory() as folder:
        run = TinyRun(
            method, settings, facts, store, Path(folder), equal=False,
            augmentation=Augmentation(enabled=False),
        )  # fmt: skip
        before = _dice(run)
        run.go()
        return before, _dice(run)


def check_learns(method: type[Method], settings: Settings = None, dims: int = 2) -> None:
    """60 steps on 2 labelled and 4 unlabelled cases of a ball and a vessel teach it to segment others."""
    before, after = learned_dice(method, settings, dims)
    needed = max(BAR, before + GAIN)
    if after < needed:
        raise method_fault(
            f"after {STEPS} steps on easy cases of {PATCH[dims]} voxels its predictor has a mean Dice of "
            f"{after:.2f} on others (untrained: {before:.2f}); expected at least {needed:.2f}",
            "Is the labelled loss a term of a player that has the student? Is the predictor a teacher that "
            "follows it, or the student itself? Does an unsupervised weight need a warm-up (at.progress)?",
        )


def _dice(run: TinyRun) -> float:
    """Mean over held-out cases and foreground classes."""
    plan = run.facts.plan
    networks: list[nn.Module] = [getattr(run.method, role) for role in run.kind.predictor]
    if sum(count_parameters(network) for network in networks) > WEIGHTS * len(networks):
        raise method_fault("its networks are larger than the plan's", "Make them with facts.network")
    dices = []
    for n in range(HELD_OUT):
        case = draw_case(plan, Key("held out") / n)
        probs = predict_probabilities(networks, case.image, multiple=plan.network.multiple)
        found = probs.argmax(0).numpy()
        for k in range(1, case.classes):
            one, two = found == k, case.labels == k
            dices.append(2 * (one & two).sum() / max(1, one.sum() + two.sum()))
    return float(np.mean(dices))
