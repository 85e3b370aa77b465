"""Players to torch optimizers, and one player's move: gradient into its own parameters only, clip, step; the
learning rate it moves with."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from semivox.methods import Optimizer, Player


def parameters_of(method: nn.Module, player: Player) -> list[nn.Parameter]:
    """The trainable parameters of a player's modules, each once."""
    found: dict[int, nn.Parameter] = {}
    for name in player.modules:
        for parameter in getattr(method, name).parameters():
            if parameter.requires_grad:
                found[id(parameter)] = parameter
    return list(found.values())


def build_optimizer(parameters: Sequence[nn.Parameter], settings: Optimizer) -> torch.optim.Optimizer:
    """The torch optimizer of a player."""
    lr, decay, momentum = settings.lr, settings.weight_decay, settings.momentum
    if settings.kind == "sgd":
        nesterov = settings.nesterov and momentum > 0
        return torch.optim.SGD(parameters, lr, momentum=momentum, nesterov=nesterov, weight_decay=decay)
    if settings.kind == "adam":
        return torch.optim.Adam(parameters, lr, weight_decay=decay)
    if settings.kind == "adamw":
        return torch.optim.AdamW(parameters, lr, weight_decay=decay)
    return torch.optim.RMSprop(parameters, lr, weight_decay=decay)


def differentiate(parameters: Sequence[nn.Parameter], loss: Tensor, keep_graph: bool) -> None:
    """Gradients of ``loss`` into ``parameters`` alone, replacing what they had."""
    for parameter in parameters:
        parameter.grad = None
    loss.backward(inputs=list(parameters), retain_graph=keep_graph)


def move(
    optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter], lr: float, clip: float
) -> Tensor | None:
    """Clip the gradients and take one step; returns their norm before clipping (None: not clipped)."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    norm = nn.utils.clip_grad_norm_(parameters, clip) if clip > 0 else None
    optimizer.step()
    return norm


def learning_rate(optimizer: Optimizer, progress: float) -> float:
    """The learning rate at ``progress`` in [0, 1) of a stage."""
    if optimizer.schedule == "poly":
        return optimizer.lr * (1.0 - progress) ** optimizer.power
    if optimizer.schedule == "cosine":
        return optimizer.lr * 0.5 * (1.0 + math.cos(math.pi * progress))
    if optimizer.schedule == "step":
        return optimizer.lr * optimizer.factor ** sum(progress >= m for m in optimizer.milestones)
    return optimizer.lr
