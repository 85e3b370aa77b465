"""Runs in float64, in which one process and several that share its batches, or a CPU and a GPU, must agree to
rounding."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from semivox.batches import Augmentation, Batches, Crops
from semivox.methods import Method, Optimizer, Stage
from semivox.prepare import Store
from semivox.testing.memory_store import MemoryStore
from semivox.testing.synthetic import LABELED, UNLABELED, build, tiny_facts, tiny_plan
from semivox.training.loop import Hooks, fit
from semivox.training.processes import ALONE, Processes
from semivox.training.pseudo_label_bank import PseudoLabelBank
from semivox.training.stages import stages_of

PATCH = {2: (16, 16), 3: (8, 8, 8)}
STEPS = 20


def run_in_float64(
    kind: type[Method],
    folder: Path,
    processes: Processes = ALONE,
    *,
    dims: int = 2,
    batch: tuple[int, int] = (2, 2),
    warm_up: float = 0.0,
    lr: float = 0.1,
    device: str = "cpu",
    nudge: float = 0.0,
) -> dict[str, Tensor]:
    """The state of the method after 20 steps on drawn cases, dropout and augmentation on, on the CPU.

    All its stages are of equal length. ``folder`` keeps pseudo-labels, which are made in float32. ``device``:
    where the steps are taken. ``nudge``: by which share of themselves the first weights are changed, which
    shows what becomes of rounding.
    """
    plan = replace(tiny_plan(dims, patch=PATCH[dims]), batch=batch)
    facts = replace(tiny_facts(plan, STEPS, sweeps=1), warm_up=warm_up)
    store = MemoryStore(plan, LABELED, UNLABELED, facts.key / "drawn")
    bank = PseudoLabelBank(folder, cast(Store, store), plan, facts.key, processes)

    def made() -> Method:
        built = build(kind, facts).double()
        draws = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weight in built.parameters():
                weight.mul_(1 + nudge * torch.randn(weight.shape, generator=draws, dtype=torch.float64))
        return built.to(device)

    method = made()
    stages = [replace(stage, share=1.0) for stage in stages_of(method, facts)]
    place = {stage.name: index for index, stage in enumerate(stages)}
    anew = any(stage.relabel for stage in stages)

    def source(stage: Stage) -> _Double:
        pseudo = bank.view(place[stage.name]) if anew else None
        where, rows = (store, stage.streams, plan.patch, facts.key, stage.name), processes.place
        return _Double(Batches(*where, Augmentation(), shard=rows, pseudo=pseudo))

    def relabel(index: int, stage: Stage, method: Method) -> None:
        assert stage.relabel is not None
        roles = stage.relabel.by or kind.predictor
        networks = [copy.deepcopy(getattr(method, role)).float() for role in roles]
        bank.relabel(stage.name, index, stage.relabel, networks)

    fit(
        method,
        facts,
        source,
        optimizer=Optimizer(lr=lr),
        rebuild=made,
        paper_steps=kind.Settings().paper_steps,
        device=torch.device(device),
        hooks=Hooks(relabel=relabel),
        stages=stages,
        processes=processes,
    )
    return {name: value.cpu() for name, value in method.state_dict().items()}


class _Double:
    """A source of batches whose numbers are float64."""

    def __init__(self, batches: Batches) -> None:
        self.batches = batches

    def batch(self, step: int) -> Mapping[str, Crops]:
        return {
            name: Crops(**{f.name: _wide(getattr(crops, f.name)) for f in fields(Crops)})
            for name, crops in self.batches.batch(step).items()
        }


def _wide(x: Any) -> Any:
    if isinstance(x, Mapping):
        return {name: _wide(value) for name, value in x.items()}
    return x.double() if isinstance(x, Tensor) and x.is_floating_point() else x
