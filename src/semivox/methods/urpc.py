"""URPC, uncertainty-rectified pyramid consistency.

Idea: predictions of several decoder scales agree with their mean
Paper: Luo, Wang, Liao, Chen, Song, Chen, Zhang, Metaxas, Zhang; MedIA 2022; arXiv 2012.07042
Basis: benchmark code

    L = mean over scales of L_seg (labelled) + w(t) L_pyramid (unlabelled)

One network predicts at several scales of its decoder, each brought to full size. On unlabelled scans every
scale agrees with the mean of all, less where it is far from it (see `losses.uncertainty`). No teacher; w(t)
is 0.1 with a Gaussian warm-up over the run.

Differs from published code: the published learning rate of 0.1 belongs to the paper recipe only; averaged
weights predict under the common recipe, at the finest scale; voxels outside the scan do not count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from semivox.losses import pyramid_consistency, segmentation_loss
from semivox.methods.conventions import BENCHMARK_SGD, StudentTeacher, StudentTeacherSettings, gaussian_ramp
from semivox.methods.declare import At, Batch, Term
from semivox.ranges import Steps, Weight


@dataclass(frozen=True)
class URPCSettings(StudentTeacherSettings):
    paper_steps: Steps = 60000
    """Steps of the benchmark's run; constants counted in steps scale with the run's length by it. [code]"""
    consistency: Weight = 0.1
    """Weight of the pyramid consistency at the end of its warm-up; 0 drops the term. [code]"""


class URPC(StudentTeacher):
    Settings = URPCSettings
    settings: URPCSettings
    scales = True
    paper: ClassVar[Mapping[str, Any]] = {**BENCHMARK_SGD, "optimizer.lr": 0.1}

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        labeled, unlabeled = batch["labeled"], batch["unlabeled"]
        x = torch.cat([labeled.views["weak"], unlabeled.views["weak"]])  # (B, C, X, Y[, Z])
        n_l = len(labeled.labels)
        scales = self.student(x, drop=at.rng("dropout/student")).at_full_size()  # each (B, K, X, Y[, Z])

        losses = [segmentation_loss(s[:n_l], *labeled.supervision) for s in scales]
        terms = {"segmentation": Term(torch.stack(losses).mean())}
        if self.settings.consistency:
            loss = pyramid_consistency([s[n_l:] for s in scales], unlabeled.valid)
            terms["consistency"] = Term(loss, self.settings.consistency * gaussian_ramp(at.progress))
        return terms
