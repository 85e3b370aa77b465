"""Self-ensembling contrastive learning.

Idea: features of voxels of one pseudo-label grow alike, of different ones unlike
Paper: Xiang, Li, Wang, Xia, Zhang; arXiv 2021; arXiv 2105.12924
Basis: abstract, rest ours

    L = L_seg(labelled) + w(t) L_con(unlabelled),    w(t) = w exp(-5 (1 - t)^2)

    L_con = mean over anchors a, and over the positives p of a, of
            -log( exp(q_a.k_p / tau) / (exp(q_a.k_p / tau) + sum over negatives n of exp(q_a.k_n / tau)) )

Anchors q are features of the student, keys k those of its moving average, the teacher; both pass a projection
and have length 1. Two ways to say what belongs together:

* anatomical: the teacher's argmax gives pseudo-classes; of each class some confident positions are drawn.
  Positives: the same class at other positions, in other crops and in the queue. Negatives: other classes.
* region: features averaged in the cells of a grid. Positive: the same cell in the teacher's view. Negatives:
  cells further away.

Only the abstract was at hand, so all constants are ours (docs/methods/self_ensembling.md). Also ours:
* the projection, 1x1 convolution, ReLU and another one, acts on the drawn positions only;
* student and teacher see two draws of intensity changes, with one geometry;
* background is a class of its own, or a task with one organ would have no negatives;
* regions are compared within a crop; ``cross_image`` also pairs those at one place of aligned scans;
* wrong early pseudo-labels are kept quiet by the warm-up and by the threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from semivox.batches import Crops, Stream
from semivox.errors import SettingsError
from semivox.losses import (
    class_contrast,
    confident_positions,
    info_nce,
    known_classes,
    pooled,
    segmentation_loss,
    valid_region_pairs,
    vectors_at,
)
from semivox.methods.conventions import PLAIN_SGD, StudentTeacher, StudentTeacherSettings, gaussian_ramp
from semivox.methods.declare import At, Batch, Facts, Term
from semivox.networks import ClassQueues, vector_projections
from semivox.randomness import BatchKey
from semivox.ranges import Amount, Compared, Count, CountOrNone, NotAll, Remembered, Share, Steps, Weight

Level = Literal["decoder", "decoder_1", "bottleneck"]
OUTPUTS = 128


@dataclass(frozen=True)
class SelfEnsemblingSettings(StudentTeacherSettings):
    paper_steps: Steps = 6000
    """Steps of a published run; constants counted in steps scale with the run's length by it. [field]"""
    contrast: Weight = 0.1
    """w: weight of the contrast at the end of its warm-up; 0 drops it. [ours]"""
    sampling: Literal["anatomical", "region", "both"] = "anatomical"
    """Pairs are found by pseudo-class, by place, or by both (two terms of the same weight). [abstract]"""
    features: Level = "decoder"
    """Which features the anatomical contrast compares. [ours]"""
    region_features: Level = "bottleneck"
    """Which features the region contrast averages in its cells. [ours]"""
    samples: Compared = 64
    """Positions drawn of each class in each crop. [ours]"""
    threshold: Share = 0.8
    """Only positions where the teacher's largest probability is above this are drawn. [ours]"""
    background: bool = True
    """Background is a class of the contrast; off: foreground classes only. [ours]"""
    queue: Remembered = 0
    """Keys of earlier steps kept for each class; 0: none. [ours]"""
    temperature: Amount = 0.1
    """tau of the contrast. [ours]"""
    labeled_in_contrast: bool = False
    """Labelled crops join the contrast, their classes from the label instead of the teacher. [abstract]"""
    teacher_keys: bool = True
    """Keys and pseudo-classes are the teacher's; off: the student's, without gradient. [abstract]"""
    grid: Count = 4
    """Cells an axis of the region contrast (fewer where the features have fewer). [ours]"""
    exclude_window: CountOrNone = 1
    """Cells within this distance of a region are no negatives of it (0: all are). [ours]"""
    cross_image: bool = False
    """Regions at the same place of other scans are positives too. Needs aligned scans. [ours]"""
    ema_decay: NotAll = 0.99
    """Decay of the teacher (at paper_steps). [field]"""


class SelfEnsembling(StudentTeacher):
    Settings = SelfEnsemblingSettings
    settings: SelfEnsemblingSettings
    paper: ClassVar[Mapping[str, Any]] = PLAIN_SGD
    averages: ClassVar[Mapping[str, str]] = {"student": "teacher", "projection": "teacher_projection"}

    def __init__(self, facts: Facts, settings: SelfEnsemblingSettings) -> None:
        super().__init__(facts, settings)
        s, self.classes = settings, range(0 if settings.background else 1, facts.classes)
        levels = {"anatomical": s.features, "region": s.region_features}
        if s.sampling != "both":
            levels = {s.sampling: levels[s.sampling]}
        if "anatomical" in levels and len(self.classes) < 2:
            found = f"background: false with {facts.classes - 1} foreground class"
            remedy = "leave method.background on"
            raise SettingsError("one class alone has no negatives", found=found, remedy=remedy)
        key = facts.key / "network" / "projection"
        self.projection = vector_projections(self.student, levels, key, OUTPUTS)
        self.teacher_projection = vector_projections(self.student, levels, key, OUTPUTS)
        queued = self.classes if s.queue and "anatomical" in levels else ()
        self.queues = ClassQueues(queued, s.queue, OUTPUTS)

    def streams(self, facts: Facts) -> dict[str, Stream]:
        compared = ("labeled", "unlabeled") if self.settings.labeled_in_contrast else ("unlabeled",)
        views = dict.fromkeys(compared, ("weak", "intensity"))
        return {n: replace(s, views=views.get(n, s.views)) for n, s in super().streams(facts).items()}

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        s, labeled, unlabeled = self.settings, batch["labeled"], batch["unlabeled"]
        x_l, x_u = labeled.views["weak"], unlabeled.views["weak"]  # (B, C, X, Y[, Z])
        n_l, known = len(x_l), (labeled.labels, labeled.valid, labeled.annotated)
        student = self.student(torch.cat([x_l, x_u]), drop=at.rng("dropout/student"))
        terms = {"segmentation": Term(segmentation_loss(student.logits[:n_l], *labeled.supervision))}
        if not s.contrast:
            return terms

        compared = [labeled, unlabeled] if s.labeled_in_contrast else [unlabeled]
        with torch.no_grad():
            x_t = torch.cat([crops.views["intensity"] for crops in compared])
            network = self.teacher if s.teacher_keys else self.student
            teacher = network(x_t, drop=at.rng("dropout/teacher"), norm="batch")
        weight = s.contrast * gaussian_ramp(at.progress)
        if "anatomical" in self.projection:
            probs_t = teacher.logits[len(x_t) - len(x_u) :].softmax(1) * unlabeled.valid
            planes = [known_classes(*known), probs_t] if s.labeled_in_contrast else [probs_t]
            f_s, f_t = (output.features[s.features][-len(x_t) :] for output in (student, teacher))
            case, key = torch.cat([crops.case for crops in compared]), at.rng("positions")
            loss = self._anatomical(at.after_head_start(f_s), f_t, torch.cat(planes), case, key)
            terms["contrast"] = Term(loss, weight)
        if "region" in self.projection:
            f_s, f_t = (output.features[s.region_features][-len(x_t) :] for output in (student, teacher))
            loss = self._region(at.after_head_start(f_s), f_t, compared)
            terms["contrast_region"] = Term(loss, weight)
        return terms

    def _anatomical(self, f_s: Tensor, f_t: Tensor, planes: Tensor, case: Tensor, key: BatchKey) -> Tensor:
        """``planes`` (B, K, X, Y[, Z]): how surely a voxel is of each class; 0 where it must not be drawn."""
        s, size = self.settings, f_s.shape[2:]
        drawn = confident_positions(planes, size, s.threshold, self.classes, s.samples, key)
        index, label, present = drawn  # (B, classes, samples)
        anchors, keys = self._project("anatomical", vectors_at(f_s, index), vectors_at(f_t, index))
        case = case[:, None, None].expand_as(index).flatten()  # (N,)
        label, there, more = label.flatten(), present.flatten(), {"memory": self.queues.memory}
        loss = class_contrast(anchors, keys, label, there, temperature=s.temperature, case=case, **more)
        self.queues.push(keys, case, label, there)
        return loss

    def _region(self, f_s: Tensor, f_t: Tensor, compared: Sequence[Crops]) -> Tensor:
        s, grid = self.settings, [min(n, self.settings.grid) for n in f_s.shape[2:]]
        valid, box = (torch.cat([getattr(crops, name) for crops in compared]) for name in ("valid", "box"))
        positives, out = valid_region_pairs(valid, box, grid, s.exclude_window, s.cross_image)
        cells = (pooled(f, grid).flatten(2).movedim(1, 2) for f in (f_s, f_t))  # (B, cells, C)
        anchors, keys = self._project("region", *cells)
        return info_nce(anchors, keys, positives, temperature=s.temperature, form="pair", exclude=out)

    def _project(self, mode: str, vectors_s: Tensor, vectors_t: Tensor) -> tuple[Tensor, Tensor]:
        """(B, ..., C) of student and teacher -> anchors and keys, both (N, 128)."""
        anchors = self.projection[mode](vectors_s.flatten(0, -2))
        with torch.no_grad():
            head = self.teacher_projection if self.settings.teacher_keys else self.projection
            return anchors, head[mode](vectors_t.flatten(0, -2))
