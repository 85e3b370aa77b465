"""The weighted mean all losses share: 0 with zero gradient where nothing has weight."""

from __future__ import annotations

import torch
from torch import Tensor


def weighted_mean(value_sum: Tensor, weight_sum: Tensor) -> Tensor:
    """``value_sum / weight_sum`` of scalars; 0 where the weight is 0."""
    return value_sum / torch.where(weight_sum > 0, weight_sum, 1)
