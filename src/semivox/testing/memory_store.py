"""A store of drawn cases that lie in memory. Nobody may look at the labels of its unlabelled ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from semivox.prepare import FULL, Plan
from semivox.randomness import Key
from semivox.testing.faults import MethodFault

CONTRAST = (0.0, 2.0, -2.0, 4.0, -4.0)
"""Mean intensity of the background and of the classes, in standard deviations of the noise."""


@dataclass(frozen=True)
class MemoryRow:
    """What a bank of pseudo-labels reads of a case's row."""

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class MemoryCase:
    """A drawn case, with what is read of a stored one; see :class:`semivox.batches.CropCase`."""

    image: np.ndarray  # (C, X, Y[, Z]) float32
    labels: np.ndarray  # (X, Y[, Z]) class index
    classes: int  # K, background included
    labeled: bool
    name: str
    valid: None = None
    known: None = None

    @property
    def target(self) -> np.ndarray:
        self._may_be_seen("target")
        return self.truth

    @cached_property
    def truth(self) -> np.ndarray:
        """(K-1, X, Y[, Z]) uint8: the label, of an unlabelled case too. For measuring, never for training."""
        return np.stack(
            [(self.labels == k).astype(np.uint8) * np.uint8(FULL) for k in range(1, self.classes)]
        )

    @property
    def foreground(self) -> Mapping[int, np.ndarray]:
        self._may_be_seen("foreground")
        return self._voxels

    @cached_property
    def _voxels(self) -> dict[int, np.ndarray]:
        return {k: np.argwhere(self.labels == k) for k in range(1, self.classes) if (self.labels == k).any()}

    @property
    def annotated(self) -> np.ndarray:
        return np.full(self.classes - 1, float(self.labeled), np.float32)

    @cached_property
    def body(self) -> np.ndarray:
        bright = self.image.mean(axis=0)
        return np.argwhere(bright > bright.mean())

    @property
    def spacing(self) -> tuple[float, ...]:
        return (1.0,) * self.labels.ndim

    def _may_be_seen(self, what: str) -> None:
        if not self.labeled:
            raise MethodFault(
                f"somebody asked for the {what} of the unlabelled case {self.name!r}. A method sees "
                "labels in the streams of labelled cases alone: take them from `batch`"
            )


class MemoryStore:
    """``labeled`` cases, then ``unlabeled`` ones, each of its own patient, a pure function of ``key``.

    Class 1 is a ball, class 2 a winding vessel, class 3 a ball again and so on, each of its own brightness.
    """

    def __init__(self, plan: Plan, labeled: int, unlabeled: int, key: Key) -> None:
        self.plan, self.key = plan, key
        self.labeled = tuple(range(labeled))
        self.unlabeled = tuple(range(labeled, labeled + unlabeled))

    @cached_property
    def _drawn(self) -> tuple[MemoryCase, ...]:
        return tuple(
            draw_case(self.plan, self.key / case, labeled=case in self.labeled, name=f"case_{case}")
            for case in (*self.labeled, *self.unlabeled)
        )

    @property
    def cases(self) -> tuple[str, ...]:
        return tuple(case.name for case in self._drawn)

    @property
    def patients(self) -> tuple[str, ...]:
        return self.cases

    @property
    def rows(self) -> tuple[MemoryRow, ...]:
        return tuple(MemoryRow(case.name, case.labels.shape) for case in self._drawn)

    def case(self, index: int, /) -> MemoryCase:
        return self._drawn[index]


def draw_case(plan: Plan, key: Key, *, labeled: bool = True, name: str = "case") -> MemoryCase:
    """A case a quarter larger than a crop, with every class of the plan in it."""
    shape, classes = tuple(n + n // 4 for n in plan.patch), len(plan.classes) + 1
    grid = np.stack(np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij"))  # (dims, X, Y[, Z])
    labels = np.zeros(shape, np.int64)
    for k in range(1, classes):
        rng = (key / "shape" / k).numpy()
        draw = _ball if k % 2 else _vessel
        labels[draw(grid, rng)] = k
    noise = (key / "noise").numpy().standard_normal((len(plan.channels), *shape))
    contrast = np.array(CONTRAST)[labels % len(CONTRAST)]
    gain = 1 + 0.5 * np.arange(len(plan.channels)).reshape(-1, *(1,) * labels.ndim)
    image = gain * contrast + noise
    space = tuple(range(1, image.ndim))
    image = (image - image.mean(space, keepdims=True)) / image.std(space, keepdims=True)
    return MemoryCase(image.astype(np.float32), labels, classes, labeled, name)


def _ball(grid: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    centre = rng.uniform(0.3, 0.7, len(grid)).reshape(-1, *(1,) * (grid.ndim - 1))
    return np.asarray(np.square(grid - centre).sum(0) < rng.uniform(0.17, 0.25) ** 2)


def _vessel(grid: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A tube along the first axis that swings along the second."""
    middle = rng.uniform(0.3, 0.7) + 0.15 * np.sin(2 * np.pi * (grid[0] + rng.uniform()))
    distance = np.square(grid[1] - middle)
    if len(grid) == 3:
        distance = distance + np.square(grid[2] - rng.uniform(0.4, 0.6))
    return np.asarray(distance < rng.uniform(0.08, 0.12) ** 2)
