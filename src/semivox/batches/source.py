"""Where crops come from: what the sampler reads of a store and of its cases, and what it is to a loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from semivox.batches.crops import Crops


class BatchSource(Protocol):
    """Makes the batch of a step; a pure function of the step."""

    def batch(self, step: int) -> Mapping[str, Crops]: ...


class CropCase(Protocol):
    """What is read of a stored case; see :mod:`semivox.prepare.store`."""

    @property
    def image(self) -> np.ndarray: ...
    @property
    def target(self) -> np.ndarray | None: ...
    @property
    def valid(self) -> np.ndarray | None: ...
    @property
    def foreground(self) -> Mapping[int, np.ndarray]: ...
    @property
    def body(self) -> np.ndarray: ...
    @property
    def spacing(self) -> tuple[float, ...]: ...
    @property
    def annotated(self) -> np.ndarray: ...
    @property
    def known(self) -> np.ndarray | None: ...


class CropSource(Protocol):
    """Where cases come from: the store, or anything with these attributes."""

    @property
    def labeled(self) -> tuple[int, ...]: ...
    @property
    def unlabeled(self) -> tuple[int, ...]: ...
    @property
    def patients(self) -> tuple[str, ...]: ...
    def case(self, index: int, /) -> CropCase: ...
