"""Mean Teacher (Tarvainen & Valpola, NeurIPS 2017), as the field's 3D benchmarks use it.

    L = L_seg(labelled) + w(t) MSE(softmax student(x_u), softmax teacher(x_u + noise))

The teacher is the exponential moving average of the student; noise is N(0, 0.1^2) clipped at 0.2; w(t) is
0.1 with a Gaussian warm-up over the run. Labelled and unlabelled crops share the student's one forward.

Differs from published code: the teacher's BatchNorm statistics are averaged like its weights (there they
drift apart in train mode), and nothing of the consistency reaches voxels outside the scan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from semivox.losses import clipped_noise, segmentation_loss, softmax_mse
from semivox.methods.declare import At, Batch, Facts, Method, Stage, Term
from semivox.methods.protocol import PUBLISHED_SGD, gaussian_ramp, labeled_and_unlabeled, student_and_teacher


@dataclass(frozen=True)
class MeanTeacherSettings:
    paper_steps: int = 6000
    """Steps of a published run; constants counted in steps scale with the run's length by it. [field]"""
    consistency: float = 0.1
    """Weight of the consistency term at the end of its warm-up; 0 drops the term. [code]"""
    ema_decay: float = 0.99
    """Decay of the teacher (at paper_steps). [code]"""
    noise_sigma: float = 0.1
    """Standard deviation of the noise on the teacher's input, in units of the normalised image. [code]"""
    noise_bound: float = 0.2
    """The noise is clipped at plus and minus this. [code]"""
    dropout: float = 0.5
    """Share of channels dropped at the network's dropout places, in student and teacher. [field]"""


class MeanTeacher(Method):
    """Student and EMA teacher agree on unlabelled crops."""

    Settings = MeanTeacherSettings
    paper: ClassVar[Mapping[str, Any]] = PUBLISHED_SGD

    def __init__(self, facts: Facts, settings: MeanTeacherSettings) -> None:
        super().__init__()
        self.settings = settings
        self.student = facts.network("student", dropout=settings.dropout)
        self.teacher = facts.network("student", dropout=settings.dropout)

    def stages(self, facts: Facts) -> Sequence[Stage]:
        return student_and_teacher(labeled_and_unlabeled(facts), self.settings.ema_decay)

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        s = self.settings
        labeled, unlabeled = batch["labeled"], batch["unlabeled"]
        assert labeled.target is not None
        x_l, x_u = labeled.views["weak"], unlabeled.views["weak"]  # (B, C, X, Y[, Z])
        n_l = len(x_l)

        logits_s = self.student(torch.cat([x_l, x_u]), drop=at.rng("dropout/student")).logits
        segmentation = segmentation_loss(logits_s[:n_l], labeled.target, labeled.valid, labeled.annotated)
        terms = {"segmentation": Term(segmentation)}
        if s.consistency:
            with torch.no_grad():
                noisy = x_u + clipped_noise(at.rng("noise/teacher"), x_u, s.noise_sigma, s.noise_bound)
                logits_t = self.teacher(noisy, drop=at.rng("dropout/teacher"), norm="batch").logits
            agreement = softmax_mse(logits_s[n_l:], logits_t, unlabeled.valid)
            terms["consistency"] = Term(agreement, s.consistency * gaussian_ramp(at.progress))
        return terms
