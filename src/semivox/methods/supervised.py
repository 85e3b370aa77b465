"""Supervised baseline: the labelled scans alone.

Idea: Dice + cross-entropy on the labelled scans, averaged weights
Basis: usual in the field
Needs: labelled

    L = Dice + cross-entropy

The baseline every method is compared with, so it gets what they get: the same plan, augmentation, optimizer,
schedule and compute, and the same predictor rule, the exponential moving average of its weights (which led
the raw weights by 1 to 4 Dice points until late in the run on left atria). It takes a whole batch of labelled
crops where the others take half of it. Dropout is the V-Net's, the field's stronger lower bound ("Bayesian
V-Net"). Under the paper recipe the raw weights predict.
"""

from __future__ import annotations

from typing import ClassVar

from semivox.batches import Stream
from semivox.losses import segmentation_loss
from semivox.methods.conventions import StudentTeacher, StudentTeacherSettings
from semivox.methods.declare import At, Batch, Facts, Term


class Supervised(StudentTeacher):
    Settings = StudentTeacherSettings
    needs_unlabeled: ClassVar[bool] = False

    def streams(self, facts: Facts) -> dict[str, Stream]:
        return {"labeled": Stream("labeled", size=facts.alone, target="label", where="foreground")}

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        labeled = batch["labeled"]
        logits = self.student(labeled.views["weak"], drop=at.rng("dropout/student")).logits
        loss = segmentation_loss(logits, *labeled.supervision)
        return {"segmentation": Term(loss)}
