"""BCP, bidirectional copy-paste.

Idea: boxes change places between labelled and pseudo-labelled crops
Paper: Bai, Chen, Li, Shen, Wang; CVPR 2023; arXiv 2305.00673
Basis: published code

A box of 2/3 of each side, at a random place, is exchanged between two crops.

* pretrain: between labelled crops, L = L_seg(mixed image, mixed label).
* self_train: between a labelled and an unlabelled crop, in both directions. The unlabelled part takes the
  largest component of the teacher's argmax for its label:

      L = L_seg(labelled part) + 0.5 L_seg(pseudo-labelled part)        for both mixed images

The teacher starts as the pretrained student and is its exponential moving average from then on.

Differs from published code (docs/methods/bcp.md says why):
* the teacher's BatchNorm statistics are averaged like its weights, and label with running statistics;
* a box is drawn for each pair;
* classes that nobody annotated do not count in the labelled part;
* a class that labels show in several pieces keeps them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from semivox.batches import Crops, Stream, boxes, pasted
from semivox.losses import segmentation_loss
from semivox.methods.cleanup import largest_components
from semivox.methods.conventions import PUBLISHED_SGD, StudentTeacher, StudentTeacherSettings
from semivox.methods.declare import At, Batch, Facts, Optimizer, Player, Stage, Term
from semivox.ranges import NotAll, Share, Steps, Weight

#: How the published self-training moves: 15000 steps, a tenth of the rate after each 2500.
SELF_TRAIN = Optimizer(
    lr=0.01,
    nesterov=False,
    weight_decay=1e-4,
    schedule="step",
    milestones=tuple(n * 2500 / 15000 for n in range(1, 6)),
)


@dataclass(frozen=True)
class BCPSettings(StudentTeacherSettings):
    paper_steps: Steps = 17000
    """Steps of the paper's run; constants counted in steps scale with the run's length by it. [code]"""
    pretrain: NotAll = 2000 / 17000
    """Share of the run that mixes labelled crops with one another. [code]"""
    box: Share = 2 / 3
    """Side of the exchanged box as a share of the crop's. [code]"""
    mixed: Share = 0.5
    """Share of the images of self-training that are mixed; the others are labelled crops as they are. The
    paper mixes all (1). [ours]"""
    pseudo: Weight = 0.5
    """Weight of the pseudo-labelled part; 0 drops its terms. [code]"""
    largest_component: bool = True
    """Keep only the largest component of a class in a pseudo-label, where labels show the class in one piece.
    [code]"""
    ema_decay: NotAll = 0.99
    """Decay of the teacher (at paper_steps). [code]"""
    published_optimizer: bool = False
    """Self-training moves by the published falling learning rate instead of the run's optimizer. [ours]"""
    dropout: NotAll = 0.5
    """Share of channels dropped at the network's dropout places, in the student. [code]"""


class BCP(StudentTeacher):
    Settings = BCPSettings
    settings: BCPSettings
    paper: ClassVar[Mapping[str, Any]] = {
        **PUBLISHED_SGD,
        "optimizer.schedule": "constant",
        "method.published_optimizer": True,
        "method.mixed": 1.0,
    }

    def __init__(self, facts: Facts, settings: BCPSettings) -> None:
        super().__init__(facts, settings)
        self.classes = facts.classes
        self.cleaned = facts.plan if settings.largest_component and facts.plan.in_one_piece else None

    def stages(self, facts: Facts) -> Sequence[Stage]:
        s, n = self.settings, facts.alone  # n mixed images a step
        players = (Player("segmenter", ("student",)),)
        later = (Player("segmenter", ("student",), SELF_TRAIN if s.published_optimizer else None),)
        twice = Stream("labeled", size=2 * n, target="label", where="foreground")
        labeled = Stream("labeled", size=n, target="label", where="foreground")
        unlabeled = Stream("unlabeled", size=max(1, round(s.mixed * n)), where="body")
        return [
            Stage("pretrain", {"labeled": twice}, players, self.pairs(), share=s.pretrain),
            Stage(
                "self_train",
                {"labeled": labeled, "unlabeled": unlabeled},
                later,
                self.pairs(),
                share=1 - s.pretrain,
                copy={"teacher": "student"},
            ),
        ]

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        s, labeled = self.settings, batch["labeled"]
        x_l, y_l = labeled.views["weak"], labeled.labels  # (B, C, X, Y[, Z]), (B, K-1, ...)
        drop = at.rng("dropout/student")
        if at.stage == "pretrain":
            inside = boxes(x_l[::2], at.rng("box"), s.box)
            logits = self.student(pasted(x_l[1::2], x_l[::2], inside), drop=drop).logits
            loss = self._part(logits, y_l[::2], labeled, slice(0, None, 2), inside)
            loss = loss + self._part(logits, y_l[1::2], labeled, slice(1, None, 2), 1 - inside)
            return {"segmentation": Term(loss)}

        unlabeled = batch["unlabeled"]
        x_u = unlabeled.views["weak"]
        y_u = self._pseudo_labels(x_u)
        # half of the mixed images take a box of the unlabelled crop, half give one to it
        n, half, inside = len(x_u), len(x_u) // 2, boxes(x_u, at.rng("box"), s.box)
        from_u = torch.cat([inside[:half], 1 - inside[half:]])
        from_l = torch.cat([1 - from_u, torch.ones_like(x_l[n:, :1])])
        mixed = torch.cat([pasted(x_l[:n], x_u, from_u), x_l[n:]])
        logits = self.student(mixed, drop=drop).logits
        everything = slice(None)
        terms = {"segmentation": Term(self._part(logits, y_l, labeled, everything, from_l))}
        if s.pseudo:
            loss = self._part(logits[:n], y_u, unlabeled, everything, from_u)
            terms["pseudo"] = Term(loss, s.pseudo)
        return terms

    def _part(self, logits: Tensor, target: Tensor, crops: Crops, rows: slice, region: Tensor) -> Tensor:
        """Dice + cross-entropy in ``region``, against the target of the crops it comes from."""
        annotated = crops.annotated[rows]
        if crops.target is None:  # pseudo-labels tell of every class
            annotated = torch.ones_like(annotated)
        return segmentation_loss(logits, target, crops.valid[rows] * region, annotated, crops.regions)

    def _pseudo_labels(self, x_u: Tensor) -> Tensor:
        """(B, K-1, ...) one-hot planes of the teacher's cleaned argmax."""
        with torch.no_grad():
            pseudo_label = self.teacher(x_u, norm="running").logits.argmax(1)
        if self.cleaned:
            pseudo_label = largest_components(pseudo_label, self.cleaned)
        return functional.one_hot(pseudo_label, self.classes).movedim(-1, 1)[:, 1:].to(x_u)
