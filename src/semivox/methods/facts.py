"""What a method may know: of its run before it starts, and of where a step stands."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from semivox.networks import build_network
from semivox.prepare import Plan
from semivox.randomness import BatchKey, Key


@dataclass(frozen=True)
class At:
    """Where in the run a step stands. ``progress`` runs from 0 to 1 over the run, ``stage_progress`` over
    the stage. ``rng(name)`` is the key of a draw of this step."""

    stage: str
    step: int
    progress: float
    stage_progress: float
    key: Key

    def rng(self, name: str) -> BatchKey:
        """A key for draws of this step, one row a sample of the batch."""
        return BatchKey(self.key / "method" / self.stage / self.step / name)


@dataclass(frozen=True)
class Facts:
    """What a method may know of its run before it starts.

    ``sweeps``: how often all unlabelled scans may be labelled anew within the budget (at least 1); None: no
    limit. ``warm_up``: the least share of the run that learns from labels alone, see ``training.warm_up``.
    """

    plan: Plan
    steps: int
    labeled: int
    unlabeled: int
    key: Key
    precision: str = "fp32"
    sweeps: int | None = None
    warm_up: float = 0.0

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
    def batch(self) -> tuple[int, int]:
        """Labelled and unlabelled crops a step."""
        return self.plan.batch

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
