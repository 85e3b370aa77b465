"""Normalisation: by batches, the mode an argument of the call and no state of the module, or by samples."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from semivox.errors import SettingsError
from semivox.networks.contract import NormMode
from semivox.networks.shard import Part, running_part
from semivox.networks.shared_norm import shared_batch_norm


class BatchNorm(nn.Module):
    """Batch normalisation over (B, C, ...) in 2D and 3D.

    ``train()`` and ``eval()`` change nothing: see :mod:`semivox.networks.contract` for the modes. Both
    buffers are float, so an EMA may average a network's whole state.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor, norm: NormMode) -> Tensor:
        if norm == "running":
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, False, self.momentum, self.eps
            )
        part = running_part()
        if (len(x) if part is None else part.total) * math.prod(x.shape[2:]) == 1:
            raise SettingsError(
                "batch normalisation needs more than one value per channel",
                found=f"a batch of 1 and {tuple(x.shape[2:])} voxels at this level",
                remedy="use a larger patch, at least two crops a step, or a network with fewer levels",
            )
        if part is not None and norm in ("update", "batch"):
            return self._shared(x, norm, part)
        if norm == "update":
            return functional.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, True, self.momentum, self.eps
            )
        if norm == "batch":
            return functional.batch_norm(x, None, None, self.weight, self.bias, True, self.momentum, self.eps)
        raise SettingsError("unknown mode of normalisation", found=norm, expected="update, batch or running")

    def _shared(self, x: Tensor, norm: NormMode, part: Part) -> Tensor:
        """``update`` and ``batch`` with the rows of all processes, of which ``x`` are this one's."""
        y, mean, var = shared_batch_norm(x, self.weight, self.bias, self.eps, part)
        if norm == "update":
            values = part.total * math.prod(x.shape[2:])
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var * (values / (values - 1)), self.momentum)
        return y


class InstanceNorm(nn.Module):
    """Each channel of each sample by its own mean and deviation (Ulyanov et al., arXiv 1607.08022), in 2D and
    3D: the same in every mode.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, norm: NormMode) -> Tensor:
        if math.prod(x.shape[2:]) == 1:  # its own mean: nothing is left of it
            return torch.zeros_like(x) + self.bias.to(x.dtype).view(-1, *[1] * (x.dim() - 2))
        # Batch normalisation of one sample at a time: on a CPU the fastest of torch's ways by far, and it
        # keeps the memory layout.
        normed = [
            functional.batch_norm(sample, None, None, self.weight, self.bias, True, 0.0, self.eps)
            for sample in x.split(1)
        ]
        return torch.cat(normed)


NORMS = {"batch": BatchNorm, "instance": InstanceNorm}

__all__ = ["NORMS", "BatchNorm", "InstanceNorm"]
