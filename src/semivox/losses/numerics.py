"""What all losses share: full precision under autocast (bfloat16 drops small differences), and the mean."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Run ``function`` with autocast off and half-precision tensor arguments turned into float32.

    float32 and float64 arguments stay what they are (float64 is for gradient checks).
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        device = next((x.device.type for x in (*args, *kwargs.values()) if isinstance(x, Tensor)), "cpu")
        call: Callable[..., R] = function
        with torch.autocast(device_type=device, enabled=False):
            return call(*map(_widen, args), **{name: _widen(x) for name, x in kwargs.items()})

    return run


def _widen(x: Any) -> Any:
    return x.float() if isinstance(x, Tensor) and x.dtype in (torch.float16, torch.bfloat16) else x


def weighted_mean(value_sum: Tensor, weight_sum: Tensor) -> Tensor:
    """``value_sum / weight_sum`` of scalars; 0 where the weight is 0."""
    return value_sum / torch.where(weight_sum > 0, weight_sum, 1)
