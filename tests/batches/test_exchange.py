"""Boxes that change places between neighbouring crops, against a voxel-by-voxel account of them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from semivox.batches import Batches, Crops, Stream
from semivox.batches.exchange import exchanged
from semivox.methods import CATALOG, load_method
from semivox.methods.self_training import SelfTraining
from semivox.methods.supervised import Supervised
from semivox.randomness import Key
from semivox.testing.memory_store import MemoryStore
from semivox.testing.synthetic import build, tiny, tiny_facts, tiny_plan
from semivox.training.stages import stages_of

SIZE = (12, 9, 6)


def crops_of(samples: int, size: tuple[int, ...] = SIZE) -> Crops:
    """Every voxel of every sample has an image, a target and a weight that no other has."""
    count = samples * int(torch.tensor(size).prod())
    each = torch.arange(1, count + 1, dtype=torch.float32).reshape(samples, 1, *size)
    return Crops(
        views={"weak": torch.cat([each, -each], 1), "strong": each + 0.5},
        target=torch.cat([each + 0.25, each + 0.75], 1),
        valid=each / count,
        annotated=torch.ones(samples, 2),
        sdm=None,
        case=torch.arange(samples),
        box=torch.zeros(samples, len(size), 2),
    )


@pytest.mark.parametrize("size", [SIZE, (10, 7)])
@pytest.mark.parametrize("side", [0.25, 2 / 3, 1.0])
def test_a_voxel_and_all_that_is_known_of_it_come_from_one_of_two_crops(
    size: tuple[int, ...], side: float
) -> None:
    before = crops_of(6, size)
    after = exchanged(before, 0, Key(3), 1.0, side)
    volume = 1
    for n in size:
        volume *= round(side * n)
    for n in range(6):
        came = after.valid[n, 0] != before.valid[n, 0]
        assert int(came.sum()) == volume
        where = came.nonzero()
        sides = (where.amax(0) - where.amin(0) + 1).tolist()
        assert sides == [round(side * s) for s in size]  # a box, of that volume and these sides
        for name in ("valid", "target"):
            ours, own, other = (getattr(c, name)[i] for c, i in ((after, n), (before, n), (before, n ^ 1)))
            assert torch.equal(ours, torch.where(came, other, own))
        for view in before.views:
            ours, own, other = after.views[view][n], before.views[view][n], before.views[view][n ^ 1]
            assert torch.equal(ours, torch.where(came, other, own))


def test_places_differ_between_pairs_and_steps() -> None:
    one, another = (exchanged(crops_of(8), 0, Key(0) / step, 1.0, 0.5).valid for step in (1, 2))
    boxes = [tuple((v != w).nonzero()[0].tolist()) for v, w in zip(one, crops_of(8).valid, strict=True)]
    assert len(set(boxes)) > 1
    assert not torch.equal(one, another)


def test_a_share_of_the_pairs_exchanges() -> None:
    before = crops_of(2000, (3, 3))
    after = exchanged(before, 0, Key(1), 0.3, 0.67)
    changed = (after.valid != before.valid).flatten(1).any(1)
    assert torch.equal(changed[::2], changed[1::2])
    assert 0.25 < changed.float().mean() < 0.35
    assert torch.equal(exchanged(before, 0, Key(1), 0.0, 0.67).valid, before.valid)


def test_a_crop_without_a_partner_stays_as_it_is() -> None:
    before = crops_of(3)
    after = exchanged(before, 0, Key(1), 1.0, 0.5)
    assert torch.equal(after.views["weak"][2], before.views["weak"][2])
    assert torch.equal(exchanged(crops_of(1), 0, Key(1), 1.0, 0.5).valid, crops_of(1).valid)


@pytest.mark.parametrize("known", [[[1, 0], [0, 1]], [[1, 0], [1, 1]], [[0, 0], [1, 1]], [[1, 0], [1, 0]]])
def test_no_annotation_is_lost(known: list[list[float]]) -> None:
    before = replace(crops_of(4), annotated=torch.tensor([*known, [1, 1], [1, 1]]).float())
    after = exchanged(before, 0, Key(1), 1.0, 0.5)
    assert torch.equal(after.annotated, before.annotated)
    came = (after.valid != before.valid).flatten(1).any(1).tolist()
    assert came == [known[0] == known[1]] * 2 + [True] * 2


@pytest.mark.parametrize("name", CATALOG)
@pytest.mark.parametrize(
    "known", [[[1, 0], [0, 1]], [[1, 0], [1, 1]]], ids=["one class each", "one lacks one"]
)
def test_every_stage_with_labels_learns_from_partly_annotated_scans(
    name: str, known: list[list[float]]
) -> None:
    plan = tiny_plan(2, patch=(8, 8), features=(2, 4))
    facts = tiny_facts(plan)
    store = PartlyAnnotated(MemoryStore(plan, len(known), 4, Key(0)), known)
    for stage in stages_of(build(load_method(name), facts), facts):
        streams = {n: s for n, s in stage.streams.items() if s.target == "label"}
        batches = Batches(store, streams, plan.patch, Key(0), stage.name)
        told = [crops.annotated for step in range(4) for crops in batches.batch(step).values()]
        for crops in told:
            assert crops.any(1).all(), stage.name
        assert not told or torch.cat(told).any(0).all(), stage.name


class PartlyAnnotated:
    """A store whose labelled cases are annotated for some classes: a row of ``known`` each."""

    def __init__(self, store: MemoryStore, known: list[list[float]]) -> None:
        self.labeled, self.unlabeled, self.patients = store.labeled, store.unlabeled, store.patients
        self._store, self._known = store, known

    def case(self, index: int, /) -> Any:
        whole = self._store.case(index)
        if index not in self.labeled:
            return whole
        names = ("image", "target", "valid", "foreground", "body", "spacing", "known")
        return SimpleNamespace(
            **{name: getattr(whole, name) for name in names},
            annotated=np.array(self._known[index], np.float32),
        )


def labeled(method: type, **settings: float) -> list[Stream]:
    built, facts = tiny(method, **settings)
    return [stage.streams["labeled"] for stage in built.stages(replace(facts, sweeps=None))]


def test_who_exchanges_and_when() -> None:
    assert [s.exchange for s in labeled(Supervised)] == [0.0]
    (stream,) = labeled(Supervised, exchange=0.5, exchange_side=0.4)
    assert (stream.exchange, stream.exchange_side) == (0.5, 0.4)
    assert [s.exchange for s in labeled(SelfTraining, first_exchange=0.8, final=0.1)] == [0.8, 0, 0, 0, 0]
