"""SimCVD (You, Zhou, Zhao, Staib, Duncan; IEEE TMI 2022, arXiv 2108.06227).

    L = L_seg + alpha L_sdm  (labelled)  +  w(t) (lambda L_contrast + beta L_pd + gamma L_con)  (unlabelled)

* L_sdm: mean squared error of the predicted signed distance map.
* L_contrast, boundary-aware: x + sdm of student and teacher, cut into slices, each projected to a vector h;
  -log exp(h_t.h_s/tau) / sum over all slices of the batch exp(h_t.h_s'/tau).
* L_pd, pairwise distillation: every position of the student's encoding (the bottleneck after dropout) finds
  its own among the teacher's (cosine similarity, temperature 1).
* L_con: student(x + noise) and teacher(x + noise') agree in mean squared error of their softmax.

The two views of an unlabelled scan are two independent dropout masks, one in each network; the teacher is the
exponential moving average of the student, the projection head included. w(t) is a Gaussian warm-up.

Where the paper is silent, or we differ: slices run along the last (coarsest) axis, and in 2D the image is the
slice (then at least 8 unlabelled images a step give the negatives); the projection head is two strided
convolutions and two linear layers to 128 dimensions; noise is N(0, 0.1^2) clipped at 0.2; distance targets
are Euclidean on the augmented label with a margin, not rescaled crop by crop; one fused plane for each
foreground class, and the head sees them together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from semivox.batches.perturb import inpaint, local_shuffle
from semivox.losses import (
    boundary_aware_map,
    clipped_noise,
    pairwise_distillation,
    sdm_loss,
    segmentation_loss,
    slice_contrast,
    slice_places,
    softmax_mse,
    to_slices,
)
from semivox.methods.conventions import PUBLISHED_SGD, gaussian_ramp, labeled_and_unlabeled
from semivox.methods.declare import At, Batch, Facts, Method, Pair, Player, Stage, Term
from semivox.networks import Output, SliceProjection
from semivox.randomness import BatchKey


@dataclass(frozen=True)
class SimCVDSettings:
    paper_steps: int = 6000
    """Steps of the paper's run; constants counted in steps scale with the run's length by it. [notes]"""
    distance: float = 0.1
    """alpha: weight of the signed-distance regression on labelled crops; 0 drops it. [notes]"""
    contrast: float = 0.5
    """lambda: weight of the boundary-aware slice contrast; 0 drops it. [notes]"""
    distillation: float = 0.1
    """beta: weight of the pairwise distillation; 0 drops it. [notes]"""
    consistency: float = 0.1
    """gamma: weight of the noise consistency; 0 drops it (and its two forwards). [notes]"""
    temperature: float = 0.5
    """tau of the slice contrast. [notes]"""
    use_sdm_in_contrast: bool = True
    """Fuse the image with the distance map; off: with the foreground probabilities of the logits. [notes]"""
    projection: bool = True
    """Contrast projected slices; off: the pooled slices themselves. [notes]"""
    exclude_window: int = 0
    """Slices of the same scan within this distance are no negatives; 0: all are. [notes]"""
    view: Literal["dropout", "inpaint", "local_shuffle", "none"] = "dropout"
    """What makes student and teacher see differently: independent dropout masks, or a change of the teacher's
    image. [notes]"""
    dropout: float = 0.5
    """Share of channels dropped at the network's dropout places. [notes]"""
    ema_decay: float = 0.999
    """Decay of the teacher (at paper_steps). [notes]"""
    noise_sigma: float = 0.1
    """Standard deviation of the consistency noise, in units of the normalised image. [field]"""
    noise_bound: float = 0.2
    """The noise is clipped at plus and minus this. [field]"""


class SimCVD(Method):
    """Boundary-aware slice contrast and structural distillation between student and teacher."""

    Settings = SimCVDSettings
    paper: ClassVar[Mapping[str, Any]] = {
        **PUBLISHED_SGD,
        "optimizer.weight_decay": 5e-4,
        "optimizer.milestones": (0.5,),
    }

    def __init__(self, facts: Facts, settings: SimCVDSettings) -> None:
        super().__init__()
        self.settings = settings
        self.student = facts.network("student", sdm=True, dropout=settings.dropout)
        self.teacher = facts.network("student", sdm=True, dropout=settings.dropout)
        planes = facts.classes - 1
        key = facts.key / "network" / "projection"
        self.projection = SliceProjection(planes, key=key)
        self.teacher_projection = SliceProjection(planes, key=key)

    def stages(self, facts: Facts) -> Sequence[Stage]:
        decay = self.settings.ema_decay
        streams = labeled_and_unlabeled(facts, sdm=True)
        if facts.dims == 2:  # the image is the slice: enough of them for negatives
            n_u = max(facts.batch[1], 8)
            streams["unlabeled"] = replace(streams["unlabeled"], size=n_u)
        return [
            Stage(
                "train",
                streams=streams,
                players=(Player("segmenter", ("student", "projection")),),
                pairs=(
                    Pair("student", "teacher", decay),
                    Pair("projection", "teacher_projection", decay),
                ),
            )
        ]

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        s, ramp = self.settings, gaussian_ramp(at.progress)
        labeled, unlabeled = batch["labeled"], batch["unlabeled"]
        assert labeled.target is not None
        assert labeled.sdm is not None
        x_l, x_u = labeled.views["weak"], unlabeled.views["weak"]  # (B, C, X, Y[, Z])
        n_l = len(x_l)

        student: Output = self.student(torch.cat([x_l, x_u]), drop=self._dropout(at, "student"))
        logits_l, logits_u = student.logits[:n_l], student.logits[n_l:]
        sdm_l, sdm_u = _split(student.sdm, n_l)
        terms = {
            "segmentation": Term(
                segmentation_loss(logits_l, labeled.target, labeled.valid, labeled.annotated)
            )
        }
        if s.distance:
            error = sdm_loss(sdm_l, labeled.sdm, labeled.valid, labeled.annotated)
            terms["distance"] = Term(error, s.distance)

        if s.contrast or s.distillation:
            with torch.no_grad():
                x_t = self._second_view(x_u, at.rng("view/teacher"))
                teacher: Output = self.teacher(x_t, drop=self._dropout(at, "teacher"), norm="batch")
        if s.contrast:
            map_s = sdm_u if s.use_sdm_in_contrast else logits_u.softmax(1)[:, 1:]
            h_s = self._slice_vectors(x_u, map_s, self.projection)
            with torch.no_grad():
                _, sdm_t = _split(teacher.sdm, 0)
                map_t = sdm_t if s.use_sdm_in_contrast else teacher.logits.softmax(1)[:, 1:]
                h_t = self._slice_vectors(x_t, map_t, self.teacher_projection)
            volume, position = slice_places(len(x_u), len(h_s) // len(x_u), x_u.device)
            loss = slice_contrast(
                h_t,
                h_s,
                temperature=s.temperature,
                exclude_window=s.exclude_window,
                volume=volume,
                position=position,
            )
            terms["contrast"] = Term(loss, s.contrast * ramp)
        if s.distillation:
            loss = pairwise_distillation(
                student.features["bottleneck_dropped"][n_l:], teacher.features["bottleneck_dropped"]
            )
            terms["distillation"] = Term(loss, s.distillation * ramp)
        if s.consistency:
            terms["consistency"] = Term(self._consistency(x_u, unlabeled.valid, at), s.consistency * ramp)
        return terms

    def _consistency(self, x_u: Tensor, valid: Tensor, at: At) -> Tensor:
        s = self.settings
        noisy_s = x_u + clipped_noise(at.rng("noise/student"), x_u, s.noise_sigma, s.noise_bound)
        noisy_t = x_u + clipped_noise(at.rng("noise/teacher"), x_u, s.noise_sigma, s.noise_bound)
        logits_s = self.student(noisy_s, drop=self._dropout(at, "student/noisy"), norm="batch").logits
        with torch.no_grad():
            logits_t = self.teacher(noisy_t, drop=self._dropout(at, "teacher/noisy"), norm="batch").logits
        return softmax_mse(logits_s, logits_t, valid)

    def _dropout(self, at: At, name: str) -> BatchKey | None:
        return at.rng(f"dropout/{name}") if self.settings.view == "dropout" else None

    def _second_view(self, x_u: Tensor, key: BatchKey) -> Tensor:
        if self.settings.view == "inpaint":
            return inpaint(x_u, key)
        if self.settings.view == "local_shuffle":
            return local_shuffle(x_u, key)
        return x_u

    def _slice_vectors(self, x: Tensor, plane_map: Tensor, projection: SliceProjection) -> Tensor:
        slices = to_slices(boundary_aware_map(x, plane_map))  # (B Z, K-1, X, Y)
        if self.settings.projection:
            vectors: Tensor = projection(slices)
            return vectors
        return projection.pool(slices).flatten(1)


def _split(sdm: Tensor | None, n_l: int) -> tuple[Tensor, Tensor]:
    assert sdm is not None
    return sdm[:n_l], sdm[n_l:]
