"""The exponential moving average: teacher <- decay x teacher + (1 - decay) x student.

Parameters and float buffers (BatchNorm's running statistics) are averaged alike; other buffers are copied.
Copying the running statistics instead makes the teacher collapse in short runs, and skipping them leaves it
with those of its first batch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.no_grad()
def begin(student: nn.Module, teacher: nn.Module) -> None:
    """The teacher starts as the student, never at zero, and learns nothing by gradient."""
    teacher.load_state_dict(student.state_dict())
    freeze(teacher)


def freeze(teacher: nn.Module) -> None:
    """No gradient ever reaches a teacher."""
    for parameter in teacher.parameters():
        parameter.requires_grad_(False)


@torch.no_grad()
def update(student: nn.Module, teacher: nn.Module, decay: float, step: int) -> None:
    """One update after optimizer step number ``step`` (from 0) since the teacher began as its student.

    The first steps use the shorter memory 1 - 1 / (step + 1), so that the random start is forgotten at once.
    """
    decay = min(decay, 1.0 - 1.0 / (step + 1))
    own: list[Tensor] = []
    new: list[Tensor] = []
    student_state = {**dict(student.named_parameters()), **dict(student.named_buffers())}
    for name, value in [*teacher.named_parameters(), *teacher.named_buffers()]:
        if value.is_floating_point():
            own.append(value)
            new.append(student_state[name])
        else:
            value.copy_(student_state[name])
    torch._foreach_lerp_(own, new, 1.0 - decay)


def scaled_decay(decay: float, paper_steps: int, steps: int) -> float:
    """The EMA decay of a run of ``steps`` that averages over the same share of the run as ``decay`` does
    over ``paper_steps``: 1 - d' = (1 - d) paper_steps / steps, at most 0.1."""
    return 1.0 - min(0.1, (1.0 - decay) * paper_steps / max(1, steps))
