"""What changes over a run: ramps, learning rates, and the EMA decay that scales with its length."""

from __future__ import annotations

import math

from semivox.methods import Optimizer


def learning_rate(optimizer: Optimizer, progress: float) -> float:
    """The learning rate at ``progress`` in [0, 1) of a stage."""
    if optimizer.schedule == "poly":
        return optimizer.lr * (1.0 - progress) ** optimizer.power
    if optimizer.schedule == "cosine":
        return optimizer.lr * 0.5 * (1.0 + math.cos(math.pi * progress))
    if optimizer.schedule == "step":
        return optimizer.lr * optimizer.factor ** sum(progress >= m for m in optimizer.milestones)
    return optimizer.lr


def scaled_decay(decay: float, paper_steps: int, steps: int) -> float:
    """The EMA decay of a run of ``steps`` that averages over the same share of the run as ``decay`` does
    over ``paper_steps``: 1 - d' = (1 - d) paper_steps / steps, at most 0.1."""
    return 1.0 - min(0.1, (1.0 - decay) * paper_steps / max(1, steps))
