"""One training step of a twin, as the papers' scripts write it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from literal.bcp import BCP
from literal.mean_teacher import MeanTeacher
from literal.simcvd import SimCVD
from literal.ua_mt import UAMT
from literal.vnet import update_teacher

TWINS: dict[str, type[nn.Module]] = {"mean_teacher": MeanTeacher, "ua_mt": UAMT, "simcvd": SimCVD, "bcp": BCP}

AS_PUBLISHED: dict[str, dict[str, object]] = {"ua_mt": {"limit": "classes"}, "bcp": {"mixed": 1.0}}
"""Settings with which a method computes what its twin does."""


def trainer(twin: nn.Module, batch: dict[str, Tensor], progress: float = 0.5) -> Callable[[], float]:
    """A function that takes one step on ``batch`` and returns the loss."""
    weights = [parameter for parameter in twin.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=0.2, momentum=0.9, nesterov=True, weight_decay=5e-5)

    def step() -> float:
        loss = sum(weight * value for weight, value in twin.losses(batch, progress).values())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 6.0)
        optimizer.step()
        for student, teacher in twin.pairs():
            update_teacher(student, teacher, twin.decay)
        return float(loss.detach())

    return step
