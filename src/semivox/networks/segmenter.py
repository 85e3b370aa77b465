"""A segmentation network: a trunk, its output heads, keyed dropout, precision and memory layout.

This is the one place where autocast and layout live; what comes out is float32 and contiguous.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from semivox.devices import send
from semivox.errors import SettingsError
from semivox.networks.blocks import apply_mask, channel_mask
from semivox.networks.compiled import in_form
from semivox.networks.contract import NormMode, Output
from semivox.networks.layers import convolution
from semivox.networks.shard import Part, own_part
from semivox.networks.unet import UNet
from semivox.networks.vnet import VNet
from semivox.prepare import NetworkPlan
from semivox.randomness import BatchKey

Precision = Literal["fp32", "bf16"]
TRUNKS: dict[str, type[VNet] | type[UNet]] = {"vnet": VNet, "unet": UNet}
DROPS_OUTPUT = ("vnet",)
"""Kinds that also drop channels before the heads, as the papers' V-Net does. In the U-Net family it doubles
the steps that a short run needs, so there dropout acts at the bottleneck alone."""


def _plain(x: Tensor) -> Tensor:
    """Float32 (float64 stays) in the ordinary layout, for losses that use ``view``."""
    kind = torch.promote_types(x.dtype, torch.float32)
    return x.to(kind, memory_format=torch.contiguous_format)


class Features(Mapping[str, Tensor]):
    """Activations by name, turned to float32 when they are asked for (most never are).

    ``own``: the activations as they were computed, of the rows of ``part`` (None: all); the others' are
    gathered.
    """

    def __init__(self, own: dict[str, Tensor], part: Part | None = None) -> None:
        self.own, self.part = own, part or Part(0, None)

    def __getitem__(self, name: str) -> Tensor:
        return self.part.whole(_plain(self.own[name]))

    def __iter__(self) -> Iterator[str]:
        return iter(self.own)

    def __len__(self) -> int:
        return len(self.own)

    def __repr__(self) -> str:
        return f"Features({', '.join(f'{name} {tuple(x.shape)}' for name, x in self.own.items())})"


Answer = tuple[Tensor, Tensor | None, list[Tensor], dict[str, Tensor]]
"""Logits, distance maps, logits of coarser scales and activations, of this process's rows."""


def _output(answer: Answer, part: Part) -> Output:
    logits, sdm, scales, found = answer
    return Output(
        part.whole(logits),
        None if sdm is None else part.whole(sdm),
        tuple(part.whole(scale) for scale in scales),
        Features(found, part),
    )


class Segmenter(nn.Module):
    """``net(x (B, C, X, Y[, Z]), drop, norm) -> Output``, see :mod:`semivox.networks.contract`.

    Dropout of whole channels acts after the bottleneck and, in a V-Net, before the heads. Features:
    ``encoder_i`` and ``decoder_i`` (i = 0 at full resolution), ``decoder`` (``decoder_0``) before dropout,
    ``bottleneck`` before and ``bottleneck_dropped`` after it; ``feature_channels`` has their channels.
    ``keep_features = False`` frees them early (prediction). Each axis of ``x`` is a multiple of ``multiple``.
    """

    def __init__(
        self,
        plan: NetworkPlan,
        channels: int,
        classes: int,
        *,
        sdm: bool = False,
        dropout: float = 0.5,
        scales: bool = False,
        precision: Precision = "fp32",
    ) -> None:
        super().__init__()
        self.plan, self.channels, self.classes = plan, channels, classes
        self.dropout, self.precision, self.scales, self.keep_features = dropout, precision, scales, True
        self.dims, self.multiple = len(plan.kernels[0]), plan.multiple
        self.memory_format = torch.channels_last if self.dims == 2 else torch.channels_last_3d
        features, one = plan.features, (1,) * self.dims
        levels = range(len(features) - 1)
        self.feature_channels = {
            **{f"encoder_{i}": features[i] for i in levels},
            "bottleneck": features[-1],
            "bottleneck_dropped": features[-1],
            **{f"decoder_{i}": features[i] for i in levels},
            "decoder": features[0],
        }
        self.trunk: VNet | UNet = TRUNKS[plan.kind](plan, channels)
        self.head = convolution(features[0], classes, one, bias=True)
        self.sdm_head = convolution(features[0], classes - 1, one, bias=True) if sdm else None
        self.scale_heads = nn.ModuleList(
            convolution(features[i], classes, one, bias=True) for i in levels[1:] if scales
        )
        self.to(memory_format=self.memory_format)  # type: ignore[call-overload]

    def forward(self, x: Tensor, drop: BatchKey | None = None, norm: NormMode = "update") -> Output:
        """Raises SettingsError if ``x`` has other channels or a size that is no multiple of ``multiple``."""
        self._check(x)
        part = own_part(len(x))
        x, drop = part.take(x), part.key(drop)
        # Masks are drawn here, apart from `compute`, so that `compute` holds nothing but tensor operations.
        at_bottleneck = self._mask(x, drop, "bottleneck", self.plan.features[-1])
        at_output = self._output_mask(x, drop)
        with part:
            answer = in_form(Segmenter.compute)(self, x, at_bottleneck, at_output, norm)
        return _output(answer, part)

    def encode(self, x: Tensor, drop: BatchKey | None = None, norm: NormMode = "update") -> Features:
        """``encoder_i``, ``bottleneck`` and ``bottleneck_dropped`` exactly as :meth:`forward` gives them; the
        decoder is not computed. Arguments and errors as there."""
        self._check(x)
        part = own_part(len(x))
        x, drop = part.take(x), part.key(drop)
        mask = self._mask(x, drop, "bottleneck", self.plan.features[-1])
        with part, self._autocast(x):
            x = x.contiguous(memory_format=self.memory_format)
            return Features(self.trunk.encode(x, norm, mask), part)

    def decode(self, features: Features, drop: BatchKey | None = None, norm: NormMode = "update") -> Output:
        """What :meth:`forward` gives, from what :meth:`encode` of this or another network gave; the encoder
        is not computed. So a method of several decoders runs one encoder once. The bottleneck's dropout is
        that of ``encode``; ``drop`` is for what comes after it."""
        part, found = features.part, dict(features.own)
        at_output = self._output_mask(found["bottleneck"], part.key(drop))
        with part:
            with self._autocast(found["bottleneck"]):
                found = self.trunk.decode(found, norm, self.keep_features or self.scales)
            answer = self._answer(found, at_output)
        return _output(answer, part)

    def _autocast(self, x: Tensor) -> torch.autocast:
        return torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def _output_mask(self, x: Tensor, drop: BatchKey | None) -> Tensor | None:
        if self.plan.kind not in DROPS_OUTPUT:
            return None
        return self._mask(x, drop, "output", self.plan.features[0])

    def _mask(self, x: Tensor, drop: BatchKey | None, place: str, channels: int) -> Tensor | None:
        mask = channel_mask(drop, place, self.dropout, (len(x), channels), self.dims)
        return None if mask is None else send(mask, x.device)

    def compute(
        self, x: Tensor, bottleneck_mask: Tensor | None, output_mask: Tensor | None, norm: NormMode
    ) -> Answer:
        """The tensor part of :meth:`forward`, see :mod:`semivox.networks.compiled`."""
        with self._autocast(x):
            x = x.contiguous(memory_format=self.memory_format)
            found = self.trunk(x, norm, bottleneck_mask, self.keep_features or self.scales)
        return self._answer(found, output_mask)

    def _answer(self, found: dict[str, Tensor], output_mask: Tensor | None) -> Answer:
        """The heads, on the decoder's activations."""
        with self._autocast(found["decoder_0"]):
            found["decoder"] = found["decoder_0"]
            last = apply_mask(found["decoder"], output_mask)
            logits = self.head(last)
            sdm = None if self.sdm_head is None else self.sdm_head(last)
            scales = [head(found[f"decoder_{i}"]) for i, head in enumerate(self.scale_heads, 1)]
        return (
            _plain(logits),
            None if sdm is None else _plain(sdm).tanh(),
            [_plain(scale) for scale in scales],
            found if self.keep_features else {},
        )

    def _check(self, x: Tensor) -> None:
        size = tuple(x.shape[2:])
        if x.dim() != self.dims + 2 or x.shape[1] != self.channels:
            raise SettingsError(
                "the network cannot take this input",
                found=f"shape {tuple(x.shape)}",
                expected=f"(batch, {self.channels} channels, {self.dims} axes)",
            )
        if any(n == 0 or n % m for n, m in zip(size, self.multiple, strict=True)):
            raise SettingsError(
                "the input's size does not fit the network's strides",
                found=f"{size} voxels",
                expected=f"multiples of {self.multiple}",
                remedy="pad the input or change the patch of the plan",
            )


__all__ = ["TRUNKS", "Features", "Precision", "Segmenter"]
