"""UA-MT (Yu, Wang, Li, Fu, Heng; MICCAI 2019, arXiv 1907.07034): a mean teacher, heard where it is sure.

    L = L_seg(labelled) + w(t) sum_v [u_v < H(t)] |p_s - p_t|^2 / (K sum_v [u_v < H(t)])

u is the entropy of the teacher's mean softmax over T = 8 passes, each with its own dropout and input noise;
the threshold H(t) = (0.75 + 0.25 ramp(t)) ln K rises until it lets everything through. w(t) is 0.1 with a
Gaussian warm-up over the run.

Differs from published code: the teacher's BatchNorm statistics are averaged like its weights; new noise in
each of the T passes; the threshold is stated for K classes, and nothing outside the scan is compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from semivox.losses import clipped_noise, normalised_entropy, segmentation_loss, softmax_mse
from semivox.methods.declare import At, Batch, Facts, Method, Stage, Term
from semivox.methods.protocol import PUBLISHED_SGD, gaussian_ramp, labeled_and_unlabeled, student_and_teacher


@dataclass(frozen=True)
class UAMTSettings:
    paper_steps: int = 6000
    """Steps of the paper's run; constants counted in steps scale with the run's length by it. [code]"""
    consistency: float = 0.1
    """Weight of the consistency term at the end of its warm-up; 0 drops the term. [code]"""
    passes: int = 8
    """T: dropout passes of the teacher that measure its uncertainty; 0: no gate, a plain mean teacher. [code]
"""
    threshold: float = 0.75
    """Share of the largest entropy that counts as sure at the start; it rises to 1. [code]"""
    ema_decay: float = 0.99
    """Decay of the teacher (at paper_steps). [code]"""
    noise_sigma: float = 0.1
    """Standard deviation of the noise on the teacher's input, in units of the normalised image. [code]"""
    noise_bound: float = 0.2
    """The noise is clipped at plus and minus this. [code]"""
    dropout: float = 0.5
    """Share of channels dropped at the network's dropout places, in student and teacher. [code]"""


class UAMT(Method):
    """Student and EMA teacher agree where the teacher is sure."""

    Settings = UAMTSettings
    paper: ClassVar[Mapping[str, Any]] = PUBLISHED_SGD

    def __init__(self, facts: Facts, settings: UAMTSettings) -> None:
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
                logits_t = self._teach(x_u, at, "target")
                sure = self._sure(x_u, at) * unlabeled.valid
            agreement = softmax_mse(logits_s[n_l:], logits_t, sure)
            terms["consistency"] = Term(agreement, s.consistency * gaussian_ramp(at.progress))
        return terms

    def _sure(self, x_u: Tensor, at: At) -> Tensor:
        """(B, 1, ...) 1 where the entropy of the mean over T passes is below the threshold."""
        s = self.settings
        if s.passes == 0:
            return torch.ones_like(x_u[:, :1])
        mean = sum(self._teach(x_u, at, f"pass {i}").softmax(1) for i in range(s.passes)) / s.passes
        limit = s.threshold + (1 - s.threshold) * gaussian_ramp(at.progress)
        return (normalised_entropy(torch.as_tensor(mean)) < limit).to(x_u)

    def _teach(self, x_u: Tensor, at: At, name: str) -> Tensor:
        s = self.settings
        noisy = x_u + clipped_noise(at.rng(f"noise/{name}"), x_u, s.noise_sigma, s.noise_bound)
        logits: Tensor = self.teacher(noisy, drop=at.rng(f"dropout/{name}"), norm="batch").logits
        return logits
