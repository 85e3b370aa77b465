"""SimCVD, contrastive voxel-wise representation distillation.

Idea: boundary-aware contrast of slices and pairwise distillation between dropout views
Paper: You, Zhou, Zhao, Staib, Duncan; IEEE TMI 2022; arXiv 2108.06227
Basis: public notes, no code

    L = L_seg + alpha L_sdm  (labelled)  +  w(t) (lambda L_contrast + beta L_pd + gamma L_con)  (unlabelled)

* L_sdm: mean squared error of the predicted signed distance map.
* L_contrast, boundary-aware: x + sdm of student and teacher, cut into slices, each projected to a vector h;
  -log exp(h_t.h_s/tau) / sum over all slices of the batch exp(h_t.h_s'/tau).
* L_pd, pairwise distillation: every position of the student's encoding (the bottleneck after dropout) finds
  its own among the teacher's (cosine similarity, temperature 1).
* L_con: student(x + noise) and teacher(x + noise') agree in mean squared error of their softmax.

Two dropout masks make the two views of an unlabelled scan; the teacher, its projection too, is the student's
moving average; w(t) is a Gaussian warm-up.

Where the paper is silent, or we differ (docs/methods/simcvd.md says why):
* slices run along the last (coarsest) axis; in 2D the image is the slice, at least 8 unlabelled ones a step;
* the projection is two strided convolutions and two linear layers to 128; one plane a class, seen together;
* noise is N(0, 0.1^2) clipped at 0.2; distance targets are Euclidean with a margin, not rescaled by crop.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from semivox.batches import Stream, changed
from semivox.losses import (
    boundary_aware_slices,
    clipped_noise,
    crop_slice_contrast,
    pairwise_distillation,
    sdm_loss,
    segmentation_loss,
    softmax_mse,
)
from semivox.methods.conventions import PUBLISHED_SGD, StudentTeacher, StudentTeacherSettings, gaussian_ramp
from semivox.methods.declare import At, Batch, Facts, Term
from semivox.networks import SliceProjection
from semivox.randomness import BatchKey
from semivox.ranges import Amount, CountOrNone, NotAll, Steps, Weight


@dataclass(frozen=True)
class SimCVDSettings(StudentTeacherSettings):
    paper_steps: Steps = 6000
    """Steps of the paper's run; constants counted in steps scale with the run's length by it. [notes]"""
    distance: Weight = 0.1
    """alpha: weight of the signed-distance regression on labelled crops; 0 drops it. [notes]"""
    contrast: Weight = 0.5
    """lambda: weight of the boundary-aware slice contrast; 0 drops it. [notes]"""
    distillation: Weight = 0.1
    """beta: weight of the pairwise distillation; 0 drops it. [notes]"""
    consistency: Weight = 0.1
    """gamma: weight of the noise consistency; 0 drops it (and its two forwards). [notes]"""
    temperature: Amount = 0.5
    """tau of the slice contrast. [notes]"""
    use_sdm_in_contrast: bool = True
    """Fuse the image with the distance map; off: with the foreground probabilities of the logits. [notes]"""
    projection: bool = True
    """Contrast projected slices; off: the pooled slices themselves. [notes]"""
    exclude_window: CountOrNone = 0
    """Slices of the same scan within this distance are no negatives; 0: all are. [notes]"""
    view: Literal["dropout", "intensity", "inpaint", "local_shuffle", "none"] = "dropout"
    """What makes the teacher see differently: a dropout mask of its own, or a change of its image (intensity:
    another draw of the mild changes, which is ours, as the image alone solves the contrast). [notes]"""
    dropout: NotAll = 0.5
    """Share of channels dropped at the network's dropout places. [notes]"""
    ema_decay: NotAll = 0.999
    """Decay of the teacher (at paper_steps). [notes]"""
    noise_sigma: Weight = 0.1
    """Standard deviation of the consistency noise, in units of the normalised image. [field]"""
    noise_bound: Weight = 0.2
    """The noise is clipped at plus and minus this. [field]"""


class SimCVD(StudentTeacher):
    Settings = SimCVDSettings
    settings: SimCVDSettings
    paper: ClassVar[Mapping[str, Any]] = {
        **PUBLISHED_SGD,
        "optimizer.weight_decay": 5e-4,
        "optimizer.milestones": (0.5,),
    }
    sdm = True
    averages: ClassVar[Mapping[str, str]] = {"student": "teacher", "projection": "teacher_projection"}

    def __init__(self, facts: Facts, settings: SimCVDSettings) -> None:
        super().__init__(facts, settings)
        planes, key = facts.classes - 1, facts.key / "network" / "projection"
        self.projection, self.teacher_projection = (SliceProjection(planes, key=key) for _ in range(2))

    def streams(self, facts: Facts) -> dict[str, Stream]:
        streams = super().streams(facts)
        size = facts.batch[1] if facts.dims == 3 else max(facts.batch[1], 8)  # 2D: the image is the slice
        views = ("weak", "intensity") if self.settings.view == "intensity" else ("weak",)
        streams["unlabeled"] = replace(streams["unlabeled"], size=size, views=views)
        return streams

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        s, labeled, unlabeled = self.settings, batch["labeled"], batch["unlabeled"]
        x_l, x_u = labeled.views["weak"], unlabeled.views["weak"]  # (B, C, X, Y[, Z])
        n_l, ramp = len(x_l), gaussian_ramp(at.progress)
        student = self.student(torch.cat([x_l, x_u]), drop=self._dropout(at, "student"))
        known = labeled.valid, labeled.annotated
        terms = {"segmentation": Term(segmentation_loss(student.logits[:n_l], *labeled.supervision))}
        if s.distance:
            terms["distance"] = Term(sdm_loss(student.sdm[:n_l], labeled.distances, *known), s.distance)

        if s.contrast or s.distillation:
            with torch.no_grad():
                x_t = changed(unlabeled.views.get("intensity", x_u), s.view, at.rng("view/teacher"))
                teacher = self.teacher(x_t, drop=self._dropout(at, "teacher"), norm="batch")
        if s.contrast:
            h_s = self._slice_vectors(x_u, student.logits[n_l:], student.sdm[n_l:], self.projection)
            with torch.no_grad():
                h_t = self._slice_vectors(x_t, teacher.logits, teacher.sdm, self.teacher_projection)
            loss = crop_slice_contrast(h_t, h_s, len(x_u), s.temperature, s.exclude_window)
            terms["contrast"] = Term(loss, s.contrast * ramp)
        if s.distillation:
            v_s, v_t = (output.features["bottleneck_dropped"] for output in (student, teacher))
            terms["distillation"] = Term(pairwise_distillation(v_s[n_l:], v_t), s.distillation * ramp)
        if s.consistency:
            logits_s = self._noisy(self.student, x_u, at, "student")
            with torch.no_grad():
                logits_t = self._noisy(self.teacher, x_u, at, "teacher")
            loss = softmax_mse(logits_s, logits_t, unlabeled.valid)
            terms["consistency"] = Term(loss, s.consistency * ramp)
        return terms

    def _slice_vectors(self, x: Tensor, logits: Tensor, sdm: Tensor, projection: SliceProjection) -> Tensor:
        """(slices of all crops, D): image and distance map, slice by slice, projected."""
        planes = sdm if self.settings.use_sdm_in_contrast else logits.softmax(1)[:, 1:]
        slices = boundary_aware_slices(x, planes)  # (B Z, K-1, X, Y)
        return projection(slices) if self.settings.projection else projection.pool(slices).flatten(1)

    def _noisy(self, network: nn.Module, x: Tensor, at: At, name: str) -> Tensor:
        s = self.settings
        noise = clipped_noise(at.rng(f"noise/{name}"), x, s.noise_sigma, s.noise_bound)
        return network(x + noise, drop=self._dropout(at, f"{name}/noisy"), norm="batch").logits

    def _dropout(self, at: At, name: str) -> BatchKey | None:
        return at.rng(f"dropout/{name}") if self.settings.view == "dropout" else None
