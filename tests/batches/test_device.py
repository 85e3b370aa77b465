"""Crops are cut and changed on the device that they are for: nothing of a sample is left behind on the CPU.

torch's meta device computes shapes alone and, like a GPU, takes no operand that lies elsewhere, so this needs
no GPU. That a GPU gives the same crops as a CPU is measured by ``benchmarks/gpu.py crops``.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from semivox.batches import Augmentation, Batches, Stream
from semivox.randomness import Key
from semivox.testing.memory_store import MemoryStore
from semivox.testing.synthetic import tiny_plan

META = torch.device("meta")
STREAMS = {
    "labeled": Stream("labeled", 2, ("weak", "strong", "intensity", "recrop"), target="label"),
    "unlabeled": Stream("unlabeled", 2, ("weak", "strong"), where="body"),
}
EVERY_CHANGE = {
    "elastic_probability": 1.0,
    "bias": 0.3,
    "strong_probability": 1.0,
    "cutout_probability": 1.0,
}
AUGMENTATIONS = {
    "interpolated": Augmentation(**EVERY_CHANGE),
    "copied": Augmentation(**{**EVERY_CHANGE, "elastic_probability": 0.0}, affine_probability=0.0),
    "plain": None,
}


class NoNoise:
    """What a generator of the meta device would be: there are no numbers to draw."""

    def __init__(self, device: Any) -> None:
        assert torch.device(device) == META

    def manual_seed(self, seed: int) -> None:
        return None


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_all_of_a_batch_that_has_voxels_is_made_on_its_device(
    dims: int, augmentation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = tiny_plan(dims, 3, 2, patch=(16,) * dims)
    store = MemoryStore(plan, 3, 3, Key(0))
    batches = Batches(store, STREAMS, plan.patch, Key(0), "stage", AUGMENTATIONS[augmentation], device=META)
    monkeypatch.setattr(torch, "Generator", NoNoise)
    for step in range(3):
        for crops in batches.batch(step).values():
            made = [*crops.views.values(), crops.valid, *([] if crops.target is None else [crops.target])]
            assert {x.device for x in made} == {META}
