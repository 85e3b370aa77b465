"""Batches of crops: the batch of a step is a pure function of (key, stage, step), in any process."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from semivox.batches.annotation import Annotation, PseudoLabels, annotation_for
from semivox.batches.augmentation import Augmentation
from semivox.batches.case_draws import cases_of, draw_cases, draw_pair, surest_of
from semivox.batches.crops import Crops
from semivox.batches.distances import distance_targets
from semivox.batches.exchange import exchanged
from semivox.batches.geometry import CropGeometry, cut, draw_geometry
from semivox.batches.intensity import apply_intensity, draw_mild, draw_strong
from semivox.batches.source import CropCase, CropSource
from semivox.batches.stream import Stream, group_size, rows_of
from semivox.devices import CPU
from semivox.losses import SdmForm
from semivox.prepare import FULL
from semivox.randomness import Key

ROUNDING = 0.01  # of stored confidences, 0..255: what interpolating equal ones may lose


class Batches:
    """The batches of one stage.

    Parameters
    ----------
    store, streams
        Where crops come from, and which streams of them a batch has, by name.
    patch
        Size of a crop in working voxels.
    key, stage
        All draws come from ``key / "batches" / stage / stream / step / sample / name``; only the parts of
        the cases come from ``key`` itself, so that they are the same in every stage.
    augmentation
        Ranges of the random changes; None is ``Augmentation(enabled=False)``.
    sdm_limit
        Distance, in units of the working spacing, at which distance targets reach 1; 8 finest voxels if None.
    sdm_form
        ``euclidean``, or ``crop_minmax``, the literature's, which is scaled by each crop's own extremes.
    shard
        (rank, ranks): this process makes the rank-th part of each stream's samples, which may be none.
    regions
        (R, K-1), what Dice is taken of (:func:`region_table`); None where classes are judged.
    pseudo
        Gives the pseudo-labels of unlabelled cases, for streams that take them as targets.
    device
        Where crops are cut and changed: a GPU does it many times faster than a core that feeds it. The crops
        are the same on every device but for rounding and the noise, which each draws by itself.

    Raises
    ------
    SettingsError
        A stream that cannot be: the message says which, and why.
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
        pseudo: PseudoLabels | None = None,
        regions: Tensor | None = None,
        device: torch.device = CPU,
    ) -> None:
        self.store, self.streams, self.patch = store, dict(streams), tuple(int(p) for p in patch)
        self.key, self.stage = key / "batches" / stage, stage
        self.augmentation = augmentation or Augmentation(enabled=False)
        self.sdm_limit, self.sdm_form, self.shard = sdm_limit, sdm_form, shard
        self.pseudo, self.regions, self.device = pseudo, regions, device
        self.labeled = frozenset(store.labeled)
        self.cases = {name: self._draws_from(name, stream, key) for name, stream in self.streams.items()}

    def rows(self, name: str) -> range:
        """Which samples of the stream's global batch this process makes; pairs stay together."""
        return rows_of(self.streams[name], *self.shard)

    def batch(self, step: int) -> dict[str, Crops]:
        """One :class:`Crops` a stream for step ``step`` of the stage; no random state is read or changed."""
        return {name: self._crops(name, int(step)) for name in self.streams}

    def _crops(self, name: str, step: int) -> Crops:
        rows = self.rows(name)
        if rows:
            return self._crops_of(name, step, rows)
        return self._crops_of(name, step, range(group_size(self.streams[name]))).first(0)

    def _crops_of(self, name: str, step: int, rows: range) -> Crops:
        stream, key = self.streams[name], self.key / name

        def classes(case: int) -> Collection[int]:
            return self._annotation(case, self.store.case(case), stream).voxels

        cases = draw_cases(key, self.cases[name], step * stream.size + rows.start, len(rows))
        centred: list[int | None] = [None] * len(cases)  # on this class
        if stream.where == "shared_classes":
            for n in range(0, len(cases), 2):
                pair = key / step / "pair" / ((rows.start + n) // 2)
                cases[n + 1], shared = draw_pair(pair, cases[n], cases[n + 1], self.cases[name], classes)
                centred[n : n + 2] = shared, shared
        samples = [
            self._sample(case, stream, key / step / i, centre)
            for case, i, centre in zip(cases, rows, centred, strict=True)
        ]
        crops = Crops(
            views={view: torch.stack([s.views[view] for s in samples]) for view in samples[0].views},
            target=_stack([s.target for s in samples]),
            valid=torch.stack([s.valid for s in samples]),
            annotated=torch.stack([s.annotated for s in samples]),
            sdm=_stack([s.sdm for s in samples]),
            case=torch.tensor(cases, dtype=torch.int64),
            box=torch.stack([s.box for s in samples]),
            regions=self.regions,
        )
        if not stream.exchange:
            return crops
        return exchanged(crops, rows.start, key / step / "exchange", stream.exchange, stream.exchange_side)

    def _annotation(self, index: int, case: CropCase, stream: Stream) -> Annotation:
        return annotation_for(index, case, index in self.labeled, stream, self.pseudo)

    def _sample(self, index: int, stream: Stream, key: Key, centre: int | None) -> Crops:
        """One sample, without the batch axis; ``centre``: the class it is centred on, if it is a pair's."""
        case = self.store.case(index)
        known = self._annotation(index, case, stream)
        points = known.foreground or {}
        if stream.where == "shared_classes":
            points = known.voxels if centre is None else {centre: known.voxels[centre]}
        drawn = case.known if known.target is not None and known.pseudo is None else None
        geometry = draw_geometry(key, self.augmentation, case, stream.where, points, self.patch, drawn)
        planes = {"image": case.image}
        if known.target is not None:
            planes["target"] = known.target
        if case.valid is not None:
            planes["valid"] = case.valid > 0
        if known.pseudo is not None and (stream.confidence > 0 or stream.weighted):
            planes["confidence"] = known.pseudo.confidence
        samples, inside = cut(list(planes.values()), geometry, device=self.device)
        crop = dict(zip(planes, samples.split([len(plane) for plane in planes.values()]), strict=True))
        valid = torch.ones(1, *self.patch, device=self.device) if inside is None else inside
        if "valid" in crop:
            valid = valid * (crop["valid"] >= 0.5)
        if "confidence" in crop:
            valid = valid * (crop["confidence"] >= FULL * stream.confidence - ROUNDING)
        if known.pseudo is not None and stream.weighted:
            valid = valid * known.pseudo.weights(crop["confidence"], crop["target"])
        views = {
            view: self._view(view, crop["image"], inside, key, geometry.spacing)
            for view in stream.views
            if view != "recrop"
        }
        if "recrop" in stream.views:
            # of an unlabelled case nothing but its body is known
            where = stream.where if known.foreground is not None else "body"
            elsewhere = draw_geometry(key / "recrop", self.augmentation, case, where, points, self.patch)
            recrop, within = cut([case.image], elsewhere, device=self.device)
            views["recrop"] = self._view("recrop", recrop, within, key, geometry.spacing)
        sdm = None
        if stream.sdm and known.target is not None:
            sdm = self._distances(known.target, geometry, stream)
        return Crops(
            views=views,
            target=_fractions(crop["target"]) if "target" in crop else None,
            valid=valid,
            annotated=torch.tensor(np.asarray(known.annotated), dtype=torch.float32),
            sdm=sdm,
            case=torch.empty(0),
            box=torch.from_numpy(geometry.box.astype(np.float32)),
        )

    def _view(
        self, view: str, image: Tensor, inside: Tensor | None, key: Key, spacing: tuple[float, ...]
    ) -> Tensor:
        if view == "strong":
            parameters = draw_strong(key / view, self.augmentation, len(image), self.patch, spacing)
        else:
            parameters = draw_mild(key / view, self.augmentation, len(image), self.patch)
        changed = apply_intensity(image, parameters)
        # Outside the scan stays 0, as where a network pads a whole scan.
        return changed if inside is None or changed is image else changed * inside

    def _distances(self, label: np.ndarray, geometry: CropGeometry, stream: Stream) -> Tensor:
        limit = 8 * min(geometry.spacing) if self.sdm_limit is None else self.sdm_limit
        form = stream.sdm if isinstance(stream.sdm, str) else self.sdm_form
        return torch.from_numpy(distance_targets(label, geometry, limit, form))

    def _draws_from(self, name: str, stream: Stream, key: Key) -> tuple[int, ...]:
        """The cases the stream draws from; raises SettingsError where there can be no such stream."""
        given = self.store.labeled, self.store.unlabeled, self.store.patients
        part = cases_of(stream, name, self.stage, *given, key, self.pseudo is not None)
        if stream.surest == 1 or self.pseudo is None:
            return part
        return surest_of(part, stream.surest, self.pseudo.agreement, group_size(stream))


def _fractions(stored: Tensor) -> Tensor:
    """Stored 0..255, interpolated -> class fractions. They sum to at most 1 as the stored ones do."""
    return (stored / FULL).clamp_(0, 1)


def _stack(tensors: Sequence[Tensor | None]) -> Tensor | None:
    present = [t for t in tensors if t is not None]
    return torch.stack(present) if present else None
