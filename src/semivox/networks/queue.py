"""A first-in-first-out memory of vectors, for negatives from earlier steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn


class Queue(nn.Module):
    """The newest ``size`` vectors, each with the case (and class) it came from.

    All state is in buffers, so in ``state_dict()``: ``vectors`` (size, D) float32; ``case`` (size,) int64, -1
    where nothing was pushed yet; ``label`` (size,) int64; ``position`` () int64, the next slot. Momentum
    contrast (He et al., CVPR 2020) keeps its keys so; that each entry knows its case, so that no anchor meets
    its own, is ours.
    """

    vectors: Tensor
    case: Tensor
    label: Tensor
    position: Tensor

    def __init__(self, size: int, outputs: int) -> None:
        super().__init__()
        if size < 1 or outputs < 1:
            raise ValueError(f"a queue needs a size and a width of at least 1, got {size} and {outputs}")
        self.register_buffer("vectors", torch.zeros(size, outputs))
        self.register_buffer("case", torch.full((size,), -1))
        self.register_buffer("label", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.vectors)

    @torch.no_grad()
    def push(self, vectors: Tensor, case: Tensor, label: Tensor | None = None) -> None:
        """``vectors`` (n, D), of ``case`` (n,) and ``label`` (n,) (None: 0), replace the oldest entries.

        Of more than ``size`` the last stay; a case of -1 leaves its slot empty. No gradient goes through.
        """
        n, size = len(vectors), len(self)
        if vectors.shape[1:] != self.vectors.shape[1:] or case.shape != (n,):
            raise ValueError(
                f"expected vectors (n, {self.vectors.shape[1]}) and cases (n,), "
                f"got {tuple(vectors.shape)} and {tuple(case.shape)}"
            )
        if label is None:
            label = torch.zeros_like(case)
        kept = slice(max(n - size, 0), None)
        slots = (self.position + torch.arange(n, device=self.position.device)[kept]) % size
        # Out of place: a loss of this step may still need the old entries in its backward pass.
        self.vectors = self.vectors.index_copy(0, slots, vectors[kept].to(self.vectors))
        self.case = self.case.index_copy(0, slots, case[kept].to(self.case))
        self.label = self.label.index_copy(0, slots, label[kept].to(self.label))
        self.position = (self.position + n) % size

    @property
    def filled(self) -> Tensor:
        """(size,) bool: where something was pushed."""
        return self.case >= 0

    def exclude(self, case: Tensor) -> Tensor:
        """(n, size) bool: entries that are empty or of the anchor's own case. ``case`` (n,)."""
        own = case.to(self.case)[:, None] == self.case
        return own | ~self.filled


class ClassQueues(nn.ModuleList):
    """A :class:`Queue` of ``size`` for each of ``classes``, so that frequent ones push out no rare ones."""

    def __init__(self, classes: Sequence[int], size: int, outputs: int) -> None:
        super().__init__(Queue(size, outputs) for _ in classes)
        self.classes = tuple(classes)

    @property
    def memory(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Vectors, classes and cases of each queue."""
        return [(queue.vectors, queue.label, queue.case) for queue in cast(list[Queue], list(self))]

    def push(self, vectors: Tensor, case: Tensor, label: Tensor, present: Tensor) -> None:
        """The rows of ``vectors`` (n, D) that are ``present`` (n,) bool, each into the queue of its label."""
        for c, queue in zip(self.classes, cast(list[Queue], list(self)), strict=True):
            new = present & (label == c)
            queue.push(vectors[new], case[new], label[new])


__all__ = ["ClassQueues", "Queue"]
