"""The drawn cases: what they hold, and that nobody looks at an unlabelled one's label."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from semivox.batches import Batches, Stream
from semivox.methods.mean_teacher import MeanTeacher
from semivox.randomness import Key
from semivox.testing import MethodFault
from semivox.testing.memory_store import MemoryStore
from semivox.testing.synthetic import random_batch, tiny, tiny_plan


@pytest.mark.parametrize(("dims", "classes", "channels"), [(2, 3, 1), (3, 3, 2), (2, 5, 1), (3, 2, 1)])
def test_cases_hold_every_class_and_are_a_function_of_their_key(
    dims: int, classes: int, channels: int
) -> None:
    plan = tiny_plan(dims, classes, channels)
    store, again, other = (MemoryStore(plan, 2, 3, Key(seed)) for seed in (0, 0, 1))
    assert (store.labeled, store.unlabeled) == ((0, 1), (2, 3, 4))
    for index in (*store.labeled, *store.unlabeled):
        case = store.case(index)
        assert case.image.shape == (channels, *store.rows[index].shape)
        assert case.image.dtype == np.float32
        assert np.allclose(case.image.mean(axis=tuple(range(1, dims + 1))), 0, atol=1e-5)
        assert (case.truth.reshape(classes - 1, -1) == 255).any(1).all()
        assert np.array_equal(case.image, again.case(index).image)
        assert not np.array_equal(case.image, other.case(index).image)
    assert not np.array_equal(store.case(0).labels, store.case(1).labels)
    assert len(set(store.patients)) == 5


@pytest.mark.parametrize("what", ["target", "foreground"])
def test_the_label_of_an_unlabelled_case_is_not_given(what: str) -> None:
    store = MemoryStore(tiny_plan(2), 1, 1, Key(0))
    assert len(getattr(store.case(0), what)) == 2
    with pytest.raises(MethodFault, match=rf"the {what} of the unlabelled case 'case_1'"):
        getattr(store.case(1), what)


def test_the_sampler_never_asks_for_it() -> None:
    streams = {
        "labeled": Stream("labeled", 2, target="label", where="foreground", sdm=True),
        "unlabeled": Stream("unlabeled", 2, where="body", views=("weak", "strong", "recrop")),
        "all": Stream("all", 4),
    }
    store = MemoryStore(tiny_plan(2), 2, 3, Key(0))
    batches = Batches(store, streams, (16, 16), Key(0), "train")
    seen = torch.cat([batches.batch(step)["all"].case for step in range(5)])
    assert set(seen.tolist()) == {0, 1, 2, 3, 4}
    assert batches.batch(0)["unlabeled"].target is None


def test_a_random_streams_crops_do_not_depend_on_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    method, facts = tiny(MeanTeacher)
    whole, other = random_batch(method, facts), random_batch(method, facts, seed=1)
    stage = method.stages(facts)[0]
    alone = replace(stage, streams={"unlabeled": stage.streams["unlabeled"]})
    monkeypatch.setattr(MeanTeacher, "stages", lambda self, facts: [alone])
    part: Any = random_batch(method, facts)
    assert list(part) == ["unlabeled"]
    assert torch.equal(part["unlabeled"].views["weak"], whole["unlabeled"].views["weak"])
    assert not torch.equal(whole["labeled"].views["weak"], whole["unlabeled"].views["weak"])
    assert not torch.equal(other["labeled"].views["weak"], whole["labeled"].views["weak"])
    assert whole["unlabeled"].annotated.sum() == 0  # as the store has it: nothing is known of them
