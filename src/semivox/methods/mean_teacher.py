"""Mean Teacher, as the field's 3D benchmarks use it.

Idea: student and its moving average agree on noisy unlabelled scans
Paper: Tarvainen, Valpola; NeurIPS 2017; arXiv 1703.01780
Basis: benchmark code

    L = L_seg(labelled) + w(t) MSE(softmax student(x_u), softmax teacher(x_u + noise))

The teacher is the exponential moving average of the student; noise is N(0, 0.1^2) clipped at 0.2; w(t) is
0.1 with a Gaussian warm-up over the run. Labelled and unlabelled crops share the student's one forward.

Differs from published code: the teacher's BatchNorm statistics are averaged like its weights (there they
drift apart in train mode), and nothing of the consistency reaches voxels outside the scan.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from semivox.losses import clipped_noise, segmentation_loss, softmax_mse
from semivox.methods.conventions import StudentTeacher, StudentTeacherSettings, gaussian_ramp
from semivox.methods.declare import At, Batch, Term
from semivox.ranges import NotAll, Weight


@dataclass(frozen=True)
class MeanTeacherSettings(StudentTeacherSettings):
    ema_decay: NotAll = 0.99
    """Decay of the teacher (at paper_steps). [code]"""
    consistency: Weight = 0.1
    """Weight of the consistency term at the end of its warm-up; 0 drops the term. [code]"""
    noise_sigma: Weight = 0.1
    """Standard deviation of the noise on the teacher's input, in units of the normalised image. [code]"""
    noise_bound: Weight = 0.2
    """The noise is clipped at plus and minus this. [code]"""


class MeanTeacher(StudentTeacher):
    Settings = MeanTeacherSettings
    settings: MeanTeacherSettings

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        s, labeled, unlabeled = self.settings, batch["labeled"], batch["unlabeled"]
        x_l, x_u = labeled.views["weak"], unlabeled.views["weak"]  # (B, C, X, Y[, Z])
        n_l = len(x_l)

        logits_s = self.student(torch.cat([x_l, x_u]), drop=at.rng("dropout/student")).logits
        loss = segmentation_loss(logits_s[:n_l], *labeled.supervision)
        terms = {"segmentation": Term(loss)}
        if s.consistency:
            loss = softmax_mse(logits_s[n_l:], self.teach(x_u, at, "teacher"), unlabeled.valid)
            terms["consistency"] = Term(loss, s.consistency * gaussian_ramp(at.progress))
        return terms

    @torch.no_grad()
    def teach(self, x_u: Tensor, at: At, name: str) -> Tensor:
        """The teacher's logits of noisy crops; ``name`` is that of the draws."""
        noise = clipped_noise(
            at.rng(f"noise/{name}"), x_u, self.settings.noise_sigma, self.settings.noise_bound
        )
        return self.teacher(x_u + noise, drop=at.rng(f"dropout/{name}"), norm="batch").logits
