"""Entropy minimisation (Grandvalet & Bengio, NeurIPS 2004; for segmentation Vu et al., CVPR 2019).

    L = L_seg(labelled) + w(t) mean over voxels of H(p) / ln K

over the predictions of all images of the batch; w(t) is 0.1 with a Gaussian warm-up over the run.

Differs from published code: voxels outside the scan do not count, and averaged weights predict under the
common recipe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from semivox.losses import entropy_loss, segmentation_loss
from semivox.methods.declare import At, Batch, Facts, Method, Stage, Term
from semivox.methods.protocol import PUBLISHED_SGD, gaussian_ramp, labeled_and_unlabeled, student_and_teacher


@dataclass(frozen=True)
class EntropyMinSettings:
    paper_steps: int = 6000
    """Steps of a published run; constants counted in steps scale with the run's length by it. [field]"""
    entropy: float = 0.1
    """Weight of the entropy at the end of its warm-up; 0 drops the term. [code]"""
    ema_decay: float = 0.99
    """Decay of the averaged weights that predict (at paper_steps). [ours]"""
    dropout: float = 0.5
    """Share of channels dropped at the network's dropout places. [field]"""


class EntropyMin(Method):
    """Confident predictions on all scans."""

    Settings = EntropyMinSettings
    paper: ClassVar[Mapping[str, Any]] = PUBLISHED_SGD

    def __init__(self, facts: Facts, settings: EntropyMinSettings) -> None:
        super().__init__()
        self.settings = settings
        self.student = facts.network("student", dropout=settings.dropout)
        self.teacher = facts.network("student", dropout=settings.dropout)

    def stages(self, facts: Facts) -> Sequence[Stage]:
        return student_and_teacher(labeled_and_unlabeled(facts), self.settings.ema_decay)

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        labeled, unlabeled = batch["labeled"], batch["unlabeled"]
        assert labeled.target is not None
        x = torch.cat([labeled.views["weak"], unlabeled.views["weak"]])  # (B, C, X, Y[, Z])
        valid = torch.cat([labeled.valid, unlabeled.valid])
        logits = self.student(x, drop=at.rng("dropout/student")).logits

        n_l = len(labeled.target)
        segmentation = segmentation_loss(logits[:n_l], labeled.target, labeled.valid, labeled.annotated)
        terms = {"segmentation": Term(segmentation)}
        if self.settings.entropy:
            weight = self.settings.entropy * gaussian_ramp(at.progress)
            terms["entropy"] = Term(entropy_loss(logits, valid), weight)
        return terms
