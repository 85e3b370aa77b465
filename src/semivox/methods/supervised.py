"""Supervised baseline: the labelled scans alone.

    L = Dice + cross-entropy

The baseline every method is compared with, so it gets what they get: the same plan, augmentation, optimizer,
schedule and compute, and the same predictor rule, the exponential moving average of its weights (which led
the raw weights by 1 to 4 Dice points until late in the run on left atria). It takes a whole batch of labelled
crops where the others take half of it. Dropout is the V-Net's, the field's stronger lower bound ("Bayesian
V-Net"). Under the paper recipe the raw weights predict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from semivox.batches.stream import Stream
from semivox.losses import segmentation_loss
from semivox.methods.declare import At, Batch, Facts, Method, Stage, Term
from semivox.methods.protocol import PUBLISHED_SGD, student_and_teacher


@dataclass(frozen=True)
class SupervisedSettings:
    paper_steps: int = 6000
    """Steps of a published run; constants counted in steps scale with the run's length by it. [field]"""
    ema_decay: float = 0.99
    """Decay of the averaged weights that predict (at paper_steps). [ours]"""
    dropout: float = 0.5
    """Share of channels dropped at the network's dropout places. [field]"""


class Supervised(Method):
    """Dice + cross-entropy on labelled crops."""

    Settings = SupervisedSettings
    needs_unlabeled: ClassVar[bool] = False
    paper: ClassVar[Mapping[str, Any]] = PUBLISHED_SGD

    def __init__(self, facts: Facts, settings: SupervisedSettings) -> None:
        super().__init__()
        self.settings = settings
        self.student = facts.network("student", dropout=settings.dropout)
        self.teacher = facts.network("student", dropout=settings.dropout)

    def stages(self, facts: Facts) -> Sequence[Stage]:
        labeled = Stream("labeled", size=sum(facts.batch), target="label", where="foreground")
        return student_and_teacher({"labeled": labeled}, self.settings.ema_decay)

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        labeled = batch["labeled"]
        assert labeled.target is not None
        output = self.student(labeled.views["weak"], drop=at.rng("dropout/student"))
        loss = segmentation_loss(output.logits, labeled.target, labeled.valid, labeled.annotated)
        return {"segmentation": Term(loss)}
