"""Self-ensembling contrastive learning (Xiang, Li, Wang, Xia, Zhang; arXiv 2105.12924).

    L = L_seg(labelled) + w(t) L_con(unlabelled),    w(t) = w exp(-5 (1 - t)^2)

    L_con = mean over anchors a, and over the positives p of a, of
            -log( exp(q_a.k_p / tau) / (exp(q_a.k_p / tau) + sum over negatives n of exp(q_a.k_n / tau)) )

Anchors q are features of the student, keys k those of its moving average, the teacher; both pass a projection
and have length 1. Two ways to say what belongs together:

* anatomical: the teacher's argmax gives pseudo-classes; of each class some confident positions are drawn.
  Positives: the same class at other positions, in other crops and in the queue. Negatives: other classes.
* region: features averaged in the cells of a grid. Positive: the same cell in the teacher's view. Negatives:
  cells further away.

Where the paper is silent, or we differ: only its abstract was at hand, so all constants are ours. The
projection is a 1x1 convolution, ReLU and another one, applied to the drawn positions only. Student and
teacher see two draws of intensity changes, with one geometry. Background is a class of its own, or a task
with one organ would have no negatives. Random crops are not aligned across scans, so regions are compared
within a crop; ``cross_image`` also pairs regions at one place of the scans' grids, for aligned scans (it
knows where a crop lies, not how augmentation turned or flipped it). Pseudo-labels start out wrong: the ramp
keeps their weight below 1 % of its final value at first, and an unsure teacher gives no position.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from semivox.batches import Crops
from semivox.errors import SettingsError
from semivox.losses import (
    class_contrast,
    info_nce,
    known_classes,
    pooled,
    region_pairs,
    sample_positions,
    segmentation_loss,
    vectors_at,
)
from semivox.methods.conventions import gaussian_ramp, labeled_and_unlabeled
from semivox.methods.declare import At, Batch, Facts, Method, Pair, Player, Stage, Term
from semivox.networks import Queue, VectorProjection
from semivox.randomness import BatchKey

Level = Literal["decoder", "decoder_1", "bottleneck"]
OUTPUTS = 128


@dataclass(frozen=True)
class SelfEnsemblingSettings:
    paper_steps: int = 6000
    """Steps that the constants are meant for; those counted in steps scale with the run's length by it.
    [field]"""
    contrast: float = 0.1
    """w: weight of the contrast at the end of its warm-up; 0 drops it. [ours]"""
    sampling: Literal["anatomical", "region", "both"] = "anatomical"
    """How contrastive pairs are found: by pseudo-class, by place, or both (two terms of the same weight).
    [abstract]"""
    features: Level = "decoder"
    """Which features the anatomical contrast compares. [ours]"""
    region_features: Level = "bottleneck"
    """Which features the region contrast averages in its cells. [ours]"""
    samples: int = 64
    """Positions drawn of each class in each crop. [ours]"""
    threshold: float = 0.8
    """Only positions where the teacher's largest probability is above this are drawn. [ours]"""
    background: bool = True
    """Background is a class of the contrast; off: foreground classes only. [ours]"""
    queue: int = 0
    """Keys of earlier steps kept for each class; 0: none. [ours]"""
    temperature: float = 0.1
    """tau of the contrast. [ours]"""
    labeled_in_contrast: bool = False
    """Labelled crops join the contrast, their classes taken from the label instead of the teacher. [abstract]
"""
    teacher_keys: bool = True
    """Keys and pseudo-classes come from the teacher; off: from the student itself, without gradient.
    [abstract]"""
    grid: int = 4
    """Cells an axis of the region contrast (fewer where the features have fewer). [ours]"""
    exclude_window: int = 1
    """Cells within this distance of a region are no negatives of it (0: all are). [ours]"""
    cross_image: bool = False
    """Regions at the same place of other scans are positives too. Needs aligned scans. [ours]"""
    ema_decay: float = 0.99
    """Decay of the teacher (at paper_steps). [field]"""
    dropout: float = 0.5
    """Share of channels dropped at the network's dropout places. [field]"""


class SelfEnsembling(Method):
    """Features of one class gather, those of different classes part, judged by a steadier copy."""

    Settings = SelfEnsemblingSettings
    paper: ClassVar[Mapping[str, Any]] = {"optimizer.lr": 0.01, "optimizer.nesterov": False}

    def __init__(self, facts: Facts, settings: SelfEnsemblingSettings) -> None:
        super().__init__()
        self.settings = s = settings
        self.student = facts.network("student", dropout=s.dropout)
        self.teacher = facts.network("student", dropout=s.dropout)
        self.classes = range(0 if s.background else 1, facts.classes)
        levels = {"anatomical": s.features, "region": s.region_features}
        if s.sampling != "both":
            levels = {s.sampling: levels[s.sampling]}
        if "anatomical" in levels and len(self.classes) < 2:
            raise SettingsError(
                "one class alone has no negatives",
                found=f"background: false with {facts.classes - 1} foreground class",
                remedy="leave method.background on",
            )
        self.projection = _heads(self.student, levels, facts)
        self.teacher_projection = _heads(self.student, levels, facts)
        queues = len(self.classes) if s.queue and "anatomical" in levels else 0
        self.queues = nn.ModuleList(Queue(s.queue, OUTPUTS) for _ in range(queues))

    def stages(self, facts: Facts) -> Sequence[Stage]:
        streams, decay = labeled_and_unlabeled(facts), self.settings.ema_decay
        for name in ("labeled", "unlabeled") if self.settings.labeled_in_contrast else ("unlabeled",):
            streams[name] = replace(streams[name], views=("weak", "intensity"))
        pairs = (Pair("student", "teacher", decay), Pair("projection", "teacher_projection", decay))
        return [Stage("train", streams, (Player("segmenter", ("student", "projection")),), pairs)]

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        s = self.settings
        labeled, unlabeled = batch["labeled"], batch["unlabeled"]
        assert labeled.target is not None
        x_l, x_u = labeled.views["weak"], unlabeled.views["weak"]  # (B, C, X, Y[, Z])
        n_l = len(x_l)

        student = self.student(torch.cat([x_l, x_u]), drop=at.rng("dropout/student"))
        loss = segmentation_loss(student.logits[:n_l], labeled.target, labeled.valid, labeled.annotated)
        terms = {"segmentation": Term(loss)}
        if not s.contrast:
            return terms

        compared = [labeled, unlabeled] if s.labeled_in_contrast else [unlabeled]
        first = 0 if s.labeled_in_contrast else n_l  # the student's rows that are compared
        with torch.no_grad():
            x_t = torch.cat([crops.views["intensity"] for crops in compared])
            network = self.teacher if s.teacher_keys else self.student
            teacher = network(x_t, drop=at.rng("dropout/teacher"), norm="batch")
        weight = s.contrast * gaussian_ramp(at.progress)
        if "anatomical" in self.projection:
            probs_t = teacher.logits[len(x_t) - len(x_u) :].softmax(1) * unlabeled.valid
            planes = [probs_t]
            if s.labeled_in_contrast:
                planes = [known_classes(labeled.target, labeled.valid, labeled.annotated), probs_t]
            features_s, features_t = student.features[s.features][first:], teacher.features[s.features]
            case = torch.cat([crops.case for crops in compared])
            loss = self._anatomical(features_s, features_t, torch.cat(planes), case, at.rng("positions"))
            terms["contrast"] = Term(loss, weight)
        if "region" in self.projection:
            level = s.region_features
            loss = self._region(student.features[level][first:], teacher.features[level], compared)
            terms["contrast_region"] = Term(loss, weight)
        return terms

    def _anatomical(
        self, features_s: Tensor, features_t: Tensor, planes: Tensor, case: Tensor, key: BatchKey
    ) -> Tensor:
        """``planes`` (B, K, X, Y[, Z]): how surely a voxel is of each class; 0 where it must not be drawn."""
        s = self.settings
        confidence, pseudo_label = pooled(planes, features_s.shape[2:]).flatten(2).max(1)  # (B, P)
        allowed = confidence > s.threshold
        index, present = sample_positions(pseudo_label, allowed, self.classes, s.samples, key)
        vectors = (vectors_at(f, index) for f in (features_s, features_t))  # (B, classes, samples, C)
        anchors, keys = self._project("anatomical", *vectors)
        label = torch.tensor(self.classes, device=index.device)[:, None].expand_as(index).flatten()  # (N,)
        case, there = case[:, None, None].expand_as(index).flatten(), present.flatten()

        queues = cast(list[Queue], list(self.queues))
        memory = [(queue.vectors, queue.label, queue.case) for queue in queues]
        loss = class_contrast(
            anchors, keys, label, there, temperature=s.temperature, case=case, memory=memory
        )
        for c, queue in zip(self.classes, queues, strict=False):
            new = there & (label == c)
            queue.push(keys[new], case[new], label[new])
        return loss

    def _region(self, features_s: Tensor, features_t: Tensor, compared: Sequence[Crops]) -> Tensor:
        s = self.settings
        valid, box = (torch.cat([getattr(crops, name) for crops in compared]) for name in ("valid", "box"))
        grid = [min(n, s.grid) for n in features_s.shape[2:]]
        cell = box.new_tensor([n / g for n, g in zip(valid.shape[2:], grid, strict=True)])  # voxels an axis
        inside = pooled(valid, grid).flatten() > 0.5  # (N,) mostly inside the scan
        cells = (pooled(f, grid).flatten(2).movedim(1, 2) for f in (features_s, features_t))  # (B, cells, C)
        positives, exclude = region_pairs(box[..., 0] / cell, grid, s.exclude_window, s.cross_image)
        return info_nce(
            *self._project("region", *cells),
            positives & inside[:, None],
            temperature=s.temperature,
            form="pair",
            exclude=exclude | ~inside,
        )

    def _project(self, mode: str, vectors_s: Tensor, vectors_t: Tensor) -> tuple[Tensor, Tensor]:
        """(B, ..., C) of student and teacher -> anchors and keys, both (N, 128)."""
        anchors = self.projection[mode](vectors_s.flatten(0, -2))
        with torch.no_grad():
            head = self.teacher_projection if self.settings.teacher_keys else self.projection
            return anchors, head[mode](vectors_t.flatten(0, -2))


def _heads(network: nn.Module, levels: Mapping[str, str], facts: Facts) -> nn.ModuleDict:
    """A projection for each way of sampling, as wide as its features; equal each time it is called."""
    channels = cast(Mapping[str, int], network.feature_channels)
    if missing := set(levels.values()) - set(channels):
        raise SettingsError(
            "the network has no such features", found=", ".join(missing), expected=", ".join(channels)
        )
    key = facts.key / "network" / "projection"
    return nn.ModuleDict({m: VectorProjection(channels[x], key / m, OUTPUTS) for m, x in levels.items()})
