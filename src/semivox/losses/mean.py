"""The weighted mean all losses share: 0 with zero gradient where nothing has weight, exact over processes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Total = Callable[[Tensor], Tensor]
"""Sums a tensor over the processes that share one batch, differentiably; None where there is one process."""


def weighted_mean(value_sum: Tensor, weight_sum: Tensor, total: Total | None = None) -> Tensor:
    """``value_sum / weight_sum`` of scalars, both summed over processes first; 0 where the weight is 0."""
    if total is not None:
        value_sum, weight_sum = total(torch.stack([value_sum, weight_sum.to(value_sum.dtype)])).unbind()
    return value_sum / torch.where(weight_sum > 0, weight_sum, 1)
