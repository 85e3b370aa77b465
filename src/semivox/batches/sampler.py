"""Batches of crops: the batch of a step is a pure function of (key, stage, step), in any process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from semivox.batches.affine import draw_affine
from semivox.batches.augmentation import Augmentation
from semivox.batches.centres import draw_start
from semivox.batches.crops import Crops
from semivox.batches.distances import FULL, distance_targets
from semivox.batches.elastic import draw_elastic
from semivox.batches.geometry import Geometry, cut
from semivox.batches.intensity import apply_intensity, draw_mild, draw_strong
from semivox.batches.order import draw_cases
from semivox.batches.stream import Stream
from semivox.errors import SettingsError
from semivox.losses.distance import SdmForm
from semivox.randomness import Key

VIEWS = ("weak", "strong", "intensity")


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


class CropSource(Protocol):
    """Where cases come from: the store, or anything with these attributes."""

    @property
    def labeled(self) -> tuple[int, ...]: ...
    @property
    def unlabeled(self) -> tuple[int, ...]: ...
    def case(self, index: int, /) -> CropCase: ...


class Batches:
    """The batches of one stage.

    Parameters
    ----------
    store, streams
        Where crops come from, and which streams of them a batch has, by name.
    patch
        Size of a crop in working voxels.
    key, stage
        All draws come from ``key / "batches" / stage / stream / step / sample / name``.
    augmentation
        Ranges of the random changes; None is ``Augmentation(enabled=False)``.
    sdm_limit
        Distance, in units of the working spacing, at which distance targets reach 1; 8 finest voxels if None.
    sdm_form
        ``euclidean``, or ``crop_minmax``, the literature's, which is scaled by each crop's own extremes.
    shard
        (rank, ranks): this process makes the rank-th part of each stream's samples.
    """

    def __init__(
        self,
        store: CropSource,
        streams: Mapping[str, Stream],
        patch: tuple[int, ...],
        key: Key,
        stage: str,
        augmentation: Augmentation | None = None,
        *,
        sdm_limit: float | None = None,
        sdm_form: SdmForm = "euclidean",
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        self.store, self.streams, self.patch = store, dict(streams), tuple(int(p) for p in patch)
        self.key, self.stage = key / "batches" / stage, stage
        self.augmentation = augmentation or Augmentation(enabled=False)
        self.sdm_limit, self.sdm_form, self.shard = sdm_limit, sdm_form, shard
        for name, stream in self.streams.items():
            self._check(name, stream)

    def rows(self, name: str) -> range:
        """Which samples of the stream's global batch this process makes."""
        rank, ranks = self.shard
        size = self.streams[name].size
        return range(size * rank // ranks, size * (rank + 1) // ranks)

    def batch(self, step: int) -> dict[str, Crops]:
        """One :class:`Crops` a stream for step ``step`` of the stage; no random state is read or changed."""
        return {name: self._crops(name, int(step)) for name in self.streams}

    def _crops(self, name: str, step: int) -> Crops:
        stream, rows, key = self.streams[name], self.rows(name), self.key / name
        cases = draw_cases(key, self._cases(stream), step * stream.size + rows.start, len(rows))
        samples = [
            self._sample(self.store.case(case), stream, key / step / i)
            for case, i in zip(cases, rows, strict=True)
        ]
        first = samples[0]
        return Crops(
            views={view: torch.stack([s.views[view] for s in samples]) for view in first.views},
            target=_stack([s.target for s in samples]),
            valid=torch.stack([s.valid for s in samples]),
            annotated=torch.stack([s.annotated for s in samples]),
            sdm=_stack([s.sdm for s in samples]),
            case=torch.tensor(cases, dtype=torch.int64),
            box=torch.stack([s.box for s in samples]),
        )

    def _sample(self, case: CropCase, stream: Stream, key: Key) -> Crops:
        """One sample, without the batch axis."""
        spacing = tuple(float(s) for s in case.spacing)
        channels, shape = case.image.shape[0], case.image.shape[1:]
        points = case.foreground if stream.where == "foreground" else {}  # made from the label
        geometry = Geometry(
            start=draw_start(key, stream.where, shape, self.patch, points, case.body),
            patch=self.patch,
            spacing=spacing,
            affine=draw_affine(key, self.augmentation, spacing),
            elastic=draw_elastic(key, self.augmentation, self.patch, spacing),
        )
        planes = [case.image]
        label = case.target if stream.target is not None else None
        if label is not None:
            planes.append(label)
        if case.valid is not None:
            planes.append(case.valid > 0)
        samples, inside = cut(planes, geometry)
        image = samples[:channels]
        valid = torch.ones(1, *self.patch) if inside is None else inside
        if case.valid is not None:
            valid = valid * (samples[-1:] >= 0.5)
        return Crops(
            views={view: self._view(view, image, inside, key, spacing) for view in stream.views},
            target=None if label is None else _fractions(samples[channels : channels + len(label)]),
            valid=valid,
            annotated=torch.tensor(np.asarray(case.annotated), dtype=torch.float32),
            sdm=self._distances(label, geometry, stream) if stream.sdm and label is not None else None,
            case=torch.empty(0),
            box=torch.from_numpy(geometry.box.astype(np.float32)),
        )

    def _view(
        self, view: str, image: Tensor, inside: Tensor | None, key: Key, spacing: tuple[float, ...]
    ) -> Tensor:
        if view == "strong":
            parameters = draw_strong(key / view, self.augmentation, len(image), self.patch, spacing)
        else:
            parameters = draw_mild(key / view, self.augmentation, len(image))
        changed = apply_intensity(image, parameters)
        # Outside the scan stays 0, as where a network pads a whole scan.
        return changed if inside is None or changed is image else changed * inside

    def _distances(self, label: np.ndarray, geometry: Geometry, stream: Stream) -> Tensor:
        limit = 8 * min(geometry.spacing) if self.sdm_limit is None else self.sdm_limit
        form = stream.sdm if isinstance(stream.sdm, str) else self.sdm_form
        return torch.from_numpy(distance_targets(label, geometry, limit, form))

    def _cases(self, stream: Stream) -> Sequence[int]:
        if stream.cases == "labeled":
            return self.store.labeled
        if stream.cases == "unlabeled":
            return self.store.unlabeled
        return (*self.store.labeled, *self.store.unlabeled)

    def _check(self, name: str, stream: Stream) -> None:
        fault = None
        if not self._cases(stream):
            fault = f"there are no {stream.cases} cases" if stream.cases != "all" else "there are no cases"
        elif unknown := [view for view in stream.views if view not in VIEWS]:
            fault = f"unknown views {unknown}, known are {list(VIEWS)}"
        elif not self.rows(name):
            fault = f"{stream.size} crops a step cannot be shared by {self.shard[1]} processes"
        elif stream.sdm and stream.target is None:
            fault = "distance targets need target='label'"
        elif stream.cases != "labeled" and (stream.target is not None or stream.where == "foreground"):
            fault = f"{stream.cases} cases have no labels, so neither targets nor foreground centres"
        if fault is not None:
            raise SettingsError(f"stream {name!r} of stage {self.stage!r}: {fault}")


def _fractions(stored: Tensor) -> Tensor:
    """Stored 0..255, interpolated -> class fractions. They sum to at most 1 as the stored ones do."""
    return (stored / FULL).clamp_(0, 1)


def _stack(tensors: Sequence[Tensor | None]) -> Tensor | None:
    present = [t for t in tensors if t is not None]
    return torch.stack(present) if present else None
