"""What a stream may know of a case's classes: its label, its pseudo-label, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from semivox.batches.source import CropCase
from semivox.batches.stream import Stream
from semivox.devices import send
from semivox.prepare import FULL


@dataclass(frozen=True)
class PseudoLabel:
    """What a network says of one unlabelled case, on the working grid.

    target: (K-1, X, Y[, Z]) uint8 class fractions, 255 = fully that class.
    confidence: (1, X, Y[, Z]) uint8, 255 = certain.
    foreground: class index (from 1) -> (n, dims) voxels of that class; absent classes lack.
    floors: of each class, background first, the confidence in 0..1 below which a voxel has no weight; 0 for
        all if empty.
    weight: of the scan, in 0..1.
    """

    target: np.ndarray
    confidence: np.ndarray
    foreground: Mapping[int, np.ndarray]
    floors: tuple[float, ...] = ()
    weight: float = 1.0

    def weights(self, confidence: Tensor, target: Tensor) -> Tensor:
        """Weights (1, ...) in 0..1 of voxels of this confidence (1, ...) and target (K-1, ...), both 0..255.

        ``weight`` x (confidence - floor) / (1 - floor), with the floor of the voxel's class; where classes
        mix, that of the mixture.
        """
        fractions = target / FULL
        background = (1 - fractions.sum(0, keepdim=True)).clamp(min=0)
        floors = torch.tensor(self.floors or (0.0,) * (len(target) + 1), dtype=torch.float32)
        floors = send(floors, target.device)
        floor = torch.tensordot(floors, torch.cat([background, fractions]), 1)[None]
        return self.weight * ((confidence / FULL - floor) / (1 - floor).clamp(min=1e-3)).clamp(0, 1)


class PseudoLabels(Protocol):
    """Where pseudo-labels come from: those of the newest relabelling, by the case's index in the store.
    ``agreement``: the Dice with which the views of a case agreed when it was labelled, 1 for a single one."""

    def labels(self, index: int, /) -> PseudoLabel: ...
    def agreement(self, index: int, /) -> float: ...


@dataclass(frozen=True)
class Annotation:
    """The classes of one case, as one stream may see them.

    target: (K-1, X, Y[, Z]) uint8, None where the stream has no target.
    foreground: class index (from 1) -> (n, dims) voxels; None for an unlabelled case without pseudo-label.
    annotated: (K-1,), 1 where the class is known.
    pseudo: the pseudo-label, where all this is from one.
    """

    target: np.ndarray | None
    foreground: Mapping[int, np.ndarray] | None
    annotated: np.ndarray
    pseudo: PseudoLabel | None = None

    @property
    def voxels(self) -> dict[int, np.ndarray]:
        """The annotated classes that have voxels, and these."""
        found = self.foreground or {}
        return {k: found[k] for k in sorted(found) if len(found[k]) and self.annotated[k - 1] > 0}


def annotation_for(
    index: int, case: CropCase, labeled: bool, stream: Stream, pseudo: PseudoLabels | None
) -> Annotation:
    """What ``stream`` may know of case ``index``. An unlabelled case's own label is never touched."""
    if labeled:
        target = case.target if stream.target is not None else None
        return Annotation(target, case.foreground, case.annotated)
    if stream.target is None or pseudo is None:
        return Annotation(None, None, case.annotated)
    label = pseudo.labels(index)
    known = np.ones(len(label.target), np.float32)
    return Annotation(label.target, label.foreground, known, label)
