"""Every method learns, keeps and predicts regions."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from semivox.cohort import Region, Regions, Volume, inside
from semivox.cohort.case import Cohort
from semivox.cohort.volume import Source
from semivox.inference import export_model, load_model
from semivox.losses import segmentation_loss
from semivox.methods import Method
from semivox.methods.catalog import CATALOG, load_method
from semivox.prepare import Plan, RegionPlan
from semivox.randomness import Key
from semivox.testing.memory_store import MemoryStore
from semivox.testing.runs import TinyRun
from semivox.testing.synthetic import (
    LABELED,
    UNLABELED,
    build,
    random_batch,
    tiny_at,
    tiny_facts,
    tiny_plan,
)

SCHEMES = {
    "nested": Regions((Region("whole", (1, 2, 3), 1), Region("inner", (2, 3), 2), Region("core", (3,), 3))),
    "overlapping": Regions((Region("a", (1, 3), 1), Region("b", (2, 3), 2))),
}
UNTRAINED: dict[str, dict[str, Any]] = {"self_ensembling": {"threshold": 0.0}, "ua_mt": {"limit": "classes"}}


def plan_of(regions: Regions) -> Plan:
    each = tuple(
        RegionPlan(number, r.name, 10.0, 1.0, True, r.values, r.written)
        for number, r in enumerate(regions.each, 1)
    )
    return replace(tiny_plan(2, classes=4), regions=each)


@pytest.mark.parametrize("name", CATALOG)
def test_every_segmentation_loss_of_a_method_is_told_of_regions(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every stage, and in the steps that warm up."""
    kind = load_method(name)
    facts = tiny_facts(plan_of(SCHEMES["nested"]))
    method, told = build(kind, facts, UNTRAINED.get(name)), []

    def watched(*given: Any, **named: Any) -> torch.Tensor:
        told.append(named.get("regions", given[4] if len(given) > 4 else None))
        return segmentation_loss(*given, **named)

    for module in {sys.modules[each.__module__] for each in kind.__mro__ if issubclass(each, Method)}:
        if hasattr(module, "segmentation_loss"):
            monkeypatch.setattr(module, "segmentation_loss", watched)
    for index in range(len(method.stages(facts))):
        method.step(random_batch(method, facts, index), tiny_at(method, facts, index))
    labeled = {n: crops for n, crops in random_batch(method, facts, -1).items() if crops.target is not None}
    method.warm_up(labeled, tiny_at(method, facts, 0))
    assert told
    for each in told:
        assert torch.equal(each, torch.tensor([[1.0, 1, 1], [0, 1, 1], [0, 0, 1], [1, 0, 0], [0, 1, 0]]))


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", CATALOG)
def test_a_method_trains_on_regions_and_predicts_them(name: str, scheme: str, tmp_path: Path) -> None:
    """Through sampler, loop, pseudo-labels and the model's files, on drawn cases."""
    regions = SCHEMES[scheme]
    facts = tiny_facts(plan_of(regions), sweeps=1)
    store = MemoryStore(facts.plan, LABELED, UNLABELED, Key("regions"))
    run = TinyRun(load_method(name), UNTRAINED.get(name), facts, store, tmp_path / "labels")
    run.go()
    networks = {role: getattr(run.method, role) for role in run.kind.predictor}
    cohort = Cohort(tmp_path, (), ("0",), regions.atoms, regions=regions)
    export_model(
        tmp_path / "run", networks, run.kind.predictor, facts.plan, cohort, method=name, steps=9, seed=0
    )
    model = load_model(tmp_path / "run")
    image = np.array(store.case(0).image, np.float32)
    found = model.predict(Volume(image, np.eye(4), Source(None, "nifti")), probabilities=True)
    assert found.probabilities is not None
    for number, values in regions.parts.items():
        marginal = found.probabilities[list(values)].sum(0)
        sure = np.abs(marginal - 0.5) > 1e-5
        lies = inside(found.mask if found.found is None else found.found, number, regions.parts)
        np.testing.assert_array_equal(lies[sure], marginal[sure] > 0.5)
    assert set(found.voxels) == set(regions.names)


def test_a_method_of_ones_own_that_knows_of_no_regions_still_learns_their_classes() -> None:
    """It calls the loss as before there were any."""
    plan = plan_of(SCHEMES["nested"])
    facts = tiny_facts(plan)
    batch = random_batch(build(load_method("supervised"), facts), facts, 0)["labeled"]
    logits = torch.zeros(len(batch.labels), 4, *plan.patch, requires_grad=True)
    segmentation_loss(logits, batch.labels, batch.valid, batch.annotated).backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0
