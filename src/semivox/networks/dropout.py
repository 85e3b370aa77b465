"""Dropout of whole channels whose masks are drawn from a key."""

from __future__ import annotations

import torch
from torch import Tensor

from semivox.randomness import BatchKey


def channel_mask(
    drop: BatchKey | None, place: str, p: float, x_shape: tuple[int, int], dims: int
) -> Tensor | None:
    """Factors (B, C, 1, 1[, 1]), 0 with probability ``p`` and else 1 / (1 - p); None if nothing is dropped.

    A row is a function of the key, ``place`` and the sample's number in the global batch.
    """
    if drop is None or p == 0:
        return None
    keep = (drop / place).uniform(x_shape) >= p
    return (keep / (1 - p)).to(torch.float32).reshape(*x_shape, *(1,) * dims)


def apply_mask(x: Tensor, mask: Tensor | None) -> Tensor:
    """``x`` (B, C, ...) times ``mask``, in ``x``'s precision; ``x`` itself without a mask."""
    return x if mask is None else x * mask.to(x.dtype)


__all__ = ["apply_mask", "channel_mask"]
