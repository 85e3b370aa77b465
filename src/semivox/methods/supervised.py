"""Supervised baseline: the labelled scans alone.

Idea: Dice + cross-entropy on the labelled scans, averaged weights
Basis: usual in the field
Needs: labelled

    L = Dice + cross-entropy

The baseline every method is compared with, so it gets what they get: the same plan, augmentation, optimizer,
schedule and compute, and the same predictor rule, the exponential moving average of its weights (which led
the raw weights by 1 to 4 Dice points until late in the run on left atria). It takes a whole batch of labelled
crops where the others take half of it. Dropout is the V-Net's, the field's stronger lower bound ("Bayesian
V-Net"). Under the paper recipe the raw weights predict. ``exchange`` makes it a stronger one (CutMix, Yun et
al., ICCV 2019).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from semivox.batches import Stream
from semivox.losses import segmentation_loss
from semivox.methods.conventions import StudentTeacher, StudentTeacherSettings
from semivox.methods.declare import At, Batch, Facts, Term
from semivox.ranges import Share


@dataclass(frozen=True)
class SupervisedSettings(StudentTeacherSettings):
    exchange: Share = 0.0
    """Share of the pairs of labelled crops in which a box changes places. [ours]"""
    exchange_side: Share = 2 / 3
    """Side of that box as a share of the crop's. [field]"""


class Supervised(StudentTeacher):
    Settings: ClassVar[type] = SupervisedSettings
    needs_unlabeled: ClassVar[bool] = False

    def streams(self, facts: Facts) -> dict[str, Stream]:
        labeled, s = Stream("labeled", facts.alone, target="label", where="foreground"), self.settings
        if isinstance(s, SupervisedSettings):  # those of a method that builds on this one may not be
            labeled = replace(labeled, exchange=s.exchange, exchange_side=s.exchange_side)
        return {"labeled": labeled}

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        labeled = batch["labeled"]
        logits = self.student(labeled.views["weak"], drop=at.rng("dropout/student")).logits
        loss = segmentation_loss(logits, *labeled.supervision)
        return {"segmentation": Term(loss)}
