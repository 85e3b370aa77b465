"""Boxes that change places between neighbouring crops, against a voxel-by-voxel account of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from semivox.batches import Crops, Stream
from semivox.batches.exchange import exchanged
from semivox.methods.self_training import SelfTraining
from semivox.methods.supervised import Supervised
from semivox.randomness import Key
from semivox.testing.synthetic import tiny

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


def test_what_one_of_two_does_not_know_neither_knows() -> None:
    known = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    after = exchanged(replace(crops_of(4), annotated=known), 0, Key(1), 1.0, 0.5)
    assert after.annotated.tolist() == [[1, 0], [1, 0], [1, 1], [1, 1]]
    none = exchanged(replace(crops_of(4), annotated=known), 0, Key(1), 0.0, 0.5)
    assert torch.equal(none.annotated, known)


def labeled(method: type, **settings: float) -> list[Stream]:
    built, facts = tiny(method, **settings)
    return [stage.streams["labeled"] for stage in built.stages(replace(facts, sweeps=None))]


def test_who_exchanges_and_when() -> None:
    assert [s.exchange for s in labeled(Supervised)] == [0.0]
    (stream,) = labeled(Supervised, exchange=0.5, exchange_side=0.4)
    assert (stream.exchange, stream.exchange_side) == (0.5, 0.4)
    assert [s.exchange for s in labeled(SelfTraining, first_exchange=0.8, final=0.1)] == [0.8, 0, 0, 0, 0]
