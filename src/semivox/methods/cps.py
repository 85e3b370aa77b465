"""CPS, cross pseudo supervision.

Idea: two networks are each other's teachers, by hard pseudo-labels
Paper: Chen, Yuan, Zeng, Wang; CVPR 2021; arXiv 2106.01226
Basis: benchmark code

    L = L_seg(f_1) + L_seg(f_2)  (labelled)
        + w [ CE(f_1(m), M argmax f_2(x_u)) + CE(f_2(m), M argmax f_1(x_u)) ],   m = M x_u

Two networks that differ only in their first weights teach each other on unlabelled scans. M is CutMix (Yun et
al., ICCV 2019): a box of one crop is pasted into another, image and pseudo-label alike, so that a student
sees what its teacher did not. w is the paper's 1.5; the medical benchmarks' code (preset ``ssl4mis``) has no
M, and 0.1 with a Gaussian warm-up over the run.

Differs from published code: under the common recipe the mean of both networks' averaged weights predicts,
under the paper's the first network; voxels outside the scan do not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from semivox.batches import boxes, pasted
from semivox.losses import cross_entropy, segmentation_loss
from semivox.methods.conventions import BENCHMARK_SGD, StudentTeacher, StudentTeacherSettings, gaussian_ramp
from semivox.methods.declare import At, Batch, Term
from semivox.ranges import Share, Steps, Weight


@dataclass(frozen=True)
class CPSSettings(StudentTeacherSettings):
    paper_steps: Steps = 30000
    """Steps of the benchmark's run; constants counted in steps scale with the run's length by it. [code]"""
    cross: Weight = 1.5
    """Weight of the cross supervision; 0 drops both terms. [paper]"""
    cutmix: bool = True
    """Students see crops with a box of another one, their teachers each crop by itself. [paper]"""
    box: Share = 0.5
    """Side of that box as a share of the crop's. [ours]"""
    ramped: bool = False
    """The weight rises by the Gaussian warm-up over the run. [code]"""


class CPS(StudentTeacher):
    Settings = CPSSettings
    settings: CPSSettings
    predictor: ClassVar[tuple[str, ...]] = ("teacher", "second_teacher")
    paper: ClassVar[Mapping[str, Any]] = BENCHMARK_SGD
    students: ClassVar[tuple[str, ...]] = ("student", "second")
    averages: ClassVar[Mapping[str, str]] = {"student": "teacher", "second": "second_teacher"}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {},
        "ssl4mis": {"cross": 0.1, "cutmix": False, "ramped": True},
    }
    second: nn.Module

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        s, labeled, unlabeled = self.settings, batch["labeled"], batch["unlabeled"]
        n_l, x_u, valid = len(labeled.valid), unlabeled.views["weak"], unlabeled.valid
        taught: list[Tensor] = []
        if s.cutmix:
            with torch.no_grad():
                for name in self.students if s.cross else ():
                    whole = getattr(self, name)(x_u, drop=at.rng(f"dropout/{name}/whole"), norm="batch")
                    taught.append(whole.logits)
            inside = boxes(x_u, at.rng("box"), s.box)
            x_u, valid, *taught = (pasted(t, t.roll(1, 0), inside) for t in (x_u, valid, *taught))
        x = torch.cat([labeled.views["weak"], x_u])  # (B, C, X, Y[, Z])
        logits_1 = self.student(x, drop=at.rng("dropout/student")).logits
        logits_2 = self.second(x, drop=at.rng("dropout/second")).logits

        terms = {}
        for name, logits in (("segmentation", logits_1), ("segmentation_second", logits_2)):
            loss = segmentation_loss(logits[:n_l], *labeled.supervision)
            terms[name] = Term(loss)
        if s.cross:
            weight = s.cross * (gaussian_ramp(at.progress) if s.ramped else 1.0)
            by_1, by_2 = taught or (logits_1[n_l:], logits_2[n_l:])
            terms["cross"] = Term(_taught(logits_1[n_l:], by_2, valid), weight)
            terms["cross_second"] = Term(_taught(logits_2[n_l:], by_1, valid), weight)
        return terms


def _taught(logits: Tensor, teacher_logits: Tensor, valid: Tensor) -> Tensor:
    """Cross-entropy of ``logits`` against the teacher's hard pseudo-labels, which tell of every class."""
    pseudo_label = torch.zeros_like(teacher_logits).scatter_(1, teacher_logits.argmax(1, keepdim=True), 1)
    everything = valid.new_ones(len(logits), logits.shape[1] - 1)
    return cross_entropy(logits, pseudo_label[:, 1:], valid, everything)
