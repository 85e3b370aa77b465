"""CPS, cross pseudo supervision.

Idea: two networks are each other's teachers, by hard pseudo-labels
Paper: Chen, Yuan, Zeng, Wang; CVPR 2021; arXiv 2106.01226
Basis: benchmark code

    L = L_seg(f_1) + L_seg(f_2)  (labelled)
        + w(t) [ CE(f_1(x_u), argmax f_2(x_u)) + CE(f_2(x_u), argmax f_1(x_u)) ]

Two networks that differ only in their first weights teach each other on unlabelled scans. w(t) is 0.1 with a
Gaussian warm-up over the run (the medical benchmarks' weight; the paper's images took 1.5 and more).

Differs from published code: under the common recipe the mean of both networks' averaged weights predicts,
under the paper's the first network; voxels outside the scan do not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from semivox.batches import Crops
from semivox.losses import cross_entropy, segmentation_loss
from semivox.methods.conventions import BENCHMARK_SGD, StudentTeacher, StudentTeacherSettings, gaussian_ramp
from semivox.methods.declare import At, Batch, Term


@dataclass(frozen=True)
class CPSSettings(StudentTeacherSettings):
    paper_steps: int = 30000
    """Steps of the benchmark's run; constants counted in steps scale with the run's length by it. [code]"""
    cross: float = 0.1
    """Weight of the cross supervision at the end of its warm-up; 0 drops both terms. [code]"""


class CPS(StudentTeacher):
    Settings = CPSSettings
    settings: CPSSettings
    predictor: ClassVar[tuple[str, ...]] = ("teacher", "second_teacher")
    paper: ClassVar[Mapping[str, Any]] = BENCHMARK_SGD
    students: ClassVar[tuple[str, ...]] = ("student", "second")
    averages: ClassVar[Mapping[str, str]] = {"student": "teacher", "second": "second_teacher"}
    second: nn.Module

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        labeled, unlabeled = batch["labeled"], batch["unlabeled"]
        x = torch.cat([labeled.views["weak"], unlabeled.views["weak"]])  # (B, C, X, Y[, Z])
        n_l = len(labeled.valid)
        logits_1 = self.student(x, drop=at.rng("dropout/student")).logits
        logits_2 = self.second(x, drop=at.rng("dropout/second")).logits

        terms = {}
        for name, logits in (("segmentation", logits_1), ("segmentation_second", logits_2)):
            loss = segmentation_loss(logits[:n_l], labeled.labels, labeled.valid, labeled.annotated)
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
