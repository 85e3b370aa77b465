"""Stages on toy methods: the order of events on entry, pairs that begin late, resume across borders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from semivox.errors import SettingsError
from semivox.methods.catalog import CATALOG, load_method
from semivox.methods.declare import At, Batch, Facts, Method, Optimizer, Pair, Player, Relabel, Stage, Term
from semivox.randomness import Key
from semivox.testing.synthetic import tiny
from semivox.training.loop import Hooks, Progress, fit
from semivox.training.stages import pair_ages, remaining, stages_of

from .toys import PLAN, NoSettings, Numbers

PLAIN = Optimizer(lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.0, schedule="constant", clip=0)
MODULES = ("student", "teacher", "other", "late")
PLAYERS = (Player("segmenter", ("student", "other")),)
PAIR, LATE = Pair("student", "teacher", 0.5), Pair("student", "late", 0.5)
State = dict[str, torch.Tensor]


class Toy(Method):
    """Four modules, each with weights of its own; the stages are given from outside."""

    Settings = NoSettings

    def __init__(self, stages: Sequence[Stage]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.student, self.teacher, self.other, self.late = (nn.Linear(3, 3) for _ in MODULES)
        self.given = stages

    def stages(self, facts: Facts) -> Sequence[Stage]:
        return self.given

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        return {"loss": Term((self.other(self.student(batch["all"].views["weak"])) ** 2).mean())}


def state(method: nn.Module) -> State:
    return {name: value.clone() for name, value in method.state_dict().items()}


def is_module(a: State, module: str, b: State, other: str) -> bool:
    """Whether module ``module`` of ``a`` has the weights that ``other`` has in ``b``."""
    return all(torch.equal(a[f"{module}.{p}"], b[f"{other}.{p}"]) for p in ("weight", "bias"))


def stage(name: str, **more: Any) -> Stage:
    return Stage(name, {}, PLAYERS, **{"pairs": (PAIR,), **more})


class Watched:
    """Runs a toy and keeps its weights: as relabelling saw them, after entry, and after every step."""

    def __init__(self, stages: Sequence[Stage], steps: int, kind: type[Toy] = Toy) -> None:
        self.method = kind(stages)
        self.steps = steps
        self.relabelled: dict[str, State] = {}
        self.entered: dict[str, State] = {}
        self.after: dict[int, State] = {}
        self.events: list[str] = []

    def run(self, progress: Progress | None = None, **hooks: Any) -> Progress:
        def source(stage: Stage) -> Numbers:
            self.entered[stage.name] = state(self.method)
            return Numbers(stage)

        def relabel(index: int, stage: Stage, method: Method) -> None:
            assert method is self.method
            assert stage.relabel is not None
            self.events.append(f"{index} {stage.name}")
            self.relabelled[stage.name] = state(method)

        def follow(step: int, record: object) -> None:
            self.after[step] = state(self.method)

        stages = self.method.given
        return fit(
            self.method,
            Facts(PLAN, self.steps, 1, 1, Key(0)),
            source,
            optimizer=PLAIN,
            rebuild=lambda: Toy(stages),
            paper_steps=10,
            hooks=Hooks(progress=follow, relabel=relabel, **hooks),
            progress=progress,
        )


def test_entry_is_relabel_start_fresh_copy_then_pairs_that_begin() -> None:
    third = stage(
        "three",
        relabel=Relabel(),
        start="one",
        fresh=("other",),
        copy={"student": "other"},
        pairs=(PAIR, LATE),
    )
    toy = Watched([stage("one"), stage("two"), third], 9)
    initial = state(toy.method)
    toy.run()
    one, two, seen, after = toy.after[3], toy.after[6], toy.relabelled["three"], toy.entered["three"]
    assert all(torch.equal(seen[name], two[name]) for name in two)  # the weights that arrive
    assert is_module(after, "teacher", one, "teacher")  # start; the old pair does not begin again
    assert is_module(after, "other", initial, "other")  # fresh comes after start
    assert is_module(after, "student", initial, "other")  # copy comes after fresh
    assert is_module(after, "late", initial, "other")  # a pair begins after copy
    assert not is_module(one, "other", initial, "other")
    assert not is_module(one, "teacher", initial, "teacher")


def test_relabelling_sees_what_a_start_from_initial_weights_then_resets() -> None:
    toy = Watched([stage("one"), stage("two", relabel=Relabel(), start="initial")], 6)
    initial = state(toy.method)
    toy.run()
    assert all(torch.equal(toy.relabelled["two"][name], toy.after[3][name]) for name in initial)
    assert is_module(toy.entered["two"], "student", initial, "student")
    assert is_module(toy.entered["two"], "teacher", initial, "student")  # the pair was reset: it begins
    assert is_module(toy.after[4], "teacher", toy.after[4], "student")  # and forgets its start at once


def test_a_pair_first_named_in_the_second_stage_begins_there() -> None:
    toy = Watched([stage("one"), stage("two", pairs=(PAIR, LATE))], 8)
    initial = state(toy.method)
    toy.run()
    assert is_module(toy.after[4], "late", initial, "late")
    assert is_module(toy.entered["two"], "late", toy.after[4], "student")
    assert is_module(toy.after[5], "late", toy.after[5], "student")  # its first update, whatever the step
    assert not is_module(toy.after[5], "teacher", toy.after[5], "student")  # its fifth
    expected = torch.lerp(toy.after[4]["teacher.weight"], toy.after[5]["student.weight"], 0.2)
    assert torch.allclose(toy.after[5]["teacher.weight"], expected)  # 1 / (4 + 1), longer than 0.5's


def test_ages_follow_the_weights() -> None:
    stages = [
        stage("one"),
        stage("two", pairs=(PAIR, LATE)),
        stage("back", start="one", pairs=(LATE, PAIR)),
        stage("anew", start="initial"),
        stage("none", pairs=()),
        stage("last", pairs=(PAIR, LATE)),
    ]
    assert pair_ages(stages, 60) == [[None], [10, None], [None, 10], [None], [], [10, None]]


class Swaps(Toy):
    """Its second stage trains what followed in the first."""

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        x = batch["all"].views["weak"]
        return {"loss": Term((self.other(self.student(x) + self.teacher(x)) ** 2).mean())}


def test_a_teacher_of_one_stage_may_learn_in_another() -> None:
    second = Stage("two", {}, (Player("segmenter", ("teacher",)),))
    toy = Watched([stage("one"), second], 4, Swaps)
    toy.run()
    assert is_module(toy.after[3], "student", toy.after[2], "student")
    assert not is_module(toy.after[3], "teacher", toy.after[2], "teacher")


@pytest.mark.parametrize("stop_at", range(1, 9))
def test_resume_gives_the_same_bits_from_every_step(stop_at: int) -> None:
    stages = [
        stage("one"),
        stage("two", relabel=Relabel(), start="initial", pairs=(PAIR, LATE)),
        stage("three", relabel=Relabel(), start="one", fresh=("other",), pairs=(LATE, PAIR)),
    ]
    whole = Watched(stages, 9)
    whole.run()
    saved: dict[str, Any] = {}

    def checkpoint(step: int, made: Any) -> None:
        if step == stop_at:
            saved.update(made())
            saved["method"] = {k: v.clone() for k, v in saved["method"].items()}

    Watched(stages, 9).run(checkpoint=checkpoint, stop=lambda: bool(saved))
    again = Watched(stages, 9)
    again.method.load_state_dict(saved["method"])
    again.run(Progress(saved["step"], saved["optimizers"], saved["ends"]))
    assert again.events == [e for e, begin in (("1 two", 3), ("2 three", 6)) if begin >= stop_at]
    for name, seen in again.relabelled.items():
        assert all(torch.equal(seen[key], whole.relabelled[name][key]) for key in seen)
    assert all(torch.equal(whole.after[9][key], again.after[9][key]) for key in whole.after[9])


def test_stages_that_cannot_be_are_refused() -> None:
    facts = Facts(PLAN, 4, 1, 1, Key(0))
    with pytest.raises(SettingsError, match=r"stage 'one' of Toy has a name that is taken"):
        Watched([stage("one"), stage("one")], 4).run()
    with pytest.raises(SettingsError, match=r"'two' of Toy starts from 'three'"):
        stages_of(Toy([stage("one"), stage("two", start="three"), stage("three")]), facts)
    with pytest.raises(SettingsError, match="taken"):
        stages_of(Toy([stage("initial")]), facts)
    with pytest.raises(SettingsError, match=r"'two' of Toy has less than no part of the run; found .*-0\.5"):
        stages_of(Toy([stage("one", share=1.5), stage("two", share=-0.5)]), facts)
    with pytest.raises(SettingsError, match=r"no stage of Toy has a part of the run"):
        stages_of(Toy([stage("one", share=0.0)]), facts)


def test_a_stage_without_steps_is_entered_unless_nothing_follows() -> None:
    nothing = replace(stage("two", relabel=Relabel(), start="initial"), share=0.0)
    stages = [stage("one"), nothing, stage("three", start="two"), replace(nothing, name="four")]
    assert [(i, b, e) for i, _, b, e in remaining(stages, 4, 0)] == [(0, 0, 2), (1, 2, 2), (2, 2, 4)]
    assert [i for i, *_ in remaining(stages, 4, 1)] == [0, 1, 2]
    assert [i for i, *_ in remaining(stages, 4, 2)] == [1, 2]
    assert [i for i, *_ in remaining(stages, 4, 3)] == [2]
    assert remaining(stages, 4, 4) == []
    toy = Watched(stages, 4)
    initial = state(toy.method)
    toy.run()
    assert toy.events == ["1 two"]
    assert is_module(toy.entered["three"], "student", initial, "student")


def test_a_stage_that_continues_shares_the_schedule_of_the_one_before() -> None:
    rates: dict[int, float] = {}
    given = [stage("one"), replace(stage("two"), continues=True), stage("three")]
    steps = 30
    fit(
        Toy(given),
        Facts(PLAN, steps, 1, 1, Key(0)),
        Numbers,
        optimizer=Optimizer(lr=1.0, power=0.9),
        rebuild=lambda: Toy(given),
        paper_steps=10,
        log_every=1,
        hooks=Hooks(journal=lambda record: rates.update({record["step"]: record["lr"]["segmenter"]})),
    )
    expected = [(1 - i / 20) ** 0.9 for i in range(20)] + [(1 - i / 10) ** 0.9 for i in range(10)]
    assert [rates[i] for i in range(steps)] == pytest.approx(expected)


@pytest.mark.parametrize("name", CATALOG)
def test_where_no_scan_may_be_labelled_stages_that_would_label_learn_from_labels_alone(name: str) -> None:
    method, facts = tiny(load_method(name))
    usual = stages_of(method, replace(facts, sweeps=1))
    found = stages_of(method, replace(facts, sweeps=0))
    labels = [stage.name for stage in usual if stage.relabel]
    first = next(stage for stage in found if stage.name != "warm_up")
    assert [stage.name for stage in found if stage.name != "warm_up"] == [
        stage.name for stage in usual if stage.name != "warm_up"
    ]
    assert all(stage.relabel is None for stage in found)
    for stage in found:
        if stage.name in labels:
            assert stage.step == "warm_up"
            assert {stream.cases for stream in stage.streams.values()} == {"labeled"}
            assert sum(stream.size for stream in stage.streams.values()) == facts.alone
            assert stage.streams == dict(first.streams)  # as where labels are learned from alone anyway
    assert bool(labels) == (name in ("self_training", "atso", "pseudo_contrast"))
