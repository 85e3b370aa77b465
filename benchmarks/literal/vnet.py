"""The V-Net of the semi-supervised papers, written the obvious way: float32, torch's own layers and layout.

Its modules stand in the order of ``semivox.networks.Segmenter``'s, so that weights can be handed over. As in
published code every convolution has a bias; the normalisation after it cancels it, so semivox has none.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


def conv_block(count: int, inputs: int, outputs: int) -> nn.Sequential:
    """``count`` times: convolution, batch normalisation, ReLU."""
    layers: list[nn.Module] = []
    for i in range(count):
        layers.append(nn.Conv3d(inputs if i == 0 else outputs, outputs, 3, padding=1))
        layers.append(nn.BatchNorm3d(outputs))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def down_block(inputs: int) -> nn.Sequential:
    """Half the size, twice the channels."""
    conv = nn.Conv3d(inputs, 2 * inputs, 2, stride=2)
    return nn.Sequential(conv, nn.BatchNorm3d(2 * inputs), nn.ReLU(inplace=True))


def up_block(inputs: int) -> nn.Sequential:
    """Twice the size, half the channels."""
    conv = nn.ConvTranspose3d(inputs, inputs // 2, 2, stride=2)
    return nn.Sequential(conv, nn.BatchNorm3d(inputs // 2), nn.ReLU(inplace=True))


class VNet(nn.Module):
    """(B, C, X, Y, Z) -> logits (B, K, X, Y, Z), distance map (B, K-1, ...) or None, bottleneck features."""

    def __init__(
        self, channels: int = 1, classes: int = 2, width: int = 16, sdm: bool = False, dropout: float = 0.5
    ) -> None:
        super().__init__()
        w = width
        self.block_one = conv_block(1, channels, w)
        self.block_two = conv_block(2, 2 * w, 2 * w)
        self.block_three = conv_block(3, 4 * w, 4 * w)
        self.block_four = conv_block(3, 8 * w, 8 * w)
        self.block_five = conv_block(3, 16 * w, 16 * w)
        self.down_one, self.down_two = down_block(w), down_block(2 * w)
        self.down_three, self.down_four = down_block(4 * w), down_block(8 * w)
        self.up_to_one, self.up_to_two = up_block(2 * w), up_block(4 * w)
        self.up_to_three, self.up_to_four = up_block(8 * w), up_block(16 * w)
        self.block_nine = conv_block(1, w, w)
        self.block_eight = conv_block(2, 2 * w, 2 * w)
        self.block_seven = conv_block(3, 4 * w, 4 * w)
        self.block_six = conv_block(3, 8 * w, 8 * w)
        self.out_conv = nn.Conv3d(w, classes, 1)
        self.out_sdm = nn.Conv3d(w, classes - 1, 1) if sdm else None
        self.bottleneck_dropout = nn.Dropout3d(dropout)
        self.output_dropout = nn.Dropout3d(dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        x1 = self.block_one(x)
        x2 = self.block_two(self.down_one(x1))
        x3 = self.block_three(self.down_two(x2))
        x4 = self.block_four(self.down_three(x3))
        x5 = self.bottleneck_dropout(self.block_five(self.down_four(x4)))
        x6 = self.block_six(self.up_to_four(x5) + x4)
        x7 = self.block_seven(self.up_to_three(x6) + x3)
        x8 = self.block_eight(self.up_to_two(x7) + x2)
        x9 = self.output_dropout(self.block_nine(self.up_to_one(x8) + x1))
        sdm = None if self.out_sdm is None else torch.tanh(self.out_sdm(x9))
        return self.out_conv(x9), sdm, x5


def without_cancelled_biases(network: nn.Module) -> list[nn.Parameter]:
    """The parameters that semivox has too, in its order."""
    cancelled: set[nn.Parameter] = set()
    for block in network.modules():
        if isinstance(block, nn.Sequential):
            layers = list(block)
            for layer, following in pairwise(layers):
                if isinstance(following, nn.BatchNorm3d):
                    cancelled.add(layer.bias)
    return [parameter for parameter in network.parameters() if parameter not in cancelled]


def make_teacher(student: nn.Module, teacher: nn.Module) -> None:
    """The teacher starts as the student, learns nothing by gradient, and normalises with its own batch
    without keeping statistics of it: those are averaged from the student's, like the weights."""
    teacher.load_state_dict(student.state_dict())
    for parameter in teacher.parameters():
        parameter.requires_grad_(False)
    for module in teacher.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.momentum = 0.0


@torch.no_grad()
def update_teacher(student: nn.Module, teacher: nn.Module, decay: float) -> None:
    """teacher <- decay x teacher + (1 - decay) x student, weights and statistics."""
    for old, new in zip(teacher.parameters(), student.parameters(), strict=True):
        old.mul_(decay).add_(new, alpha=1 - decay)
    for old, new in zip(teacher.buffers(), student.buffers(), strict=True):
        if old.is_floating_point():
            old.mul_(decay).add_(new, alpha=1 - decay)
