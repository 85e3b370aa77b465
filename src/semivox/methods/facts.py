"""What a method may know: of its run before it starts, and of where a step stands."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from semivox.networks import build_network
from semivox.prepare import Plan
from semivox.randomness import BatchKey, Key

HEAD_START = 0.1
"""Share of a stage in which new heads learn before they count."""


@dataclass(frozen=True)
class At:
    """Where in the run a step stands. ``progress`` runs from 0 to 1 over the run, ``stage_progress`` over
    the stage. ``rng(name)`` is the key of a draw of this step."""

    stage: str
    step: int
    progress: float
    stage_progress: float
    key: Key

    def after_head_start(self, features: Tensor) -> Tensor:
        """``features`` for heads that are new to this stage: held fixed in its first tenth, while the heads
        learn. A random head's gradient is as large as the task's, and says nothing."""
        return features.detach() if self.stage_progress < HEAD_START else features

    def rng(self, name: str) -> BatchKey:
        """A key for draws of this step, one row a sample of the batch."""
        return BatchKey(self.key / "method" / self.stage / self.step / name)


@dataclass(frozen=True)
class Facts:
    """What a method may know of its run before it starts.

    ``sweeps``: how often all unlabelled scans may be labelled anew within the budget (methods are asked for
    stages with at least 1, see ``training.stages``); None: no limit. ``warm_up``: the least share of the run
    that learns from labels alone, see ``training.warm_up``.
    ``keep_labeled``: a step with unlabelled crops has as many labelled ones as a step without.
    ``restarts``: the learning rate begins anew in every stage, see ``training.stages``.
    """

    plan: Plan
    steps: int
    labeled: int
    unlabeled: int
    key: Key
    precision: str = "fp32"
    sweeps: int | None = None
    warm_up: float = 0.0
    keep_labeled: bool = False
    restarts: bool = True

    @property
    def classes(self) -> int:
        """K, background included."""
        return len(self.plan.classes) + 1

    @property
    def channels(self) -> int:
        return len(self.plan.channels)

    @property
    def dims(self) -> int:
        return self.plan.dims

    @property
    def alone(self) -> int:
        """Labelled crops of a step that has no others."""
        return sum(self.plan.batch)

    @property
    def batch(self) -> tuple[int, int]:
        """Labelled and unlabelled crops of a step that has both."""
        n_l, n_u = self.plan.batch
        return (self.alone if self.keep_labeled else n_l), n_u

    def network(
        self, name: str, *, sdm: bool = False, scales: bool = False, dropout: float = 0.5
    ) -> nn.Module:
        """The plan's network with weights keyed by ``name``: equal names give equal weights."""
        return build_network(
            self.plan.network,
            channels=self.channels,
            classes=self.classes,
            key=self.key / "network" / name,
            sdm=sdm,
            precision=self.precision,  # type: ignore[arg-type]
            dropout=dropout,
            scales=scales,
        )
