"""Keyed randomness: every random draw is a pure function of its key.

A key is a tuple of names and numbers such as ``(seed, "batches", stage, step, sample, "rotation")``. No
generator state is kept anywhere, so a resumed run, another process, or a run with one term switched off
draws exactly the same numbers.

>>> key = Key(0) / "crop" / 3
>>> key.numpy().random() == (Key(0) / "crop" / 3).numpy().random()
True
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


class Key:
    """An immutable path of names and numbers; ``key / part`` is a new key below it."""

    __slots__ = ("parts",)

    def __init__(self, *parts: str | int) -> None:
        self.parts = parts

    def __truediv__(self, part: str | int) -> Key:
        return Key(*self.parts, part)

    def __repr__(self) -> str:
        return f"Key{self.parts!r}"

    def digest(self) -> bytes:
        """16 bytes that depend on every part (and on whether it is a name or a number)."""
        return hashlib.blake2b(repr(self.parts).encode(), digest_size=16).digest()

    def seed(self) -> int:
        """A seed in 0 .. 2^63-1 for generators that take one integer."""
        return int.from_bytes(self.digest()[:8], "little") >> 1

    def numpy(self) -> np.random.Generator:
        """A fresh NumPy generator for this key."""
        return np.random.Generator(np.random.Philox(key=int.from_bytes(self.digest(), "little")))

    def torch(self) -> torch.Generator:
        """A fresh CPU torch generator for this key."""
        import torch

        return torch.Generator().manual_seed(self.seed())


@dataclass(frozen=True)
class BatchKey:
    """A key for draws over a batch: row i is drawn from ``key / (first + i)``.

    ``first`` is the position of this process's first sample in the global batch, so a process that holds a
    slice of the batch draws the same numbers for its samples as one process that holds them all.
    """

    key: Key
    first: int = 0

    def __truediv__(self, part: str | int) -> BatchKey:
        return BatchKey(self.key / part, self.first)

    def uniform(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Uniform numbers in [0, 1) of ``shape`` (B, ...), float32, on the CPU."""
        import torch

        rows = [
            torch.rand(shape[1:], generator=(self.key / (self.first + i)).torch()) for i in range(shape[0])
        ]
        return torch.stack(rows) if rows else torch.empty(shape)

    def normal(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Standard normal numbers of ``shape`` (B, ...), float32, on the CPU."""
        import torch

        rows = [
            torch.randn(shape[1:], generator=(self.key / (self.first + i)).torch()) for i in range(shape[0])
        ]
        return torch.stack(rows) if rows else torch.empty(shape)
