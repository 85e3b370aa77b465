"""What a stream may know of a case's classes: its label, its pseudo-label, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from semivox.batches.source import CropCase
from semivox.batches.stream import Stream


@dataclass(frozen=True)
class PseudoLabel:
    """What a network says of one unlabelled case, on the working grid.

    target: (K-1, X, Y[, Z]) uint8 class fractions, 255 = fully that class.
    confidence: (1, X, Y[, Z]) uint8, 255 = certain.
    foreground: class index (from 1) -> (n, dims) voxels of that class; absent classes lack.
    """

    target: np.ndarray
    confidence: np.ndarray
    foreground: Mapping[int, np.ndarray]


class PseudoLabels(Protocol):
    """Where pseudo-labels come from: those of the newest relabelling, by the case's index in the store."""

    def labels(self, index: int, /) -> PseudoLabel: ...


@dataclass(frozen=True)
class Annotation:
    """The classes of one case, as one stream may see them.

    target: (K-1, X, Y[, Z]) uint8, None where the stream has no target.
    confidence: (1, X, Y[, Z]) uint8 of a pseudo-label, else None.
    foreground: class index (from 1) -> (n, dims) voxels; None for an unlabelled case without pseudo-label.
    annotated: (K-1,), 1 where the class is known.
    """

    target: np.ndarray | None
    confidence: np.ndarray | None
    foreground: Mapping[int, np.ndarray] | None
    annotated: np.ndarray

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
        return Annotation(target, None, case.foreground, case.annotated)
    if stream.target is None or pseudo is None:
        return Annotation(None, None, None, case.annotated)
    label = pseudo.labels(index)
    return Annotation(
        label.target, label.confidence, label.foreground, np.ones(len(label.target), np.float32)
    )
