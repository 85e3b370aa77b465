"""DTC, dual-task consistency (Luo, Chen, Song, Wang; AAAI 2021, arXiv 2009.04448).

    L = L_seg + 0.3 MSE(sdm, target)  (labelled)  +  w(t) MSE( sigmoid(-k sdm), p )  (all)

One network answers twice: class probabilities p and a signed distance map. The map, turned back into a soft
mask by a steep sigmoid (k = 1500), must agree with the probabilities on every scan. w(t) is 1 with a Gaussian
warm-up over the run.

Differs from published code: the supervised part is the house's Dice + cross-entropy (there Dice alone); one
distance map a foreground class; averaged weights predict under the common recipe; voxels outside the scan
and classes that nobody annotated do not count. Distances are the literature's, scaled crop by crop, because k
is meant for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from semivox.losses import sdm_loss, segmentation_loss
from semivox.methods.declare import At, Batch, Facts, Method, Stage, Term
from semivox.methods.protocol import PUBLISHED_SGD, gaussian_ramp, labeled_and_unlabeled, student_and_teacher
from semivox.networks import Output


@dataclass(frozen=True)
class DTCSettings:
    paper_steps: int = 6000
    """Steps of the paper's run; constants counted in steps scale with the run's length by it. [code]"""
    distance: float = 0.3
    """Weight of the distance regression on labelled crops; 0 drops it. [code]"""
    consistency: float = 1.0
    """Weight of the agreement of the two tasks at the end of its warm-up; 0 drops the term. [code]"""
    steepness: float = 1500.0
    """k: how steeply a distance becomes a mask. [code]"""
    ema_decay: float = 0.99
    """Decay of the averaged weights that predict (at paper_steps). [ours]"""
    dropout: float = 0.5
    """Share of channels dropped at the network's dropout places. [code]"""


class DTC(Method):
    """Distance map and probabilities of one network agree."""

    Settings = DTCSettings
    paper: ClassVar[Mapping[str, Any]] = PUBLISHED_SGD

    def __init__(self, facts: Facts, settings: DTCSettings) -> None:
        super().__init__()
        self.settings = settings
        self.student = facts.network("student", sdm=True, dropout=settings.dropout)
        self.teacher = facts.network("student", sdm=True, dropout=settings.dropout)

    def stages(self, facts: Facts) -> Sequence[Stage]:
        return student_and_teacher(labeled_and_unlabeled(facts, sdm="crop_minmax"), self.settings.ema_decay)

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        s = self.settings
        labeled, unlabeled = batch["labeled"], batch["unlabeled"]
        assert labeled.target is not None
        assert labeled.sdm is not None
        x = torch.cat([labeled.views["weak"], unlabeled.views["weak"]])  # (B, C, X, Y[, Z])
        valid = torch.cat([labeled.valid, unlabeled.valid])
        annotated = torch.cat([labeled.annotated, torch.ones_like(unlabeled.annotated)])
        n_l = len(labeled.target)
        output: Output = self.student(x, drop=at.rng("dropout/student"))
        assert output.sdm is not None

        segmentation = segmentation_loss(
            output.logits[:n_l], labeled.target, labeled.valid, labeled.annotated
        )
        terms = {"segmentation": Term(segmentation)}
        if s.distance:
            error = sdm_loss(output.sdm[:n_l], labeled.sdm, labeled.valid, labeled.annotated)
            terms["distance"] = Term(error, s.distance)
        if s.consistency:
            mask = torch.sigmoid(-s.steepness * output.sdm)
            gap = sdm_loss(mask, output.logits.softmax(1)[:, 1:], valid, annotated)
            terms["consistency"] = Term(gap, s.consistency * gaussian_ramp(at.progress))
        return terms
