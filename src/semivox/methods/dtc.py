"""DTC, dual-task consistency.

Idea: a network's distance map and its probabilities agree
Paper: Luo, Chen, Song, Wang; AAAI 2021; arXiv 2009.04448
Basis: published code

    L = L_seg + 0.3 MSE(sdm, target)  (labelled)  +  w(t) MSE( sigmoid(-k sdm), p )  (all)

One network answers twice: class probabilities p and a signed distance map. The map, turned back into a soft
mask by a steep sigmoid (k = 1500), must agree with the probabilities on every scan. w(t) is 1 with a Gaussian
warm-up over the run.

Differs from published code: L_seg is Dice + cross-entropy (there Dice alone); one distance map a foreground
class; averaged weights predict under the common recipe; voxels outside the scan and classes that nobody
annotated do not count. Distances are the literature's, scaled crop by crop, because k is meant for them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from semivox.losses import sdm_loss, segmentation_loss
from semivox.methods.conventions import StudentTeacher, StudentTeacherSettings, gaussian_ramp
from semivox.methods.declare import At, Batch, Term
from semivox.ranges import Amount, NotAll, Weight


@dataclass(frozen=True)
class DTCSettings(StudentTeacherSettings):
    dropout: NotAll = 0.5
    """Share of channels dropped at the network's dropout places. [code]"""
    distance: Weight = 0.3
    """Weight of the distance regression on labelled crops; 0 drops it. [code]"""
    consistency: Weight = 1.0
    """Weight of the agreement of the two tasks at the end of its warm-up; 0 drops the term. [code]"""
    steepness: Amount = 1500.0
    """k: how steeply a distance becomes a mask. [code]"""


class DTC(StudentTeacher):
    Settings = DTCSettings
    settings: DTCSettings
    sdm = "crop_minmax"

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        s, labeled, unlabeled = self.settings, batch["labeled"], batch["unlabeled"]
        x = torch.cat([labeled.views["weak"], unlabeled.views["weak"]])  # (B, C, X, Y[, Z])
        valid, n_l = torch.cat([labeled.valid, unlabeled.valid]), len(labeled.valid)
        annotated = torch.cat([labeled.annotated, torch.ones_like(unlabeled.annotated)])
        student = self.student(x, drop=at.rng("dropout/student"))
        logits, sdm = student.logits, student.sdm

        loss = segmentation_loss(logits[:n_l], *labeled.supervision)
        terms = {"segmentation": Term(loss)}
        if s.distance:
            loss = sdm_loss(sdm[:n_l], labeled.distances, labeled.valid, labeled.annotated)
            terms["distance"] = Term(loss, s.distance)
        if s.consistency:
            mask = torch.sigmoid(-s.steepness * sdm)
            loss = sdm_loss(mask, logits.softmax(1)[:, 1:], valid, annotated)
            terms["consistency"] = Term(loss, s.consistency * gaussian_ramp(at.progress))
        return terms
