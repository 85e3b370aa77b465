"""A step never makes the host wait for the device: nothing in it reads a number back from a tensor.

The device here is torch's ``meta``: its tensors have shapes and no data, so ``item()``, ``bool(tensor)``,
``cpu()``, ``tolist()``, boolean indices and other shapes that depend on data raise. What runs on it can run
ahead of a GPU.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import pytest
import torch

from semivox.batches import Crops
from semivox.methods.catalog import CATALOG, load_method
from semivox.methods.declare import Facts, Method, Optimizer
from semivox.testing.synthetic import build, random_batch, tiny_at, tiny_facts, tiny_plan
from semivox.training.loop import Hooks, Progress, fit

META = torch.device("meta")
WAIT = {"bcp": {"largest_component": False}}
"""Named exceptions: settings without them. Connected components are found on the host, sample by sample."""


@pytest.fixture(autouse=True)
def _no_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch has none for this device."""
    monkeypatch.setattr(torch, "autocast", lambda *a, **k: contextlib.nullcontext())


def on_meta(name: str, stage: int, **settings: object) -> tuple[Method, Facts, dict[str, Crops]]:
    facts = tiny_facts(tiny_plan(3, 3, 1))
    method = build(load_method(name), facts, {**WAIT.get(name, {}), **settings})
    batch = {key: crops.to(META) for key, crops in random_batch(method, facts, stage).items()}
    return method.to(META), facts, batch


def stages(names: Mapping[str, object]) -> Iterator[tuple[str, int]]:
    for name in names:
        facts = tiny_facts(tiny_plan(3, 3, 1))
        yield from ((name, i) for i in range(len(build(load_method(name), facts).stages(facts))))


@pytest.mark.parametrize(("name", "stage"), list(stages(CATALOG)))
def test_terms_and_gradients(name: str, stage: int) -> None:
    method, facts, batch = on_meta(name, stage)
    declared = method.stages(facts)[stage]
    for pair in declared.pairs:
        getattr(method, pair.teacher).requires_grad_(False)
    terms = getattr(method, declared.step)(batch, tiny_at(method, facts, stage))
    loss = sum((term.weight * term.value for term in terms.values()), torch.zeros((), device=META))
    loss.backward()
    assert any(parameter.grad is not None for parameter in method.parameters())


def test_the_one_exception_is_one() -> None:
    method, facts, batch = on_meta("bcp", 1, largest_component=True)
    with pytest.raises(NotImplementedError, match="meta"):
        method.step(batch, tiny_at(method, facts, 1))


class Fixed:
    def __init__(self, batch: Mapping[str, Crops]) -> None:
        self.fixed = batch

    def batch(self, step: int) -> Mapping[str, Crops]:
        return self.fixed


@pytest.mark.parametrize("name", ["simcvd", "cps", "duo_segnet", "self_ensembling"])
def test_the_loop_reads_at_logged_steps_only(name: str) -> None:
    """Guard, clipping, optimizers, averages and queues of a whole step, between two logged ones."""
    method, facts, batch = on_meta(name, 0)
    done: list[int] = []
    hooks = Hooks(progress=lambda step, record: done.append(step), stop=lambda: len(done) == 2)

    def run(begin: int) -> None:
        fit(
            method, facts, lambda stage: Fixed(batch), optimizer=Optimizer(), rebuild=lambda: method,
            paper_steps=100, log_every=10, device=META, hooks=hooks, progress=Progress(step=begin),
            stages=method.stages(facts)[:1],
        )  # fmt: skip

    run(1)
    assert done == [2, 3]
    with pytest.raises(RuntimeError, match="meta"):
        run(10)  # a logged step does read
