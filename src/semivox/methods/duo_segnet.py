"""Duo-SegNet, adversarial dual views.

Idea: two networks with half of the labels each agree, and try to fool a critic
Paper: Peiris, Chen, Egan, Harandi; MICCAI 2021; arXiv 2108.11154
Basis: published code

    segmenters   sum over i of  L_seg(F_i(x_i), y_i) + 0.4 CE(F_i(u), F_j(u)) + 0.2 BCE(psi(F_i(u)), real)
    critic psi   sum over i of  BCE(psi(y_i), real) + BCE(psi(F_i(x_i)), fake)

Two networks F_1 and F_2 (j is the other one), each with its own half (x_i, y_i) of the labelled scans, teach
each other on unlabelled scans u, softly, the teacher's side held fixed. A critic of 1x1 convolutions learns
to tell labels from predictions; both networks try to pass for labels on u. The critic moves by RMSprop with a
constant 5e-5 at the length of the published run; in a shorter run it moves as far.

Where the paper is silent, or we differ (docs/methods/duo_segnet.md says why):
* every term trains; in the published code agreement, Dice and a part of the adversarial term do not;
* BCE between masks is soft cross-entropy, and the critic sees K softmax channels, each sample by itself;
* what a case was not annotated for is background to the critic; crop i of u is shown as labelled crop i;
* the labelled crops are shared out, at least one a network;
* the mean of both averaged networks predicts, under the paper recipe the first network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from semivox.batches import Crops, Stream
from semivox.losses import (
    AgreementForm,
    agreement_loss,
    critic_loss,
    full_fractions,
    judged,
    segmentation_loss,
)
from semivox.methods.conventions import StudentTeacherSettings
from semivox.methods.declare import At, Batch, Facts, Method, Optimizer, Pair, Player, Stage, Term
from semivox.networks import build_critic
from semivox.ranges import NotAll, Steps, Weight


@dataclass(frozen=True)
class DuoSegNetSettings(StudentTeacherSettings):
    paper_steps: Steps = 15000
    """Steps of its successor's run; constants counted in steps scale with the run's length by it. [ours]"""
    segmentation: Weight = 1.0
    """Weight of each network's supervised loss; 0 drops both terms. [code]"""
    agreement: Weight = 0.4
    """Weight of each network's agreement with the other on unlabelled crops; 0 drops both terms. [code]"""
    agreement_form: AgreementForm = "ce"
    """ce: soft cross-entropy; mse: of the softmax; js: Jensen-Shannon; dice: soft Dice. [code]"""
    adversarial: Weight = 0.2
    """Weight of passing for a label on unlabelled crops; 0 drops these terms and the critic. [code]"""
    critic: Literal["pixel", "image", "none"] = "pixel"
    """pixel: 1x1 convolutions; image: strided ones, the image seen too (SASSNet's idea); none. [code]"""
    critic_lr: Weight = 5e-5
    """Constant learning rate of the critic's RMSprop (at paper_steps; larger in a shorter run, up to 1e-3).
    [code]"""
    views: Literal[1, 2] = 2
    """Networks; 1: a single one with all labelled scans and no agreement. [code]"""
    shared_labels: bool = False
    """Both networks see all labelled scans, not a half each; needed with one labelled patient. [code]"""
    dropout: NotAll = 0.5
    """Share of channels dropped at the networks' dropout places. [ours]"""


class DuoSegNet(Method):
    Settings = DuoSegNetSettings
    predictor: ClassVar[tuple[str, ...]] = ("teacher", "second_teacher")
    paper: ClassVar[Mapping[str, Any]] = {
        "optimizer.lr": 0.01,
        "optimizer.nesterov": False,
        "optimizer.weight_decay": 0.0,
        "optimizer.schedule": "constant",
    }

    def __init__(self, facts: Facts, settings: DuoSegNetSettings) -> None:
        super().__init__()
        self.settings = s = settings
        self.names = ("student", "second")[: s.views]
        for name in self.names:
            setattr(self, name, facts.network(name, dropout=s.dropout))
        self.teacher = facts.network("student", dropout=s.dropout)
        self.second_teacher = facts.network(self.names[-1], dropout=s.dropout)
        self.critic: nn.Module | None = None
        if s.critic != "none" and s.adversarial:
            key = facts.key / "network" / "critic"
            self.critic = build_critic(s.critic, facts.channels, facts.classes, facts.dims, key)

    def stages(self, facts: Facts) -> Sequence[Stage]:
        s, (n_l, n_u) = self.settings, facts.batch
        streams = {}
        for i, name in enumerate(("labeled", "labeled_second")[: s.views]):
            size, part = max(1, (n_l + s.views - 1 - i) // s.views), (i, s.views)
            part = (0, 1) if s.shared_labels else part
            streams[name] = Stream("labeled", size=size, target="label", where="foreground", part=part)
        streams["unlabeled"] = Stream("unlabeled", size=n_u, where="body")
        players = [Player("segmenter", self.names)]
        if self.critic is not None:
            dose = max(1.0, s.paper_steps / facts.steps)  # a rate of 5e-5 moves nothing in some hundred steps
            lr = min(s.critic_lr * dose, max(s.critic_lr, 1e-3))
            rmsprop = Optimizer("rmsprop", lr=lr, weight_decay=0.0, schedule="constant", clip=0.0)
            players.append(Player("critic", ("critic",), rmsprop))
        roles = ("student", "teacher"), (self.names[-1], "second_teacher")  # one view: both average the same
        pairs = tuple(Pair(name, average, s.ema_decay) for name, average in roles)
        return [Stage("train", streams, tuple(players), pairs)]

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        s, unlabeled = self.settings, batch["unlabeled"]
        halves = [batch[name] for name in ("labeled", "labeled_second")[: s.views]]
        suffixes, terms = ("", "_second")[: s.views], dict[str, Term]()
        logits_l, logits_u = [], []  # of each network (B, K, X, Y[, Z])
        for name, suffix, half in zip(self.names, suffixes, halves, strict=True):
            x = torch.cat([half.views["weak"], unlabeled.views["weak"]])  # (B, C, X, Y[, Z])
            logits = getattr(self, name)(x, drop=at.rng(f"dropout/{name}")).logits
            logits_l.append(logits[: len(half.valid)])
            logits_u.append(logits[len(half.valid) :])
            loss = segmentation_loss(logits_l[-1], *half.supervision)
            terms[f"segmentation{suffix}"] = Term(loss, s.segmentation)
        if s.agreement and s.views == 2:
            for suffix, own, other in zip(suffixes, logits_u, reversed(logits_u), strict=True):
                loss = agreement_loss(own, other, unlabeled.valid, s.agreement_form)
                terms[f"agreement{suffix}"] = Term(loss, s.agreement)
        if self.critic is not None:
            terms["critic"] = Term(self._tell_apart(self.critic, halves, logits_l), player="critic")
            annotated = torch.cat([half.annotated for half in halves])
            shown = annotated[torch.arange(len(unlabeled.valid)) % len(annotated)]
            for suffix, logits in zip(suffixes, logits_u, strict=True):
                passing = judged(logits.softmax(1), unlabeled.valid, shown)
                verdict = self.critic(passing, unlabeled.views["weak"])
                loss = critic_loss(verdict, verdict.new_ones(len(verdict)), unlabeled.valid)
                terms[f"adversarial{suffix}"] = Term(loss, s.adversarial)
        return terms

    def _tell_apart(self, critic: nn.Module, halves: Sequence[Crops], logits_l: Sequence[Tensor]) -> Tensor:
        """The critic's own loss: labels are real, what the networks predict there is fake."""
        seen, x, valid, real = [], [], [], []
        for half, logits in zip(halves, logits_l, strict=True):
            label = full_fractions(half.labels, half.annotated)
            for fractions, r in ((label, 1.0), (logits.detach().softmax(1), 0.0)):
                seen.append(judged(fractions, half.valid, half.annotated))
                x.append(half.views["weak"])
                valid.append(half.valid)
                real.append(half.valid.new_full((len(half.valid),), r))
        return critic_loss(critic(torch.cat(seen), torch.cat(x)), torch.cat(real), torch.cat(valid))
