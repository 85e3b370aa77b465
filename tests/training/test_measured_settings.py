"""What a run fixes before step 0: the cost of a step, the sweeps and steps that a budget holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import nn

from semivox.batches import Augmentation
from semivox.methods.catalog import CATALOG, load_method
from semivox.methods.declare import At, Batch, Facts, Method, Optimizer, Player, Relabel, Stage, Term
from semivox.networks import build_network
from semivox.networks.precision import Measured
from semivox.prepare import NetworkPlan
from semivox.randomness import Key
from semivox.testing.displays import Told
from semivox.testing.synthetic import build, tiny_facts, tiny_plan
from semivox.training import measured_settings as settle_module
from semivox.training.config import Config, DistanceSettings, RunSettings, resolve, write_config
from semivox.training.measured_settings import choose_precision, measure_settings
from semivox.training.stages import stage_ends, stages_of

from .toys import PLAN, NoSettings


class TwoStages(Method):
    """Two stages, the first three times as long as the second."""

    Settings = NoSettings

    def __init__(self) -> None:
        super().__init__()
        self.student = nn.Linear(1, 1)

    def stages(self, facts: Facts) -> Sequence[Stage]:
        players = (Player("segmenter", ("student",)),)
        return [Stage("short", {}, players, share=0.75), Stage("long", {}, players, share=0.25)]

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("computes", "error", "seconds", "expected"),
    [
        (False, 0.0, {}, ("fp32", "no arithmetic for bf16")),
        (True, 0.93, {"fp32": 2.0}, ("fp32", "computes wrongly here: its logits differ by 93%")),
        (True, 0.01, {"fp32": 2.0, "bf16": 1.0}, ("bf16", "bf16 1.00 s, fp32 2.00 s")),
        (True, 0.01, {"fp32": 1.0, "bf16": 2.0}, ("fp32", "fp32 1.00 s, bf16 2.00 s")),
        (True, 0.01, {}, ("bf16", "no time to measure")),
        (True, 0.93, {}, ("fp32", "computes wrongly here: its logits differ by 93%")),
    ],
)
def test_bf16_is_taken_where_the_machine_computes_in_it_rightly_and_faster(
    monkeypatch: pytest.MonkeyPatch,
    computes: bool,
    error: float,
    seconds: dict[str, float],
    expected: tuple[str, str],
) -> None:
    class Ours(TwoStages):
        def __init__(self) -> None:
            super().__init__()
            self.student = build_network(NetworkPlan("unet", (4, 8), ((3, 3),) * 2, ((2, 2),)), 1, 2, Key(0))  # type: ignore[assignment]

    def measured(network: nn.Module, example: torch.Tensor, limit: float) -> Measured:
        assert computes, "nothing is to be measured here"
        assert limit == 7.0
        return Measured(seconds, error)

    crops = SimpleNamespace(case=torch.zeros(1), views={"weak": torch.zeros(1, 1, 4, 4)})
    source = SimpleNamespace(batch=lambda step: {"labeled": crops})
    monkeypatch.setattr(settle_module, "computes_bf16", lambda device: computes)
    monkeypatch.setattr(settle_module, "measure_precisions", measured)
    monkeypatch.setattr(settle_module, "bf16_error", lambda network, example: error)
    plan = replace(PLAN, step_seconds=1.0 if seconds else 2.0)

    def make(steps: int, precision: str) -> tuple[Facts, Method]:
        return Facts(plan, steps, 1, 1, Key(0)), Ours()

    chosen, why = choose_precision(make, cast(Any, lambda stage: source), torch.device("cpu"), 7.0)
    assert chosen == expected[0]
    assert expected[1] in why


class Relabels(TwoStages):
    """As many generations as the budget holds, at most ``most``, each of two halves."""

    most = 8

    def stages(self, facts: Facts) -> Sequence[Stage]:
        players = (Player("segmenter", ("student",)),)
        generations = self.most if facts.sweeps is None else min(self.most, facts.sweeps)
        halves = [
            Stage(f"{g}/{i}", {}, players, relabel=Relabel((i, 2), by=("student",)))
            for g in range(generations)
            for i in (0, 1)
        ]
        return [Stage("labeled", {}, players), *halves]


class TimedBank:
    """Labelling a case takes so many seconds; there are 5."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.timed = seconds, 0
        self.store = SimpleNamespace(unlabeled=(3, 4, 5, 6, 7))
        self.plan = PLAN

    def seconds_a_case(self, relabel: Relabel, networks: Sequence[nn.Module], deadline: float) -> float:
        self.timed += 1
        assert len(networks) == 1
        return self.seconds


def settled(
    monkeypatch: pytest.MonkeyPatch,
    a_case: float,
    kind: type[TwoStages] = Relabels,
    began: float = 0.0,
    **run: Any,
) -> tuple[RunSettings, list[str], int]:
    """What a run of 1000 s (970 without the reserve) at 0.5 s a step is settled to, what it said, and how
    often it timed labelling."""
    measured = dict.fromkeys((s.name for s in kind().stages(Facts(PLAN, 1, 1, 5, Key(0)))), 0.5)
    monkeypatch.setattr(settle_module, "seconds_of_stages", lambda *a: measured)
    monkeypatch.setattr(settle_module.time, "monotonic", lambda: 0.0)
    settings = RunSettings(**{"budget": 1000.0, "precision": "fp32", **run})
    config = Config("data", settings, Optimizer(), Augmentation(), DistanceSettings(), NoSettings())
    bank, display = TimedBank(a_case), Told()

    def maker(config: Config) -> Any:
        def make(steps: int, precision: str) -> tuple[Facts, Method]:
            return Facts(PLAN, steps, 1, 5, Key(0), sweeps=config.run.sweeps), kind()

        return make

    result = measure_settings(
        config, maker, cast(Any, None), cast(Any, bank), torch.device("cpu"), began, display
    )
    return result.run, display.said, bank.timed


def test_relabelling_leaves_60_percent_of_the_budget_for_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    run, said, _ = settled(monkeypatch, 12.0)  # 60 s a sweep; 388 s are 6 sweeps
    assert (run.sweeps, run.steps) == (6, int((970 - 6 * 60) / 0.5))
    assert [line for line in said if line.startswith("relabelling:")] == [
        "relabelling: 6 passes over 5 unlabelled scans, of 12 s a scan (override: --set run.sweeps=N)"
    ]


def test_the_passes_that_count_are_those_the_method_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    run, *_ = settled(monkeypatch, 1.0)  # 77 sweeps fit, 8 are wanted
    assert (run.sweeps, run.steps) == (77, int((970 - 8 * 5) / 0.5))


def test_one_sweep_may_take_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    run, *_ = settled(monkeypatch, 100.0)  # 500 s a sweep: more than 40 %
    assert (run.sweeps, run.steps) == (1, int((970 - 500) / 0.5))


def test_a_budget_that_one_sweep_would_eat_goes_into_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """One step, with the rest of the time unused, would be the other way to end in time."""
    run, said, _ = settled(monkeypatch, 160.0)  # 800 s a sweep: less than a quarter would be left
    assert (run.sweeps, run.steps) == (0, int(970 / 0.5))
    assert said[0].startswith("relabelling: to label 5 scans takes 13 m 20 s, and 16 m 10 s are left, so")
    run, *_ = settled(monkeypatch, 12.0, sweeps=0)
    assert (run.sweeps, run.steps) == (0, int(970 / 0.5))


@pytest.mark.parametrize("budget", [60.0, 1000.0, 20_000.0])
@pytest.mark.parametrize("name", CATALOG)
def test_what_a_budget_holds_is_counted_with_the_stages_that_a_run_of_so_many_steps_has(
    name: str, budget: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long a method learns from labels alone may depend on its steps, and stages cost differently."""
    method, plan = load_method(name), tiny_plan(2)

    def make(steps: int, precision: str = "fp32", sweeps: int | None = None) -> tuple[Facts, Method]:
        facts = tiny_facts(plan, steps, sweeps=sweeps)
        return facts, build(method, facts)

    costs = {s.name: 0.1 + 0.2 * i for i, s in enumerate(_stages_of(make(100)))}
    monkeypatch.setattr(settle_module, "seconds_of_stages", lambda *a: costs)
    monkeypatch.setattr(settle_module.time, "monotonic", lambda: 0.0)
    settings = RunSettings(budget=budget, precision="fp32")
    config = Config("data", settings, Optimizer(), Augmentation(), DistanceSettings(), method.Settings())
    bank = TimedBank(budget / 200)  # 5 cases
    maker = cast(Any, lambda config: lambda steps, precision: make(steps, precision, config.run.sweeps))
    found = measure_settings(
        config, maker, cast(Any, None), cast(Any, bank), torch.device("cpu"), 0.0, Told()
    ).run
    assert found.steps is not None
    stages = _stages_of(make(found.steps, sweeps=found.sweeps))
    ends = stage_ends(stages, found.steps)
    steps = sum((b - a) * costs[s.name] for s, (a, b) in zip(stages, pairwise([0, *ends]), strict=True))
    labels = sum(5 * bank.seconds / s.relabel.part[1] for s in stages if s.relabel)
    assert 0.97 * budget == pytest.approx(steps + labels, rel=0.03)


def _stages_of(made: tuple[Facts, Method]) -> list[Stage]:
    facts, method = made
    return stages_of(method, facts)


def test_a_budget_that_is_over_measures_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    run, said, timed = settled(monkeypatch, 1.0, budget=1.0, began=-2.0)
    assert (run.steps, run.sweeps, timed) == (1, 1, 0)
    assert said == ["time: the budget of 1 s was over before the first step"]


def test_sweeps_are_measured_only_where_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    run, _, timed = settled(monkeypatch, 12.0, steps=50)
    assert (run.sweeps, run.steps, timed) == (None, 50, 0)
    run, said, timed = settled(monkeypatch, 12.0, TwoStages)
    assert (run.sweeps, run.steps, timed) == (None, 1940, 0)
    assert not any("relabelling" in line for line in said)
    run, *_ = settled(monkeypatch, 12.0, sweeps=2)
    assert (run.sweeps, run.steps) == (2, int((970 - 2 * 60) / 0.5))


def test_another_budget_measures_the_sweeps_anew(tmp_path: Path) -> None:
    config, _ = resolve(Path("data"), {"method": "supervised", "steps": 7}, assignments={"run.sweeps": 3})
    assert (config.run.steps, config.run.sweeps) == (7, 3)
    write_config(tmp_path / "config.yaml", config)
    again, _ = resolve(Path("data"), {}, config_file=tmp_path / "config.yaml")
    assert (again.run.steps, again.run.sweeps) == (7, 3)
    other, _ = resolve(Path("data"), {"budget": 60.0}, config_file=tmp_path / "config.yaml")
    assert (other.run.steps, other.run.sweeps) == (None, None)
    both, _ = resolve(Path("data"), {"budget": 60.0}, assignments={"run.sweeps": 4})
    assert (both.run.steps, both.run.sweeps) == (None, 4)
