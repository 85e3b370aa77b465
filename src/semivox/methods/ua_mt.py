"""UA-MT, the uncertainty-aware mean teacher.

Idea: the student follows the teacher only where the teacher's dropout samples agree
Paper: Yu, Wang, Li, Fu, Heng; MICCAI 2019; arXiv 1907.07034
Basis: published code

    L = L_seg(labelled) + w(t) sum_v [u_v < H(t)] |p_s - p_t|^2 / (K sum_v [u_v < H(t)])

u is the entropy of the teacher's mean softmax over T = 8 passes, each with its own dropout and input noise;
H(t) = (0.75 + 0.25 ramp(t)) ln 2 rises, with two classes until it lets all through; w(t) is 0.1 with a
Gaussian warm-up.

Differs from published code: the teacher's BatchNorm statistics are averaged like its weights; new noise in
each of the T passes; nothing outside the scan is compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from semivox.losses import normalised_entropy, segmentation_loss, softmax_mse
from semivox.methods.conventions import gaussian_ramp
from semivox.methods.declare import At, Batch, Term
from semivox.methods.mean_teacher import MeanTeacher, MeanTeacherSettings
from semivox.ranges import FewOrNone, NotAll, Share


@dataclass(frozen=True)
class UAMTSettings(MeanTeacherSettings):
    dropout: NotAll = 0.5
    """Share of channels dropped at the network's dropout places, in student and teacher. [code]"""
    passes: FewOrNone = 8
    """T: dropout passes that measure the teacher's uncertainty; 0: no gate, a plain mean teacher. [code]"""
    threshold: Share = 0.75
    """Share of the limit below which an entropy counts as sure at the start; it rises to 1. [code]"""
    limit: Literal["two", "classes"] = "two"
    """The limit: ln 2, whatever the number of classes, or ln K, which lets nearly all through. [code]"""


class UAMT(MeanTeacher):
    Settings = UAMTSettings
    settings: UAMTSettings

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        s, labeled, unlabeled = self.settings, batch["labeled"], batch["unlabeled"]
        x_l, x_u = labeled.views["weak"], unlabeled.views["weak"]  # (B, C, X, Y[, Z])
        n_l = len(x_l)

        logits_s = self.student(torch.cat([x_l, x_u]), drop=at.rng("dropout/student")).logits
        loss = segmentation_loss(logits_s[:n_l], *labeled.supervision)
        terms = {"segmentation": Term(loss)}
        if s.consistency:
            logits_t, sure = self.teach(x_u, at, "target"), self._sure(x_u, at)
            loss = softmax_mse(logits_s[n_l:], logits_t, sure * unlabeled.valid)
            terms["consistency"] = Term(loss, s.consistency * gaussian_ramp(at.progress))
        return terms

    def _sure(self, x_u: Tensor, at: At) -> Tensor:
        """(B, 1, ...) 1 where the entropy of the mean over T passes is below the threshold."""
        s = self.settings
        if s.passes == 0:
            return torch.ones_like(x_u[:, :1])
        passes = [self.teach(x_u, at, f"pass {i}").softmax(1) for i in range(s.passes)]
        mean = torch.stack(passes).mean(0)  # (B, K, X, Y[, Z])
        limit = s.threshold + (1 - s.threshold) * gaussian_ramp(at.progress)
        if s.limit == "two":
            limit *= math.log(2) / math.log(mean.shape[1])
        return (normalised_entropy(mean) < limit).to(x_u)
