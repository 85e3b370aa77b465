"""CVRL, momentum contrastive voxel-wise representation learning (You, Zhao, Staib, Duncan; arXiv 2105.07059).

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

No code was published and only abstracts were read, so confidence is low: which terms there are is the
papers'; the formulas are the usual ones of their kind; the contrast weights, temperature, decay and sizes
are from memory or ours. Ours alone: a head of its own for each of volume, high and low (linear, ReLU,
linear, 128 outputs), that only sampled places pass; the summary is the mean feature of the valid voxels,
sent through the same head as the voxels, so that the head learns; the teacher sees an independent draw of
the mild intensity changes, in the same place and pose, so voxels correspond without resampling; places lie
where the crop is valid, spread evenly; other crops of the same case are no negatives; elastic weights of 1,
because |k| is in cycles per mm (on the source's integer grid it is about as large as the crop has mm).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from semivox.batches import Crops
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
from semivox.methods.conventions import PUBLISHED_SGD, gaussian_ramp, labeled_and_unlabeled
from semivox.methods.declare import At, Batch, Facts, Method, Pair, Player, Stage, Term
from semivox.networks import Output, Queue, VectorProjection

TAPS = {"volume": "decoder", "high": "decoder", "low": "bottleneck_dropped"}
OUTPUTS = 128


@dataclass(frozen=True)
class CVRLSettings:
    paper_steps: int = 6000
    """Steps that the constants are meant for; those counted in steps scale with the run's length by it.
    [field]"""
    volume: float = 0.1
    """Weight of the voxel-to-volume contrast; 0 drops it and the queue stays empty. [ours]"""
    voxel_high: float = 0.1
    """Weight of the voxel-to-voxel contrast of decoder features; 0 drops it. [ours]"""
    voxel_low: float = 0.0
    """Weight of the voxel-to-voxel contrast of bottleneck features (miccai: 0.1); 0 drops it. [ours]"""
    dimension_high: float = 0.0
    """Weight of the contrast of the dimensions of decoder embeddings (miccai: 0.1); 0 drops it. [ours]"""
    dimension_low: float = 0.0
    """Weight of the contrast of the dimensions of bottleneck embeddings (miccai: 0.1); 0 drops it. [ours]"""
    elastic: float = 1.0
    """Weight of the elastic energy between prediction and label (miccai: 0); 0 drops it. [ours]"""
    elastic_unlabeled: float = 1.0
    """Weight of the elastic energy between student and teacher, unlabelled (miccai: 0); 0 drops it. [ours]"""
    consistency: float = 0.0
    """Weight of the mean squared error between student and teacher (miccai: 0.1); 0 drops it. [ours]"""
    temperature: float = 0.5
    """tau of every contrast. [field]"""
    queue: int = 256
    """Crop summaries remembered for the voxel-to-volume contrast; at least one batch is. [ours]"""
    voxels: int = 256
    """Places sampled in each crop, at each level. [ours]"""
    view: Literal["intensity", "dropout"] = "intensity"
    """How the teacher's view differs: another draw of the mild intensity changes and no dropout, or a dropout
    mask of its own on the same image. The student has its dropout in both. [ours]"""
    momentum: bool = True
    """The teacher gives keys, summaries and soft labels; off: the student itself, without gradient.
    [abstract]"""
    elastic_alpha: float = 1.0
    """alpha of the elastic energy; other values than 1 make a prediction equal to the label no minimum.
    [ours]"""
    elastic_dims: ElasticDims = "slice"
    """Elastic energy of each slice along the last axis, or of the volume; in 2D they are the same. [ours]"""
    ema_decay: float = 0.99
    """Decay of the teacher (at paper_steps). [field]"""
    dropout: float = 0.5
    """Share of channels dropped at the network's dropout places, in the student. [field]"""


class CVRL(Method):
    """Voxels find their own volume and themselves in a momentum encoder; boundaries attract each other."""

    Settings = CVRLSettings
    paper: ClassVar[Mapping[str, Any]] = PUBLISHED_SGD
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "v1": {},
        "miccai": {
            **dict.fromkeys(("volume", "elastic", "elastic_unlabeled"), 0.0),
            **dict.fromkeys(("voxel_low", "dimension_high", "dimension_low", "consistency"), 0.1),
        },
    }

    def __init__(self, facts: Facts, settings: CVRLSettings) -> None:
        super().__init__()
        self.settings = s = settings
        self.student = facts.network("student", dropout=s.dropout)
        self.teacher = facts.network("student", dropout=s.dropout)
        weights = {
            "volume": s.volume,
            "high": s.voxel_high or s.dimension_high,
            "low": s.voxel_low or s.dimension_low,
        }
        levels = [level for level, weight in weights.items() if weight]
        self.heads, self.teacher_heads = self._heads(levels, facts), self._heads(levels, facts)
        self.queue = Queue(max(s.queue, facts.batch[1]), OUTPUTS)
        self.spacing = facts.plan.spacing

    def _heads(self, levels: Sequence[str], facts: Facts) -> nn.ModuleDict:
        inputs = cast(Mapping[str, int], self.student.feature_channels)
        key = facts.key / "network" / "head"
        return nn.ModuleDict(
            {name: VectorProjection(inputs[TAPS[name]], key / name, OUTPUTS) for name in levels}
        )

    def stages(self, facts: Facts) -> Sequence[Stage]:
        streams = labeled_and_unlabeled(facts)
        if self.settings.view == "intensity":
            streams["unlabeled"] = replace(streams["unlabeled"], views=("weak", "intensity"))
        pairs = [Pair("student", "teacher", self.settings.ema_decay)]
        if self.heads:
            pairs.append(Pair("heads", "teacher_heads", self.settings.ema_decay))
        return [Stage("train", streams, (Player("segmenter", ("student", "heads")),), tuple(pairs))]

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        s, ramp = self.settings, gaussian_ramp(at.progress)
        labeled, unlabeled = batch["labeled"], batch["unlabeled"]
        assert labeled.target is not None
        x_l, x_u = labeled.views["weak"], unlabeled.views["weak"]  # (B, C, X, Y[, Z])
        n_l = len(x_l)

        student: Output = self.student(torch.cat([x_l, x_u]), drop=at.rng("dropout/student"))
        logits_l, logits_u = student.logits[:n_l], student.logits[n_l:]
        known = labeled.valid, labeled.annotated
        terms = {"segmentation": Term(segmentation_loss(logits_l, labeled.target, *known))}
        if s.elastic:
            terms["elastic"] = Term(self._elastic(logits_l, labeled.target, *known), s.elastic)
        if not (self.heads or s.elastic_unlabeled or s.consistency):
            return terms

        teacher = self._look(unlabeled, at)
        if s.elastic_unlabeled:
            y_u = teacher.logits.softmax(1)[:, 1:]  # soft pseudo-label
            energy = self._elastic(logits_u, y_u, unlabeled.valid)
            terms["elastic_unlabeled"] = Term(energy, s.elastic_unlabeled * ramp)
        if s.consistency:
            agreement = softmax_mse(logits_u, teacher.logits, unlabeled.valid)
            terms["consistency"] = Term(agreement, s.consistency * ramp)
        for name, loss in self._contrasts(student, teacher, unlabeled, at):
            terms[name] = Term(loss, getattr(s, name) * ramp)
        return terms

    def _contrasts(
        self, student: Output, teacher: Output, unlabeled: Crops, at: At
    ) -> Iterator[tuple[str, Tensor]]:
        """(setting, loss) of each contrast that has a weight."""
        s, case, tau = self.settings, unlabeled.case, self.settings.temperature
        for level, head in self.heads.items():
            features_t = teacher.features[TAPS[level]]  # (B, F, ...)
            features_s = student.features[TAPS[level]][-len(case) :]
            key = at.rng(f"positions/{level}")
            index, present = valid_positions(unlabeled.valid, features_t.shape[2:], s.voxels, key)
            z_s = head(vectors_at(features_s, index))  # (B, n, D)
            head_t = (self.teacher_heads if s.momentum else self.heads)[level]
            if level == "volume":
                with torch.no_grad():
                    g_t = head_t(mean_feature(features_t, unlabeled.valid))  # (B, D)
                # pushed first: this batch's other cases are among the negatives
                self.queue.push(g_t, torch.where(present.any(1), case, -1))
                negatives, exclude = self.queue.vectors, self.queue.exclude(case)
                yield "volume", volume_contrast(z_s, g_t, present, negatives, exclude, temperature=tau)
                continue
            with torch.no_grad():
                z_t = head_t(vectors_at(features_t, index))
            if getattr(s, f"voxel_{level}"):
                yield f"voxel_{level}", same_voxel_contrast(z_s, z_t, present, case, temperature=tau)
            if getattr(s, f"dimension_{level}"):
                rows = z_s.flatten(0, 1), z_t.flatten(0, 1), present.flatten()
                yield f"dimension_{level}", dimension_contrast(*rows, temperature=tau)

    @torch.no_grad()
    def _look(self, unlabeled: Crops, at: At) -> Output:
        """The teacher's output on its view of the unlabelled crops."""
        s = self.settings
        drop = at.rng("dropout/teacher") if s.view == "dropout" else None
        x_t = unlabeled.views["intensity" if s.view == "intensity" else "weak"]
        output: Output = (self.teacher if s.momentum else self.student)(x_t, drop=drop, norm="batch")
        return output

    def _elastic(self, logits: Tensor, y: Tensor, valid: Tensor, annotated: Tensor | None = None) -> Tensor:
        alpha, dims = self.settings.elastic_alpha, self.settings.elastic_dims
        energy = partial(elastic_energy, spacing=self.spacing, alpha=alpha, dims=dims)
        return energy(logits.softmax(1)[:, 1:], y, valid=valid, annotated=annotated)
