"""What the field's methods share: two streams of crops, the published optimizer, the Gaussian warm-up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from semivox.batches.stream import Stream
from semivox.losses import SdmForm
from semivox.methods.declare import Facts, Pair, Player, Stage

#: SGD 0.01, momentum 0.9, weight decay 1e-4, divided by 10 at 2500 and 5000 of 6000 steps (UA-MT and those
#: that follow its code).
PUBLISHED_SGD: Mapping[str, Any] = {
    "optimizer.lr": 0.01,
    "optimizer.nesterov": False,
    "optimizer.schedule": "step",
    "optimizer.milestones": (2500 / 6000, 5000 / 6000),
}

#: The benchmark code's (SSL4MIS): SGD 0.01 that falls by the poly rule.
BENCHMARK_SGD: Mapping[str, Any] = {
    "optimizer.lr": 0.01,
    "optimizer.nesterov": False,
    "optimizer.schedule": "poly",
}


def labeled_and_unlabeled(facts: Facts, *, sdm: bool | SdmForm = False) -> dict[str, Stream]:
    """Half a batch of labelled crops, half of unlabelled ones."""
    n_l, n_u = facts.batch
    return {
        "labeled": Stream("labeled", size=n_l, target="label", where="foreground", sdm=sdm),
        "unlabeled": Stream("unlabeled", size=n_u, where="body"),
    }


def student_and_teacher(streams: Mapping[str, Stream], decay: float) -> list[Stage]:
    """One stage over the whole run: the module ``student`` learns, ``teacher`` is its moving average."""
    players, pairs = (Player("segmenter", ("student",)),), (Pair("student", "teacher", decay),)
    return [Stage("train", streams, players, pairs)]


def gaussian_ramp(progress: float) -> float:
    """exp(-5 (1 - t)^2) for t from 0 to 1 over the ramp (Laine & Aila 2017, used by the whole family)."""
    t = min(1.0, max(0.0, progress))
    return math.exp(-5.0 * (1.0 - t) ** 2)
