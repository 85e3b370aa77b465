"""What every network takes and gives: ``net(x, drop=key | None, norm="update" | "batch" | "running")``.

``drop``: a :class:`~semivox.randomness.BatchKey`; dropout draws its masks from it. None switches it off.
``norm``: ``update`` normalises with the batch and updates the running statistics, ``batch`` does not update,
``running`` uses the running statistics (prediction). A plan's ``instance`` normalisation is the same in all.
Networks of the plans also have ``net.encode(x, drop, norm)``, the encoder's features alone, and
``net.decode(features, drop, norm)``, the rest.
Everything in an :class:`Output` is float32; autocast and memory layout live inside the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from torch import Tensor
from torch.nn import functional

from semivox.randomness import BatchKey

NormMode = Literal["update", "batch", "running"]


@dataclass
class Output:
    """``logits`` (B, K, X, Y[, Z]); ``sdm`` (B, K-1, X, Y[, Z]) in (-1, 1) or None; ``scales``: logits of
    coarser decoder levels, finest first; ``features``: activations by name, among them ``bottleneck`` and
    ``decoder`` (the last one, full resolution)."""

    logits: Tensor
    sdm: Tensor | None = None
    scales: tuple[Tensor, ...] = ()
    features: Mapping[str, Tensor] = field(default_factory=dict)

    def at_full_size(self) -> list[Tensor]:
        """The logits of all scales brought to full size, (B, K, X, Y[, Z]) each, the finest first."""
        size = self.logits.shape[2:]
        mode = "trilinear" if len(size) == 3 else "bilinear"
        return [self.logits, *(functional.interpolate(s, size=size, mode=mode) for s in self.scales)]


class SegmentationNetwork(Protocol):
    """The forward contract as a type."""

    def __call__(self, x: Tensor, drop: BatchKey | None = None, norm: NormMode = "update") -> Output: ...


__all__ = ["NormMode", "Output", "SegmentationNetwork"]
