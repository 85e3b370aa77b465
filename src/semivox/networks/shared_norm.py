"""Batch normalisation with the statistics of all processes' rows, on CPU and GPU alike.

torch's SyncBatchNorm does the same on GPUs and raises on a CPU. With n_i values a channel in process i, their
mean m_i and variance v_i, N = sum n_i:

    m = sum n_i m_i / N                v = sum n_i (v_i + (m_i - m)^2) / N            (Chan et al., 1983)

Backward, with z = (x - m) / sqrt(v + eps), g the gradient of y = w z + b, and sums over all processes:

    dx = w / sqrt(v + eps) (g - sum(g) / N - z sum(g z) / N)

The gradients of w and b stay this process's part of their sums, as those of the convolutions do.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from semivox.networks.shard import Part


def shared_batch_norm(
    x: Tensor, weight: Tensor, bias: Tensor, eps: float, part: Part
) -> tuple[Tensor, Tensor, Tensor]:
    """``x`` (B of this process, C, ...) normalised; mean (C,) and biased variance (C,) of all rows."""
    y, mean, var = _SharedBatchNorm.apply(x, weight, bias, eps, part)
    return y, mean, var


def statistics(x: Tensor, part: Part) -> tuple[Tensor, Tensor]:
    """Mean and biased variance (C,) over the rows of all processes and all voxels, at least float32."""
    channels = x.shape[1]
    kind = torch.promote_types(x.dtype, torch.float32)
    own = torch.zeros(2, channels, dtype=kind, device=x.device)
    if len(x):
        # one pass over x, many times faster than var_mean; given wide buffers it answers in their precision
        wide = None if x.dtype == kind else torch.zeros_like(own[0])
        own = torch.stack(torch.batch_norm_update_stats(x, wide, wide, 0.0)).to(kind)
    assert part.shard is not None
    everyone = part.shard.gather(own.reshape(1, -1), (1,) * part.shard.ranks).unflatten(1, (2, channels))
    means, variances = everyone.unbind(1)  # (processes, C)
    weights = part.weights(means)
    mean = (weights * means).sum(0)
    return mean, (weights * (variances + (means - mean).square())).sum(0)


class _SharedBatchNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, part: Part
    ) -> tuple[Tensor, Tensor, Tensor]:
        mean, var = statistics(x, part)
        y = functional.batch_norm(x, mean, var, weight, bias, False, 0.0, eps) if len(x) else x.clone()
        ctx.save_for_backward(x, weight, mean, var)
        ctx.eps, ctx.part = eps, part
        ctx.mark_non_differentiable(mean, var)
        return y, mean, var

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor, *statistics: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        x, weight, mean, var = ctx.saved_tensors
        own_w, own_b = torch.zeros_like(mean), torch.zeros_like(mean)
        if len(x):
            # with given statistics torch's kernel yields sum(g z) and sum(g) of these rows
            _, own_w, own_b = torch.ops.aten.native_batch_norm_backward(
                g, x, weight, mean, var, None, None, False, ctx.eps, [False, True, True]
            )
        sums = ctx.part.shard.sum(torch.stack([own_w, own_b]))
        values = ctx.part.total * math.prod(x.shape[2:])
        scale = (var + ctx.eps).rsqrt()
        by_g = weight * scale
        by_x = by_g * scale * sums[0] / values
        rest = by_g * sums[1] / values - by_x * mean
        by_g, by_x, rest = (t.reshape(-1, *(1,) * (x.dim() - 2)) for t in (by_g, by_x, rest))
        dx = torch.addcmul(-rest, x, by_x, value=-1).addcmul_(g, by_g)
        return dx.to(x.dtype), own_w.to(weight.dtype), own_b.to(weight.dtype), None, None


__all__ = ["shared_batch_norm", "statistics"]
