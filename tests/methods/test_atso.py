"""ATSO: who labels whom, how long, with which weights; in the declared stages and in the real loop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest
import torch

from semivox.batches import Crops
from semivox.batches.case_draws import part_of
from semivox.batches.stream import stream_fault
from semivox.errors import SettingsError
from semivox.losses import segmentation_loss
from semivox.methods.atso import ATSO, ATSOSettings
from semivox.methods.declare import At, Facts, Method, Optimizer, Stage
from semivox.prepare import ChannelPlan, ClassPlan, NetworkPlan, Plan
from semivox.randomness import Key
from semivox.training.loop import Hooks, fit
from semivox.training.stages import stage_ends

PATIENTS = ("l1", "l2", "a", "a", "b", "c", "c", "d", "e")  # two labelled scans, then seven unlabelled ones
UNLABELED = tuple(range(2, 9))


def build(dims: int = 3, classes: int = 3, **settings: Any) -> tuple[ATSO, Facts]:
    shape = {2: (8, 8), 3: (8, 8, 4)}[dims]
    one, two = (3,) * dims, (2,) * dims
    plan = Plan(
        dims=dims, axes=tuple(range(dims)), native_spacing=(1.0,) * dims, spacing=(1.0,) * dims,
        spacing_known=True, rung=1.0, shape=shape, patch=shape, batch=(2, 2),
        network=NetworkPlan("unet", (4, 8), (one, one), (two,)), channels=(ChannelPlan("0", "zscore"),),
        classes=tuple(ClassPlan(k, str(k), 10.0, 1.0) for k in range(1, classes)),
        budget_seconds=None, step_seconds=1.0, steps=None, assumptions=(),
    )  # fmt: skip
    facts = Facts(plan, 26000, 2, len(UNLABELED), Key(0))
    return ATSO(facts, ATSOSettings(**settings)), facts


def crops(facts: Facts, n: int, seed: int) -> Crops:
    rng = torch.Generator().manual_seed(seed)
    shape, k = facts.plan.patch, facts.classes - 1
    labels = torch.randint(0, k + 1, (n, *shape), generator=rng)
    return Crops(
        views={"weak": torch.randn(n, 1, *shape, generator=rng)},
        target=torch.stack([(labels == c).float() for c in range(1, k + 1)], 1),
        valid=torch.ones(n, 1, *shape),
        annotated=torch.ones(n, k),
        sdm=None,
        case=torch.arange(n),
        box=torch.zeros(n, facts.dims, 2),
    )


def batch_of(facts: Facts, stage: Stage) -> dict[str, Crops]:
    return {name: crops(facts, stream.size, len(name)) for name, stream in stage.streams.items()}


def part(stage: Stage) -> frozenset[int]:
    """The unlabelled cases whose pseudo-labels a stage learns from."""
    if "pseudo" not in stage.streams:
        return frozenset()
    return frozenset(part_of(UNLABELED, PATIENTS, stage.streams["pseudo"].part, Key(0)))


def relabelled(stage: Stage) -> frozenset[int]:
    if stage.relabel is None:
        return frozenset()
    return frozenset(part_of(UNLABELED, PATIENTS, stage.relabel.part, Key(0)))


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("start", ["continue", "initial_model", "scratch"])
def test_nobody_labels_what_it_has_just_learned_from(k: int, start: str) -> None:
    method, facts = build(parts=k, start=start)
    stages = method.stages(facts)
    assert len(stages) == 1 + 4 * k
    for before, stage in pairwise(stages):
        assert relabelled(stage)
        assert not relabelled(stage) & part(before), stage.name
    for g in range(4):  # each generation labels and learns from every case, once
        generation = stages[1 + g * k : 1 + (g + 1) * k]
        assert sorted(case for stage in generation for case in relabelled(stage)) == list(UNLABELED)
        assert all(relabelled(stage) == part(stage) for stage in generation)
    patients = [{PATIENTS[case] for case in part(stage)} for stage in stages[1 : 1 + k]]
    assert sum(map(len, patients)) == len(set().union(*patients)) == 5


def test_the_synchronous_baseline_does() -> None:
    method, facts = build(asynchronous=False)
    stages = method.stages(facts)
    assert len(stages) == 1 + 4
    for before, stage in pairwise(stages[1:]):
        assert relabelled(stage) == part(before) == part(stage) == frozenset(UNLABELED)


def test_both_ways_take_equal_steps_and_label_as_often() -> None:
    work = {}
    for asynchronous in (True, False):
        method, facts = build(asynchronous=asynchronous, parts=3)
        stages = method.stages(facts)
        ends = stage_ends(stages, 26000)
        seen = sum(len(relabelled(stage)) for stage in stages)
        crops = {stage.streams["pseudo"].size for stage in stages[1:]}
        work[asynchronous] = ends[0], ends[-1] - ends[0], seen, crops
    assert work[True] == work[False] == (6000, 20000, 4 * len(UNLABELED), {2})


def test_lengths_at_the_papers_steps() -> None:
    method, facts = build()
    assert stage_ends(method.stages(facts), 26000) == [6000 + 2500 * i for i in range(9)]


@pytest.mark.parametrize(("sweeps", "expected"), [(None, 4), (9, 4), (3, 3), (1, 1)])
@pytest.mark.parametrize("asynchronous", [True, False])
def test_the_budget_limits_the_generations(sweeps: int | None, expected: int, asynchronous: bool) -> None:
    method, facts = build(asynchronous=asynchronous)
    facts = replace(facts, sweeps=sweeps)
    stages = method.stages(facts)
    assert sum(len(relabelled(stage)) for stage in stages) == expected * len(UNLABELED)
    assert sum(stage.share for stage in stages) == pytest.approx(1)
    assert stages[0].share == pytest.approx(6000 / 26000)


def test_without_generations_it_is_the_supervised_baseline() -> None:
    method, facts = build(generations=0)
    (stage,) = method.stages(facts)
    assert stage.share == 1
    assert list(stage.streams) == ["labeled"]


@dataclass
class Lazy:
    """A learner at its laziest: of a case it has just learned it repeats the label, right or wrong; of any
    other case it says something half as wrong as what it has learned from."""

    error: dict[int, float] = field(default_factory=dict)  # of each case's pseudo-label
    memory: frozenset[int] = frozenset()
    skill: float = 1.0  # its error on cases it has not just learned

    def walk(self, stages: Sequence[Stage]) -> list[float]:
        """The mean error of all pseudo-labels after each stage."""
        found, ends = [], {}
        for stage in stages:
            for case in relabelled(stage) - self.memory:
                self.error[case] = self.skill
            if stage.start != "go_on":
                self.memory, self.skill = ends.get(stage.start, (frozenset(), 1.0))
            self.memory = part(stage)
            if self.memory:
                self.skill = 0.5 * sum(self.error[case] for case in self.memory) / len(self.memory)
            ends[stage.name] = self.memory, self.skill
            found.append(sum(self.error.values()) / max(1, len(self.error)))
        return found


@pytest.mark.parametrize("start", ["continue", "initial_model", "scratch"])
def test_a_lazy_learner_stands_still_in_step_and_moves_in_turns(start: str) -> None:
    def errors(**settings: Any) -> list[float]:
        method, facts = build(start=start, **settings)
        return Lazy().walk(method.stages(facts))

    for k in (2, 3):
        in_turns = errors(parts=k)
        assert in_turns[-1] < 0.5 ** (4 * k - 3)
        assert all(later < earlier for earlier, later in pairwise(in_turns[1:]))
    assert errors(asynchronous=False)[1:] == [1.0] * 4


@pytest.mark.parametrize("start", ["continue", "initial_model", "scratch"])
def test_the_loop_labels_with_the_weights_that_arrive_and_starts_as_asked(start: str) -> None:
    method, facts = build(start=start, generations=2, dropout=0.0)
    facts = replace(facts, steps=26)
    initial = {name: value.clone() for name, value in method.state_dict().items()}
    arrived: dict[str, dict[str, torch.Tensor]] = {}
    began: dict[str, dict[str, torch.Tensor]] = {}

    def weights() -> dict[str, torch.Tensor]:
        return {name: value.clone() for name, value in method.state_dict().items()}

    class Source:
        def __init__(self, stage: Stage) -> None:
            self.stage = stage
            began[stage.name] = weights()

        def batch(self, step: int) -> dict[str, Crops]:
            return batch_of(facts, self.stage)

    def relabel(index: int, stage: Stage, method: Method) -> None:
        arrived[stage.name] = weights()

    def rebuild() -> Method:
        return build(start=start, dropout=0.0)[0]

    fit(
        method, facts, Source, optimizer=Optimizer(lr=0.01), rebuild=rebuild, paper_steps=26000,
        hooks=Hooks(relabel=relabel),
    )  # fmt: skip
    names = [stage.name for stage in method.stages(facts)]
    assert list(began) == names
    assert list(arrived) == names[1:] == [f"generation{g}_part{i}" for g in (1, 2) for i in (1, 2)]

    def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
        return all(torch.equal(a[name], b[name]) for name in a if name.startswith("student"))

    labeled = arrived["generation1_part1"]
    wanted = {"continue": arrived, "initial_model": {}, "scratch": {}}[start]
    other = labeled if start == "initial_model" else initial
    for name in names[1:]:
        assert same(began[name], wanted.get(name, other))
    for earlier, later in pairwise(names[1:]):
        assert not same(arrived[later], began[earlier])  # what labels has learned in between


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("classes", [2, 4])
def test_the_terms_are_the_supervised_loss_on_label_and_pseudo_label(dims: int, classes: int) -> None:
    method, facts = build(dims, classes, dropout=0.0, pseudo=0.7)
    stage = method.stages(facts)[1]
    batch = batch_of(facts, stage)
    x = torch.cat([batch["labeled"].views["weak"], batch["pseudo"].views["weak"]])
    logits = method.student(x, norm="batch").logits  # one forward for both
    terms = method.step(batch, At(stage.name, 1, 0.5, 0.5, facts.key))
    assert set(terms) == {"segmentation", "pseudo"}
    for name, part, weight in (("segmentation", "labeled", 1.0), ("pseudo", "pseudo", 0.7)):
        c, rows = batch[part], slice(0, 2) if part == "labeled" else slice(2, 4)
        expected = segmentation_loss(logits[rows], c.target, c.valid, c.annotated)
        assert torch.allclose(terms[name].value, expected, rtol=1e-6)
        assert terms[name].weight == weight


def test_a_pseudo_label_tells_nothing_where_it_is_not_valid() -> None:
    """Unsure voxels (confidence) and those outside the scan."""
    method, facts = build()
    stage = method.stages(facts)[2]
    batch = batch_of(facts, stage)
    valid = torch.ones_like(batch["pseudo"].valid)
    valid[:, :, 2:5] = 0
    wrong = torch.where(valid > 0, batch["pseudo"].target, 1 - batch["pseudo"].target)
    values = []
    for target in (batch["pseudo"].target, wrong):
        changed = {**batch, "pseudo": replace(batch["pseudo"], valid=valid, target=target)}
        values.append(method.step(changed, At(stage.name, 1, 0.5, 0.5, facts.key))["pseudo"].value)
    assert torch.equal(*values)
    whole = method.step(batch, At(stage.name, 1, 0.5, 0.5, facts.key))["pseudo"].value
    assert not torch.equal(whole, values[0])


def test_a_class_that_was_not_annotated_is_still_learned_from_pseudo_labels() -> None:
    method, facts = build()
    stage = method.stages(facts)[1]
    batch = batch_of(facts, stage)
    batch["labeled"] = replace(batch["labeled"], annotated=torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
    moved = replace(
        batch["pseudo"], target=batch["pseudo"].target * torch.tensor([1.0, 0]).view(1, 2, 1, 1, 1)
    )
    terms = [
        method.step({**batch, "pseudo": c}, At(stage.name, 1, 0.5, 0.5, facts.key))
        for c in (batch["pseudo"], moved)
    ]
    assert torch.equal(*(t["segmentation"].value for t in terms))
    assert not torch.equal(*(t["pseudo"].value for t in terms))


def test_settings_reach_the_stages() -> None:
    method, facts = build(soft=True, clean="largest", confidence=0.8, labeled_too=False)
    first, *others = method.stages(facts)
    assert first.streams["labeled"].size == 4
    assert first.relabel is None
    for stage in others:
        assert list(stage.streams) == ["pseudo"]
        stream, relabel = stage.streams["pseudo"], stage.relabel
        assert (stream.size, stream.target, stream.confidence) == (4, "pseudo", 0.8)
        assert relabel is not None
        assert (relabel.soft, relabel.clean, relabel.by) == (True, "largest", ())  # by: the run's predictor
        assert stream_fault(stream, 3, 3, True) is None
    terms = method.step(batch_of(facts, others[0]), At(others[0].name, 1, 0.5, 0.5, facts.key))
    assert set(terms) == {"pseudo"}
    with_labels = build()[0].stages(facts)[1]
    assert {name: stream.size for name, stream in with_labels.streams.items()} == {"labeled": 2, "pseudo": 2}


@pytest.mark.parametrize(
    "settings", [{"parts": 1}, {"parts": 8}, {"labeled_too": False, "pseudo": 0.0}], ids=str
)
def test_what_cannot_be_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingsError):
        build(**settings)
    if "parts" in settings:
        build(**settings, asynchronous=False)
