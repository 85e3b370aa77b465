"""CVRL, momentum contrastive voxel-wise representation learning.

Idea: features of a voxel match the teacher's of that voxel and scan; boundaries attract
Paper: You, Zhao, Staib, Duncan; arXiv 2021; arXiv 2105.07059 v1
Paper: You, Zhao, Staib, Duncan; MICCAI 2022; arXiv 2105.07059
Basis: abstracts, rest ours

Two papers have this name: the preprint of 2021 (preset ``v1``, the default) and MICCAI 2022 (``miccai``).

    v1      L = L_seg + mu L_elastic(labelled)
                + w(t) (l_g L_volume + l_l L_voxel + mu_u L_elastic(unlabelled))
    miccai  L = L_seg + w(t) (sum over levels of (l L_voxel + l_d L_dimension) + beta L_con)

* L_volume: a voxel of the student finds the teacher's summary g+ of its own crop among those of other cases,
  -log exp(z.g+/tau) / (exp(z.g+/tau) + sum over n of exp(z.g_n/tau)), with g_n from this batch and a queue.
* L_voxel: a voxel of the student finds itself in the teacher, among other places of the batch. One level in
  v1 (decoder), two in miccai (``high``: decoder, ``low``: bottleneck).
* L_dimension: the same game between the columns of the embedding instead of its rows.
* L_elastic: the elastic interaction energy of predicted and true (unlabelled: the teacher's soft) boundary.
* L_con: mean squared error of the softmax of student and teacher.

The teacher is the moving average of the student, heads included. w(t) is a Gaussian warm-up.

Which terms there are is the papers'; no code was published and only abstracts were read, so formulas are the
usual ones and constants from memory or ours (docs/methods/cvrl.md). Ours alone:
* a head for each of volume, high and low; the summary passes the head of its voxels, so that it learns;
* the teacher sees another draw of the mild intensity changes, in the same place and pose;
* places lie where the crop is valid, spread evenly; other crops of the same case are no negatives;
* elastic weights of 50, because |k| is in cycles per mm: about a tenth of the segmentation's gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from semivox.batches import Crops, Stream
from semivox.losses import (
    ElasticDims,
    dimension_contrast,
    elastic_energy,
    mean_feature,
    same_voxel_contrast,
    segmentation_loss,
    softmax_mse,
    valid_positions,
    vectors_at,
    volume_contrast,
)
from semivox.methods.conventions import StudentTeacher, StudentTeacherSettings, gaussian_ramp
from semivox.methods.declare import At, Batch, Facts, Term
from semivox.networks import Output, Queue, vector_projections
from semivox.ranges import Amount, Compared, NotAll, Remembered, Steps, Weight

TAPS = {"volume": "decoder", "high": "decoder", "low": "bottleneck_dropped"}
OUTPUTS = 128
Losses = Iterator[tuple[str, Tensor]]


@dataclass(frozen=True)
class CVRLSettings(StudentTeacherSettings):
    paper_steps: Steps = 6000
    """Steps of a published run; constants counted in steps scale with the run's length by it. [memory]"""
    volume: Weight = 0.1
    """Weight of the voxel-to-volume contrast; 0 drops it and the queue stays empty. [memory]"""
    voxel_high: Weight = 0.1
    """Weight of the voxel-to-voxel contrast of decoder features; 0 drops it. [memory]"""
    voxel_low: Weight = 0.0
    """Weight of the voxel-to-voxel contrast of bottleneck features (miccai: 0.1); 0 drops it. [memory]"""
    dimension_high: Weight = 0.0
    """Weight of the contrast of dimensions of decoder embeddings (miccai: 0.1); 0 drops it. [memory]"""
    dimension_low: Weight = 0.0
    """Weight of the contrast of dimensions of bottleneck embeddings (miccai: 0.1); 0 drops it. [memory]"""
    elastic: Weight = 50.0
    """Weight of the elastic energy between prediction and label (miccai: 0); 0 drops it. [ours]"""
    elastic_unlabeled: Weight = 50.0
    """Weight of the elastic energy between student and teacher, unlabelled (miccai: 0); 0 drops it. [ours]"""
    consistency: Weight = 0.0
    """Weight of the mean squared error between student and teacher (miccai: 0.1); 0 drops it. [memory]"""
    temperature: Amount = 0.5
    """tau of every contrast. [memory]"""
    queue: Remembered = 256
    """Crop summaries remembered for the voxel-to-volume contrast; at least one batch is. [memory]"""
    voxels: Compared = 256
    """Places sampled in each crop, at each level. [ours]"""
    view: Literal["intensity", "dropout"] = "intensity"
    """How the teacher's view differs: other intensity changes and no dropout, or a dropout mask. [ours]"""
    momentum: bool = True
    """Keys, summaries, soft labels are the teacher's; off: the student's, without gradient. [abstract]"""
    elastic_alpha: Weight = 1.0
    """alpha of the elastic energy; only with 1 a prediction equal to the label is its minimum. [ours]"""
    elastic_dims: ElasticDims = "slice"
    """Elastic energy of each slice along the last axis, or of the volume; in 2D they are the same. [ours]"""
    ema_decay: NotAll = 0.99
    """Decay of the teacher (at paper_steps). [memory]"""
    dropout: NotAll = 0.5
    """Share of channels dropped at the network's dropout places, in the student. [field]"""


class CVRL(StudentTeacher):
    Settings = CVRLSettings
    settings: CVRLSettings
    averages: ClassVar[Mapping[str, str]] = {"student": "teacher", "heads": "teacher_heads"}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "v1": {},
        "miccai": {
            **dict.fromkeys(("volume", "elastic", "elastic_unlabeled"), 0.0),
            **dict.fromkeys(("voxel_low", "dimension_high", "dimension_low", "consistency"), 0.1),
        },
    }

    def __init__(self, facts: Facts, settings: CVRLSettings) -> None:
        super().__init__(facts, settings)
        s, key = settings, facts.key / "network" / "head"
        high, low = s.voxel_high or s.dimension_high, s.voxel_low or s.dimension_low
        weights = {"volume": s.volume, "high": high, "low": low}
        taps = {level: TAPS[level] for level, weight in weights.items() if weight}
        self.heads = vector_projections(self.student, taps, key, OUTPUTS)
        self.teacher_heads = vector_projections(self.student, taps, key, OUTPUTS)
        self.queue = Queue(max(s.queue, facts.batch[1]), OUTPUTS)
        alpha, dims = s.elastic_alpha, s.elastic_dims
        self.energy = partial(elastic_energy, spacing=facts.plan.spacing, alpha=alpha, dims=dims)

    def streams(self, facts: Facts) -> dict[str, Stream]:
        streams = super().streams(facts)
        if self.settings.view == "intensity":
            streams["unlabeled"] = replace(streams["unlabeled"], views=("weak", "intensity"))
        return streams

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        s, labeled, unlabeled = self.settings, batch["labeled"], batch["unlabeled"]
        x_l, x_u = labeled.views["weak"], unlabeled.views["weak"]  # (B, C, X, Y[, Z])
        n_l, ramp, y_l = len(x_l), gaussian_ramp(at.progress), labeled.labels

        student: Output = self.student(torch.cat([x_l, x_u]), drop=at.rng("dropout/student"))
        logits_l, logits_u = student.logits[:n_l], student.logits[n_l:]
        terms = {"segmentation": Term(segmentation_loss(logits_l, *labeled.supervision))}
        if s.elastic:
            probs, known = logits_l.softmax(1)[:, 1:], labeled.annotated
            loss = self.energy(probs, y_l, valid=labeled.valid, annotated=known)
            terms["elastic"] = Term(loss, s.elastic)
        if not (self.heads or s.elastic_unlabeled or s.consistency):
            return terms

        teacher = self._look(unlabeled, at)
        if s.elastic_unlabeled:
            probs_s, probs_t = (logits.softmax(1)[:, 1:] for logits in (logits_u, teacher.logits))
            loss = self.energy(probs_s, probs_t, valid=unlabeled.valid)  # a soft pseudo-label
            terms["elastic_unlabeled"] = Term(loss, s.elastic_unlabeled * ramp)
        if s.consistency:
            loss = softmax_mse(logits_u, teacher.logits, unlabeled.valid)
            terms["consistency"] = Term(loss, s.consistency * ramp)
        for name, loss in self._contrasts(student, teacher, unlabeled, at):
            terms[name] = Term(loss, getattr(s, name) * ramp)
        return terms

    @torch.no_grad()
    def _look(self, unlabeled: Crops, at: At) -> Output:
        """The teacher's output on its view of the unlabelled crops."""
        drop = at.rng("dropout/teacher") if self.settings.view == "dropout" else None
        x_t = unlabeled.views["intensity" if self.settings.view == "intensity" else "weak"]
        return (self.teacher if self.settings.momentum else self.student)(x_t, drop=drop, norm="batch")

    def _contrasts(self, student: Output, teacher: Output, crops: Crops, at: At) -> Losses:
        """(setting, loss) of each contrast that has a weight."""
        s, case, valid, tau = self.settings, crops.case, crops.valid, self.settings.temperature
        for level, head in self.heads.items():
            f_s, f_t = (output.features[TAPS[level]][-len(case) :] for output in (student, teacher))
            index, present = valid_positions(valid, f_t.shape[2:], s.voxels, at.rng(f"positions/{level}"))
            z_s = head(vectors_at(at.after_head_start(f_s), index))  # (B, n, D)
            with torch.no_grad():
                head_t = (self.teacher_heads if s.momentum else self.heads)[level]
                z_t = head_t(mean_feature(f_t, valid) if level == "volume" else vectors_at(f_t, index))
            if level == "volume":
                # pushed first: this batch's other cases are among the negatives
                self.queue.push(z_t, torch.where(present.any(1), case, -1))
                negatives, exclude = self.queue.vectors, self.queue.exclude(case)
                yield level, volume_contrast(z_s, z_t, present, negatives, exclude, temperature=tau)
                continue
            if getattr(s, f"voxel_{level}"):
                yield f"voxel_{level}", same_voxel_contrast(z_s, z_t, present, case, temperature=tau)
            if getattr(s, f"dimension_{level}"):
                rows = z_s.flatten(0, 1), z_t.flatten(0, 1), present.flatten()
                yield f"dimension_{level}", dimension_contrast(*rows, temperature=tau)
