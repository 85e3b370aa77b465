"""URPC, uncertainty-rectified pyramid consistency (Luo et al., MedIA 2022, arXiv 2012.07042).

    L = mean over scales of L_seg (labelled) + w(t) L_pyramid (unlabelled)

One network predicts at several scales of its decoder, each brought to full size. On unlabelled scans every
scale agrees with the mean of all, less where it is far from it (see `losses.uncertainty`). No teacher; w(t)
is 0.1 with a Gaussian warm-up over the run.

Differs from published code: the published learning rate of 0.1 belongs to the paper recipe only; averaged
weights predict under the common recipe, at the finest scale; voxels outside the scan do not count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from semivox.losses import pyramid_consistency, segmentation_loss
from semivox.methods.declare import At, Batch, Facts, Method, Stage, Term
from semivox.methods.protocol import BENCHMARK_SGD, gaussian_ramp, labeled_and_unlabeled, student_and_teacher
from semivox.networks import Output


@dataclass(frozen=True)
class URPCSettings:
    paper_steps: int = 60000
    """Steps of the benchmark's run; constants counted in steps scale with the run's length by it. [code]"""
    consistency: float = 0.1
    """Weight of the pyramid consistency at the end of its warm-up; 0 drops the term. [code]"""
    ema_decay: float = 0.99
    """Decay of the averaged weights that predict (at paper_steps). [ours]"""
    dropout: float = 0.5
    """Share of channels dropped at the network's dropout places. [field]"""


class URPC(Method):
    """Decoder scales agree with their mean."""

    Settings = URPCSettings
    paper: ClassVar[Mapping[str, Any]] = {**BENCHMARK_SGD, "optimizer.lr": 0.1}

    def __init__(self, facts: Facts, settings: URPCSettings) -> None:
        super().__init__()
        self.settings = settings
        self.student = facts.network("student", scales=True, dropout=settings.dropout)
        self.teacher = facts.network("student", scales=True, dropout=settings.dropout)

    def stages(self, facts: Facts) -> Sequence[Stage]:
        return student_and_teacher(labeled_and_unlabeled(facts), self.settings.ema_decay)

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        labeled, unlabeled = batch["labeled"], batch["unlabeled"]
        target = labeled.target
        assert target is not None
        x = torch.cat([labeled.views["weak"], unlabeled.views["weak"]])  # (B, C, X, Y[, Z])
        n_l = len(target)
        scales = _full_size(self.student(x, drop=at.rng("dropout/student")))

        losses = [segmentation_loss(s[:n_l], target, labeled.valid, labeled.annotated) for s in scales]
        terms = {"segmentation": Term(torch.stack(losses).mean())}
        if self.settings.consistency:
            loss = pyramid_consistency([s[n_l:] for s in scales], unlabeled.valid)
            terms["consistency"] = Term(loss, self.settings.consistency * gaussian_ramp(at.progress))
        return terms


def _full_size(output: Output) -> list[Tensor]:
    """The logits of all scales at full size, the finest first."""
    size = output.logits.shape[2:]
    mode = "trilinear" if len(size) == 3 else "bilinear"
    return [output.logits, *(functional.interpolate(s, size=size, mode=mode) for s in output.scales)]
