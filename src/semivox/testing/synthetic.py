"""Everything small: a plan, a method on it, and batches of random voxels in the form its streams ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from semivox.batches import Crops, Stream, region_table
from semivox.methods import At, Facts, Method
from semivox.prepare import ChannelPlan, ClassPlan, NetworkPlan, Plan
from semivox.randomness import Key

PATCH = {2: (16, 16), 3: (16, 16, 8)}
FEATURES = (4, 8, 8)
LABELED, UNLABELED = 2, 4
PROGRESS = 0.9
"""Where in the run single steps stand: late, so that warm-ups have let every term in."""


def tiny_plan(
    dims: int = 3,
    classes: int = 3,
    channels: int = 1,
    *,
    patch: tuple[int, ...] | None = None,
    features: tuple[int, ...] = FEATURES,
) -> Plan:
    """A plan of a U-Net of three levels on crops of ``patch`` (16 x 16 [x 8]), 2 labelled and 2 unlabelled.

    ``classes`` is K, background included.
    """
    one, two = (3,) * dims, (2,) * dims
    patch = patch or PATCH[dims]
    return Plan(
        dims=dims, axes=tuple(range(dims)), native_spacing=(1.0,) * dims, spacing=(1.0,) * dims,
        spacing_known=True, rung=1.0, shape=patch, patch=patch, batch=(2, 2),
        network=NetworkPlan("unet", features, (one,) * len(features), (two,) * (len(features) - 1)),
        channels=tuple(ChannelPlan(str(c), "zscore") for c in range(channels)),
        classes=tuple(ClassPlan(k, str(k), 10.0, 1.0) for k in range(1, classes)),
        budget_seconds=None, step_seconds=1.0, steps=None, assumptions=(),
    )  # fmt: skip


def tiny_facts(plan: Plan, steps: int = 100, *, unlabeled: int = UNLABELED, sweeps: int | None = 2) -> Facts:
    """Facts of a run of ``steps`` on 2 labelled and ``unlabeled`` unlabelled cases, seed 0."""
    return Facts(plan, steps, LABELED, unlabeled, Key(0), sweeps=sweeps)


def build(method: type[Method], facts: Facts, settings: Mapping[str, Any] | None = None) -> Method:
    """The method with its first weights."""
    return method(facts, method.Settings(**(settings or {})))


def tiny(
    method: type[Method], dims: int = 3, classes: int = 3, channels: int = 1, **settings: Any
) -> tuple[Method, Facts]:
    """A method with its first weights on a tiny plan, and the facts it was built for."""
    facts = tiny_facts(tiny_plan(dims, classes, channels))
    return build(method, facts, settings), facts


def tiny_at(method: Method, facts: Facts, stage: int = 0, progress: float = PROGRESS) -> At:
    """Where a single step of the stage with this index stands."""
    return At(method.stages(facts)[stage].name, 90, progress, progress, facts.key)


def random_batch(method: Method, facts: Facts, stage: int = 0, seed: int = 0) -> dict[str, Crops]:
    """A batch as the streams of the stage with this index ask for it: noise, with random labels.

    A stream's crops depend on its name, its size and ``seed`` alone, so that they are the same whatever other
    streams there are.
    """
    streams = method.stages(facts)[stage].streams
    return {name: _crops(stream, facts, Key(seed) / name) for name, stream in streams.items()}


def _crops(stream: Stream, facts: Facts, key: Key) -> Crops:
    rng, n, shape, k = key.torch(), stream.size, facts.plan.patch, facts.classes - 1
    x = torch.randn(n, facts.channels, *shape, generator=rng)
    labels = torch.randint(0, k + 1, (n, *shape), generator=rng)
    target = torch.stack([(labels == c).float() for c in range(1, k + 1)], 1)  # (B, K-1, X, Y[, Z])
    labeled = stream.cases == "labeled"
    return Crops(
        views={view: x + 0.1 * i for i, view in enumerate(stream.views)},
        target=target if stream.target else None,
        valid=torch.ones(n, 1, *shape),
        annotated=torch.full((n, k), float(labeled or stream.target is not None)),
        sdm=1 - 2 * target if stream.sdm else None,
        case=torch.arange(n) + (0 if labeled else facts.labeled),
        box=torch.zeros(n, facts.dims, 2),
        regions=region_table(facts.plan),
    )
