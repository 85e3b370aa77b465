"""MC-Net, mutual consistency of two decoders.

Idea: two decoders on one encoder learn each other's sharpened answers
Paper: Wu, Xu, Ge, Cai, Zhang; MICCAI 2021
Basis: published code

One encoder, two decoders that differ in how they upsample: f_1 by transposed convolutions, f_2 by linear
interpolation. Where they disagree a voxel is hard; on all crops each learns the other's sharpened answer:

    L = 1/2 [L_seg(f_1(x_l), y_l) + L_seg(f_2(x_l), y_l)]
        + w(t) [MSE(p_1, sharp(p_2)) + MSE(p_2, sharp(p_1))],     sharp(p) = p^(1/T) / sum over k of p_k^(1/T)

With p = softmax(z), sharp(p) is softmax(z / T). T = 0.1; w(t) is 1 with a Gaussian warm-up over the run.

Differs from the paper and its code: L_seg is Dice + cross-entropy (there Dice); the sharpened side is held
fixed; nothing outside the scan is compared; averaged weights predict, those of the first decoder. The second
network holds the first one's encoder, which is computed once a step: `encode`, then both `decode`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from semivox.losses import segmentation_loss, softmax_mse
from semivox.methods.conventions import PUBLISHED_SGD, gaussian_ramp, labeled_and_unlabeled
from semivox.methods.declare import At, Batch, Facts, Method, Pair, Player, Stage, Term
from semivox.networks import Segmenter
from semivox.networks.layers import convolution, initialise
from semivox.randomness import Key


@dataclass(frozen=True)
class MCNetSettings:
    paper_steps: int = 6000
    """Steps of the paper's run; constants counted in steps scale with the run's length by it."""
    segmentation: float = 0.5
    """Weight of each decoder's supervised loss."""
    consistency: float = 1.0
    """Weight of the mutual consistency at the end of its warm-up; 0 drops both terms."""
    temperature: float = 0.1
    """T: the smaller, the sharper is what a decoder is told."""
    ema_decay: float = 0.99
    """Decay of the averaged weights that predict (at paper_steps)."""
    dropout: float = 0.5
    """Share of channels dropped at the network's dropout places."""


class MCNet(Method):
    Settings = MCNetSettings
    paper: ClassVar[Mapping[str, Any]] = PUBLISHED_SGD

    def __init__(self, facts: Facts, settings: MCNetSettings) -> None:
        super().__init__()
        self.settings = settings
        names = ("student", "student", "second")
        networks = (facts.network(name, dropout=settings.dropout) for name in names)
        self.student, self.teacher, self.second = (cast(Segmenter, network) for network in networks)
        _interpolate_upwards(self.second.trunk, facts.key / "network" / "second" / "up")
        for name in ("encoders", "downs"):  # a V-Net's way down has both, a U-Net's the first
            if hasattr(self.student.trunk, name):
                setattr(self.second.trunk, name, getattr(self.student.trunk, name))

    def stages(self, facts: Facts) -> Sequence[Stage]:
        players = (Player("segmenter", ("student", "second")),)  # what both hold moves once
        pairs = (Pair("student", "teacher", self.settings.ema_decay),)
        return [Stage("train", labeled_and_unlabeled(facts), players, pairs)]

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        s, labeled, unlabeled = self.settings, batch["labeled"], batch["unlabeled"]
        x = torch.cat([labeled.views["weak"], unlabeled.views["weak"]])  # (B, C, X, Y[, Z])
        valid, n_l = torch.cat([labeled.valid, unlabeled.valid]), len(labeled.valid)
        drop = at.rng("dropout")
        features = self.student.encode(x, drop=drop)
        logits_1, logits_2 = (net.decode(features, drop).logits for net in (self.student, self.second))

        terms = {}
        for suffix, logits in (("", logits_1), ("_second", logits_2)):
            loss = segmentation_loss(logits[:n_l], *labeled.supervision)
            terms[f"segmentation{suffix}"] = Term(loss, s.segmentation)
        if s.consistency:
            weight = s.consistency * gaussian_ramp(at.progress)
            for suffix, own, other in (("", logits_1, logits_2), ("_second", logits_2, logits_1)):
                told = other.detach() / s.temperature
                terms[f"consistency{suffix}"] = Term(softmax_mse(own, told, valid), weight)
        return terms


class Interpolated(nn.Module):
    """A 1x1 convolution and linear interpolation in the place of a transposed convolution."""

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, ...], key: Key) -> None:
        super().__init__()
        self.stride = tuple(float(s) for s in stride)
        self.conv = convolution(inputs, outputs, (1,) * len(stride), bias=False)
        initialise(self, key)

    def forward(self, x: Tensor) -> Tensor:
        mode = "trilinear" if x.dim() == 5 else "bilinear"
        return functional.interpolate(self.conv(x), scale_factor=self.stride, mode=mode)


def _interpolate_upwards(trunk: nn.Module, key: Key) -> None:
    """Put an :class:`Interpolated` in the place of every transposed convolution."""
    for name, layer in list(trunk.named_modules()):
        if isinstance(layer, nn.ConvTranspose2d | nn.ConvTranspose3d):
            up = Interpolated(layer.in_channels, layer.out_channels, tuple(layer.stride), key / name)
            parent, _, attribute = name.rpartition(".")
            setattr(trunk.get_submodule(parent), attribute, up)
