"""Mean teacher, written the obvious way."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from literal.vnet import VNet, make_teacher


def dice_loss(score: Tensor, target: Tensor) -> Tensor:
    """1 - Dice of one class, squared denominators; score, target (B, X, Y, Z)."""
    smooth = 1e-5
    intersect = torch.sum(score * target)
    z_sum = torch.sum(score * score)
    y_sum = torch.sum(target * target)
    return 1 - (2 * intersect + smooth) / (z_sum + y_sum + smooth)


def supervised_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Dice of the foreground classes plus cross-entropy; logits (B, K, X, Y, Z), label (B, X, Y, Z) int64."""
    loss_ce = functional.cross_entropy(logits, label)
    soft = torch.softmax(logits, dim=1)
    classes = logits.shape[1]
    loss_dice = sum(dice_loss(soft[:, k], (label == k).float()) for k in range(1, classes)) / (classes - 1)
    return 0.5 * (loss_dice + loss_ce)


def ramp_up(progress: float) -> float:
    """exp(-5 (1 - t)^2)."""
    return math.exp(-5 * (1 - progress) ** 2)


def noise(x: Tensor) -> Tensor:
    """N(0, 0.1^2) clipped at 0.2."""
    return torch.clamp(torch.randn_like(x) * 0.1, -0.2, 0.2)


class MeanTeacher(nn.Module):
    """Student and teacher agree on unlabelled crops."""

    decay = 0.99

    def __init__(self, channels: int = 1, classes: int = 2, width: int = 16, dropout: float = 0.5) -> None:
        super().__init__()
        self.student = VNet(channels, classes, width, dropout=dropout)
        self.teacher = VNet(channels, classes, width, dropout=dropout)
        make_teacher(self.student, self.teacher)
        self.noise = noise

    def pairs(self) -> list[tuple[nn.Module, nn.Module]]:
        return [(self.student, self.teacher)]

    def losses(self, batch: dict[str, Tensor], progress: float) -> dict[str, tuple[float, Tensor]]:
        """Weight and value of each term. ``image`` (B_l + B_u, C, X, Y, Z), ``label`` (B_l, X, Y, Z)."""
        image, label = batch["image"], batch["label"]
        labeled_bs = len(label)
        unlabeled = image[labeled_bs:]
        outputs, _, _ = self.student(image)
        with torch.no_grad():
            ema_output, _, _ = self.teacher(unlabeled + self.noise(unlabeled))
        loss_seg = supervised_loss(outputs[:labeled_bs], label)
        difference = torch.softmax(outputs[labeled_bs:], dim=1) - torch.softmax(ema_output, dim=1)
        return {
            "segmentation": (1.0, loss_seg),
            "consistency": (0.1 * ramp_up(progress), torch.mean(difference**2)),
        }
