"""CPS, cross pseudo supervision (Chen, Yuan, Zeng, Wang; CVPR 2021, arXiv 2106.01226).

    L = L_seg(f_1) + L_seg(f_2)  (labelled)
        + w(t) [ CE(f_1(x_u), argmax f_2(x_u)) + CE(f_2(x_u), argmax f_1(x_u)) ]

Two networks that differ only in their first weights teach each other on unlabelled scans. w(t) is 0.1 with a
Gaussian warm-up over the run (the medical benchmarks' weight; the paper's images took 1.5 and more).

Differs from published code: under the common recipe the mean of both networks' averaged weights predicts,
under the paper's the first network; voxels outside the scan do not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from semivox.batches.crops import Crops
from semivox.losses import cross_entropy, segmentation_loss
from semivox.methods.declare import At, Batch, Facts, Method, Pair, Player, Stage, Term
from semivox.methods.protocol import BENCHMARK_SGD, gaussian_ramp, labeled_and_unlabeled


@dataclass(frozen=True)
class CPSSettings:
    paper_steps: int = 30000
    """Steps of the benchmark's run; constants counted in steps scale with the run's length by it. [code]"""
    cross: float = 0.1
    """Weight of the cross supervision at the end of its warm-up; 0 drops both terms. [code]"""
    ema_decay: float = 0.99
    """Decay of the averaged weights that predict (at paper_steps). [ours]"""
    dropout: float = 0.5
    """Share of channels dropped at the networks' dropout places. [field]"""


class CPS(Method):
    """Two networks are each other's teachers."""

    Settings = CPSSettings
    predictor: ClassVar[tuple[str, ...]] = ("teacher", "second_teacher")
    paper: ClassVar[Mapping[str, Any]] = BENCHMARK_SGD

    def __init__(self, facts: Facts, settings: CPSSettings) -> None:
        super().__init__()
        self.settings = settings
        self.student = facts.network("student", dropout=settings.dropout)
        self.second = facts.network("second", dropout=settings.dropout)
        self.teacher = facts.network("student", dropout=settings.dropout)
        self.second_teacher = facts.network("second", dropout=settings.dropout)

    def stages(self, facts: Facts) -> Sequence[Stage]:
        decay = self.settings.ema_decay
        return [
            Stage(
                "train",
                streams=labeled_and_unlabeled(facts),
                players=(Player("segmenter", ("student", "second")),),
                pairs=(Pair("student", "teacher", decay), Pair("second", "second_teacher", decay)),
            )
        ]

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        labeled, unlabeled = batch["labeled"], batch["unlabeled"]
        assert labeled.target is not None
        x = torch.cat([labeled.views["weak"], unlabeled.views["weak"]])  # (B, C, X, Y[, Z])
        n_l = len(labeled.target)
        logits_1 = self.student(x, drop=at.rng("dropout/student")).logits
        logits_2 = self.second(x, drop=at.rng("dropout/second")).logits

        terms = {}
        for name, logits in (("segmentation", logits_1), ("segmentation_second", logits_2)):
            loss = segmentation_loss(logits[:n_l], labeled.target, labeled.valid, labeled.annotated)
            terms[name] = Term(loss)
        if self.settings.cross:
            weight = self.settings.cross * gaussian_ramp(at.progress)
            terms["cross"] = Term(_taught(logits_1[n_l:], logits_2[n_l:], unlabeled), weight)
            terms["cross_second"] = Term(_taught(logits_2[n_l:], logits_1[n_l:], unlabeled), weight)
        return terms


def _taught(logits: Tensor, teacher_logits: Tensor, crops: Crops) -> Tensor:
    """Cross-entropy of ``logits`` against the teacher's hard pseudo-labels."""
    pseudo_label = torch.zeros_like(teacher_logits).scatter_(1, teacher_logits.argmax(1, keepdim=True), 1)
    everything = torch.ones_like(crops.annotated)  # pseudo-labels tell of every class
    return cross_entropy(logits, pseudo_label[:, 1:], crops.valid, everything)
