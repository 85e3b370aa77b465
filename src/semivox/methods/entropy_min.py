"""Entropy minimisation.

Idea: confident predictions on all scans
Paper: Grandvalet, Bengio; NeurIPS 2004
Paper: Vu, Jain, Bucher, Cord, Pérez; CVPR 2019 (for segmentation)
Basis: benchmark code

    L = L_seg(labelled) + w(t) mean over voxels of H(p) / ln K

over the predictions of all images of the batch; w(t) is 0.1 with a Gaussian warm-up over the run.

Differs from published code: voxels outside the scan do not count, and averaged weights predict under the
common recipe.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from semivox.losses import entropy_loss, segmentation_loss
from semivox.methods.conventions import StudentTeacher, StudentTeacherSettings, gaussian_ramp
from semivox.methods.declare import At, Batch, Term
from semivox.ranges import Weight


@dataclass(frozen=True)
class EntropyMinSettings(StudentTeacherSettings):
    entropy: Weight = 0.1
    """Weight of the entropy at the end of its warm-up; 0 drops the term. [code]"""


class EntropyMin(StudentTeacher):
    Settings = EntropyMinSettings
    settings: EntropyMinSettings

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        labeled, unlabeled = batch["labeled"], batch["unlabeled"]
        x = torch.cat([labeled.views["weak"], unlabeled.views["weak"]])  # (B, C, X, Y[, Z])
        valid, n_l = torch.cat([labeled.valid, unlabeled.valid]), len(labeled.valid)
        logits = self.student(x, drop=at.rng("dropout/student")).logits

        loss = segmentation_loss(logits[:n_l], *labeled.supervision)
        terms = {"segmentation": Term(loss)}
        if self.settings.entropy:
            weight = self.settings.entropy * gaussian_ramp(at.progress)
            terms["entropy"] = Term(entropy_loss(logits, valid), weight)
        return terms
