"""Several processes, one batch: networks forward a part of its rows each, losses see all of them.

Inside ``with sharing(Shard(rank, ranks)):`` every process runs the same code on the same batch. A network
then takes its part of the rows (:func:`own_part`), and its outputs are gathered, so that what follows, the
losses, is that of one process. Backward, each process has the whole loss and hands its network the gradient
of its own rows: the gradients of a network's parameters are parts of a sum over the processes, those of all
else are whole. A gradient of a network's weights that passes through no forward would count once a process.

Collectives are called by all processes in the same order, because all run the same step. Outside of
``sharing`` (prediction, pseudo-labels) nothing here does anything.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from semivox.devices import share
from semivox.errors import ProcessLost
from semivox.randomness import BatchKey


@dataclass(frozen=True)
class Shard:
    """This process, ``rank`` of ``ranks``. ``group``: of torch.distributed, None for all processes."""

    rank: int
    ranks: int
    group: Any = None

    def gather(self, x: Tensor, counts: tuple[int, ...]) -> Tensor:
        """The rows of all processes, by rank; ``counts``: how many each has. No gradient."""
        from torch import distributed

        most = max(counts)
        mine = x.contiguous()
        if len(mine) < most:
            mine = torch.cat([mine, mine.new_zeros(most - len(mine), *x.shape[1:])])
        whole = mine.new_empty(self.ranks * most, *x.shape[1:])
        # its name since torch 2.13, and before
        gather = getattr(distributed, "all_gather_single", None) or distributed.all_gather_into_tensor
        with lost_processes():
            gather(whole, mine, group=self.group)
        if min(counts) == most:
            return whole
        return torch.cat([part[:n] for part, n in zip(whole.split(most), counts, strict=True)])

    def sum(self, x: Tensor) -> Tensor:
        """``x`` becomes its sum over all processes. No gradient."""
        from torch import distributed

        with lost_processes():
            distributed.all_reduce(x, group=self.group)
        return x


@contextlib.contextmanager
def lost_processes() -> Iterator[None]:
    """What torch.distributed says of a broken connection becomes ProcessLost."""
    from torch import distributed

    try:
        yield
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or "gloo" in str(error):
            said = re.sub(r"^\[.*?\.cc:\d+\]\s*", "", (str(error).splitlines() or [""])[0])  # its source file
            raise ProcessLost(
                "another process of this run ended or stands still",
                found=said.partition(". This is typically")[0] or type(error).__name__,
                remedy="see what it said; --resume goes on from the last checkpoint",
            ) from error
        raise


class Part:
    """This process's rows of a batch of ``total``; inside ``with part:`` statistics are those of all rows."""

    def __init__(self, total: int, shard: Shard | None) -> None:
        self.total, self.shard = total, shard

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Rows of each process."""
        assert self.shard is not None
        return tuple(len(share(self.total, rank, self.shard.ranks)) for rank in range(self.shard.ranks))

    @property
    def rows(self) -> range:
        assert self.shard is not None
        return share(self.total, self.shard.rank, self.shard.ranks)

    def weights(self, like: Tensor) -> Tensor:
        """(ranks, 1): each process's share of the rows, in ``like``'s type and on its device."""
        return _weights(self.counts, like.dtype, like.device)

    def take(self, x: Tensor) -> Tensor:
        """This process's rows of ``x`` (total, ...); a gradient that comes back is that of all rows."""
        return x if self.shard is None else _Take.apply(x, self)

    def key(self, key: BatchKey | None) -> BatchKey | None:
        """The key whose first row is this process's first."""
        if self.shard is None or key is None:
            return key
        return BatchKey(key.key, key.first + self.rows.start)

    def whole(self, x: Tensor) -> Tensor:
        """All rows (total, ...), of which ``x`` are this process's; its gradient is that of these."""
        return x if self.shard is None else _Whole.apply(x, self)

    def __enter__(self) -> Part:
        global _running
        _running = self if self.shard is not None else None
        return self

    def __exit__(self, *exception: object) -> None:
        global _running
        _running = None


class _Whole(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, part: Part) -> Tensor:
        assert part.shard is not None
        ctx.part = part
        return part.shard.gather(x, part.counts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        rows: range = ctx.part.rows
        return grad[rows.start : rows.stop], None


class _Take(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, part: Part) -> Tensor:
        ctx.part = part
        return x[part.rows.start : part.rows.stop]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.part.shard.gather(grad, ctx.part.counts), None


@lru_cache(maxsize=64)
def _weights(counts: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    # Kept: made anew from numbers, it would make the host wait for the device each time.
    return torch.tensor([n / sum(counts) for n in counts], dtype=dtype, device=device)[:, None]


_shard: Shard | None = None
_running: Part | None = None


@contextlib.contextmanager
def sharing(shard: Shard | None) -> Iterator[None]:
    """Networks called inside forward their part of the rows. None: all of them, as outside."""
    global _shard
    before, _shard = _shard, shard
    try:
        yield
    finally:
        _shard = before


def own_part(total: int) -> Part:
    """This process's part of a batch of ``total`` rows: all of it outside of :func:`sharing`."""
    return Part(total, _shard)


def running_part() -> Part | None:
    """The part whose forward is running, inside ``with part:``; None where it is the whole batch."""
    return _running


__all__ = ["Part", "Shard", "lost_processes", "own_part", "running_part", "sharing"]
