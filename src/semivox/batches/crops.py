"""One stream of a batch: crops of scans, their views and their targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from semivox.devices import send
from semivox.prepare import Plan


def region_table(plan: Plan) -> Tensor | None:
    """(R, K-1) float32, what Dice is taken of: a row for each region, 1 where a class is a part of it, then
    one for each class that is no region itself; None where classes are judged.

    Without the classes, nested regions hardly ask a network to tell their parts apart.
    """
    if not plan.regions:
        return None
    parts = [sorted(k - 1 for k in region.values) for region in plan.scheme.each]
    parts += [[k] for k in range(len(plan.classes)) if [k] not in parts]
    table = torch.zeros(len(parts), len(plan.classes))
    for row, part in zip(table, parts, strict=True):
        row[part] = 1
    return table


@dataclass(frozen=True)
class Crops:
    """Crops of B samples on the working grid.

    views: name ("weak", "strong", "intensity") -> (B, C, X, Y[, Z]) float32; of one crop, with one geometry.
        "recrop" is of another crop of the same case; all below is that of the other views.
    target: (B, K-1, X, Y[, Z]) float32 class fractions in 0..1; None for streams without targets.
    valid: (B, 1, X, Y[, Z]) float32, 1 inside the scan, not "ignore" and confident enough, else 0.
    annotated: (B, K-1) float32, 1 where the class was annotated in this case; all 1 for pseudo-labels.
    sdm: (B, K-1, X, Y[, Z]) float32 signed distances in [-1, 1], negative inside; None if not asked for.
    case: (B,) int64 index of the case in the store's order.
    regions: (R, K-1) float32, :func:`region_table`; None where classes are judged.
    box: (B, dims, 2) float32 start and stop of the crop's (unrotated) box on the case's working grid, voxels.
    """

    views: Mapping[str, Tensor]
    target: Tensor | None
    valid: Tensor
    annotated: Tensor
    sdm: Tensor | None
    case: Tensor
    box: Tensor
    regions: Tensor | None = None

    @property
    def labels(self) -> Tensor:
        """``target`` of a stream that has one: (B, K-1, X, Y[, Z]). Raises ValueError where there is none."""
        if self.target is None:
            raise ValueError(
                "this stream has no targets: declare it as Stream(..., target='label'), 'pseudo' or 'either'"
            )
        return self.target

    @property
    def supervision(self) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """``labels``, ``valid``, ``annotated``, ``regions``: what a segmentation loss compares with."""
        return self.labels, self.valid, self.annotated, self.regions

    @property
    def distances(self) -> Tensor:
        """``sdm``, of a stream that was asked for it: (B, K-1, X, Y[, Z]). Raises ValueError elsewhere."""
        if self.sdm is None:
            raise ValueError("this stream has no distance maps: declare it as Stream(..., sdm=True)")
        return self.sdm

    def first(self, rows: int) -> Crops:
        """The first ``rows`` samples."""
        return Crops(
            {name: view[:rows] for name, view in self.views.items()},
            None if self.target is None else self.target[:rows],
            self.valid[:rows],
            self.annotated[:rows],
            None if self.sdm is None else self.sdm[:rows],
            self.case[:rows],
            self.box[:rows],
            self.regions,
        )

    def to(self, device: torch.device) -> Crops:
        """The same crops on ``device``."""

        return Crops(
            {name: send(view, device) for name, view in self.views.items()},
            None if self.target is None else send(self.target, device),
            send(self.valid, device),
            send(self.annotated, device),
            None if self.sdm is None else send(self.sdm, device),
            send(self.case, device),
            send(self.box, device),
            None if self.regions is None else send(self.regions, device),
        )
