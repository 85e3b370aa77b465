"""The segmentation of one scan, on the scan's own grid, and what can be measured in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from semivox.cohort import Segment, Volume, inside, mark_of, mask_place, write_mask
from semivox.components import box_of, count_components
from semivox.errors import DataError


@dataclass(frozen=True)
class Segmentation:
    """What :meth:`Model.predict` returns.

    Parameters
    ----------
    mask
        (X, Y[, Z]) label values, integer, in the file's own axes and shape.
    volume
        The scan, with affine and source.
    classes
        Label value -> name, background excluded; where there are regions, number -> name.
    mean_entropy
        Nats, over the predicted foreground and a margin (:func:`semivox.inference.uncertainty.mean_entropy`).
    spacing_known
        False where the model knows no spacing; the scan may not know its own either. Then there are no
        millilitres.
    probabilities
        (K, X, Y[, Z]) float32, index 0 the background, if asked for.
    uncertainty
        (X, Y[, Z]) float32 entropy in nats, if asked for.
    segments
        Names, colours and codes of the classes, for formats that keep them.
    parts
        What regions are made of: number -> label values; empty where there are none.
    agreements
        Of the model that made it, and of each of its runs, by id
        (:mod:`semivox.inference.agreement`).
    found
        The mask before smaller pieces were taken from it; None where none were.
    """

    mask: np.ndarray
    volume: Volume
    classes: Mapping[int, str]
    mean_entropy: float
    spacing_known: bool = True
    probabilities: np.ndarray | None = None
    uncertainty: np.ndarray | None = None
    segments: tuple[Segment, ...] | None = None
    found: np.ndarray | None = None
    parts: Mapping[int, Sequence[int]] = field(default_factory=dict)
    agreements: Mapping[str, Mapping[str, Mapping[str, float]]] = field(default_factory=dict)

    @property
    def affine(self) -> np.ndarray:
        """(4, 4) voxel index -> mm, RAS+."""
        return self.volume.affine

    @cached_property
    def boxes(self) -> dict[int, tuple[slice, ...]]:
        """The smallest box of the mask that holds each class; one without voxels where the class has none."""
        return self._boxes(self.mask)

    @cached_property
    def voxels(self) -> dict[int, int]:
        """Voxels of each class."""
        return {k: int(np.count_nonzero(self.inside(self.mask[box], k))) for k, box in self.boxes.items()}

    @property
    def volume_ml(self) -> dict[int, float | None]:
        """Millilitres of each class; None where spacing is unknown or the scan is a 2D image."""
        if not self.spacing_known or self.volume.spacing_mm is None or self.mask.ndim != 3:
            return dict.fromkeys(self.voxels)
        voxel_ml = abs(float(np.linalg.det(self.affine[:3, :3]))) / 1000.0
        return {value: count * voxel_ml for value, count in self.voxels.items()}

    @cached_property
    def components(self) -> dict[int, int]:
        """Connected pieces of each class that the networks found, also those that did not stay; voxels that
        share a corner are connected."""
        found = self.mask if self.found is None else self.found
        boxes = self.boxes if self.found is None else self._boxes(found)
        return {k: count_components(self.inside(found[box], k)) for k, box in boxes.items()}

    @cached_property
    def removed(self) -> dict[int, int]:
        """Voxels of each class that the networks found in pieces which did not stay."""
        if self.found is None:
            return dict.fromkeys(sorted(self.classes), 0)
        changed = self.found != self.mask
        before, after = self.found[changed], self.mask[changed]
        return {
            k: int(np.count_nonzero(self.inside(before, k) & ~self.inside(after, k)))
            for k in sorted(self.classes)
        }

    @cached_property
    def border_contact(self) -> dict[int, int]:
        """Voxels of each class that lie in the first or last slice of an axis the scan is cut off at.

        An axis at most a third as long as the longest is left out: a thick stack's first and last slice
        often hold foreground.
        """
        rest, ends = self.mask, []
        for axis, length in enumerate(self.mask.shape):
            if 3 * length > max(self.mask.shape):
                front = np.moveaxis(rest, axis, 0)
                ends += [front[:1], front[1:][-1:]]  # one slice is first and last
                rest = np.moveaxis(front[1:-1], 0, axis)  # so that an edge of two sides counts once
        return {
            k: sum(int(np.count_nonzero(self.inside(end, k))) for end in ends) for k in sorted(self.classes)
        }

    def inside(self, labels: np.ndarray, number: int) -> np.ndarray:
        """Where ``labels``, the mask or a part of it, lie in a class or a region (boolean)."""
        return inside(labels, number, self.parts)

    def _boxes(self, mask: np.ndarray) -> dict[int, tuple[slice, ...]]:
        if not self.parts:
            return {value: box_of(mask, value) for value in sorted(self.classes)}
        return {number: box_of(self.inside(mask, number), True) for number in sorted(self.classes)}

    def save(self, path: str | Path, format: str = "same") -> Path:
        """Write the mask, marked as a prediction (:mod:`semivox.cohort.prediction_mark`); ``format`` as in
        :func:`semivox.cohort.formats.write_mask`. Returns the path.

        A file of that name is replaced. Raises DataError where the mask has to get another name, since
        ``path`` has the ending of a format that no mask is written in, and there is a file of that name.
        """
        given = Path(path)
        place = mask_place(given, self.mask, self.volume, format)
        if place.exists() and not place.name.startswith(given.name):
            raise DataError(
                "another file has the name that the mask would get",
                path=place,
                found=f"{given.name} was given, and the mask would be {place.name}",
                expected="a free name, or that file's own if it is to be replaced",
                remedy=f"save it as {place.name}, or choose another name",
            )
        return write_mask(place, self.mask, self.volume, note=mark_of(self.mask), segments=self.segments)
