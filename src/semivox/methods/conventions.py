"""What the field's methods share: a student and its averaged teacher, two streams of crops, the published
optimizers, the Gaussian warm-up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from semivox.batches import Stream
from semivox.losses import SdmForm
from semivox.methods.declare import Facts, Method, Pair, Player, Stage
from semivox.ranges import NotAll, Steps

#: SGD 0.01, momentum 0.9, weight decay 1e-4.
PLAIN_SGD: Mapping[str, Any] = {
    "optimizer.lr": 0.01,
    "optimizer.nesterov": False,
    "optimizer.weight_decay": 1e-4,
}

#: Divided by 10 at 2500 and 5000 of 6000 steps (UA-MT and those that follow its code).
PUBLISHED_SGD: Mapping[str, Any] = {
    **PLAIN_SGD,
    "optimizer.schedule": "step",
    "optimizer.milestones": (2500 / 6000, 5000 / 6000),
}

#: The benchmark code's (SSL4MIS), which falls by the poly rule.
BENCHMARK_SGD: Mapping[str, Any] = {**PLAIN_SGD, "optimizer.schedule": "poly"}


def labeled_and_unlabeled(facts: Facts, *, sdm: bool | SdmForm = False) -> dict[str, Stream]:
    """Half a batch of labelled crops, half of unlabelled ones."""
    n_l, n_u = facts.batch
    return {
        "labeled": Stream("labeled", size=n_l, target="label", where="foreground", sdm=sdm),
        "unlabeled": Stream("unlabeled", size=n_u, where="body"),
    }


@dataclass(frozen=True)
class StudentTeacherSettings:
    """Settings of a student and its averaged teacher; a method repeats a field whose default, meaning or
    origin differs."""

    paper_steps: Steps = 6000
    """Steps of a published run; constants counted in steps scale with the run's length by it. [code]"""
    ema_decay: NotAll = 0.99
    """Decay of the averaged weights that predict (at paper_steps). [ours]"""
    dropout: NotAll = 0.5
    """Share of channels dropped at the network's dropout places. [field]"""


class StudentTeacher(Method):
    """A network ``student`` that learns, and ``teacher``, its moving average, which predicts.

    One stage over the whole run, half a batch of labelled crops and half of unlabelled ones. A method adds
    its ``step``, and what it does otherwise: its streams, its ``averages``, its stages altogether.
    """

    Settings: ClassVar[type] = StudentTeacherSettings
    settings: StudentTeacherSettings
    paper: ClassVar[Mapping[str, Any]] = PUBLISHED_SGD
    #: Whether the networks also give distance maps (the form of their targets), and logits of every scale.
    sdm: ClassVar[bool | SdmForm] = False
    scales: ClassVar[bool] = False
    #: Networks that learn, with first weights of their own.
    students: ClassVar[tuple[str, ...]] = ("student",)
    #: Modules that learn together (students and heads), each with the name of its moving average.
    averages: ClassVar[Mapping[str, str]] = {"student": "teacher"}
    student: nn.Module
    teacher: nn.Module

    def __init__(self, facts: Facts, settings: StudentTeacherSettings) -> None:
        super().__init__()
        self.settings = settings
        roles = [(name, name) for name in self.students]
        roles += [(self.averages[name], name) for name in self.students]
        for role, name in roles:
            more = {"sdm": bool(self.sdm), "scales": self.scales}
            setattr(self, role, facts.network(name, dropout=settings.dropout, **more))

    def streams(self, facts: Facts) -> dict[str, Stream]:
        """What a batch is made of."""
        return labeled_and_unlabeled(facts, sdm=self.sdm)

    def pairs(self) -> tuple[Pair, ...]:
        """Every average and what it follows; none of a head that is switched off."""
        decay = self.settings.ema_decay
        names = {s: t for s, t in self.averages.items() if any(True for _ in getattr(self, s).parameters())}
        return tuple(Pair(student, teacher, decay) for student, teacher in names.items())

    def stages(self, facts: Facts) -> Sequence[Stage]:
        player = Player("segmenter", tuple(self.averages))
        return [Stage("train", self.streams(facts), (player,), self.pairs())]


def gaussian_ramp(progress: float) -> float:
    """exp(-5 (1 - t)^2) for t from 0 to 1 over the ramp (Laine & Aila 2017, used by the whole family)."""
    t = min(1.0, max(0.0, progress))
    return math.exp(-5.0 * (1.0 - t) ** 2)
