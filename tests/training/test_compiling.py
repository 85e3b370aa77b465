"""When a run is compiled: asked for, or tried where it can pay for itself; never where it fails."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from semivox.batches import Crops
from semivox.errors import TrainingFailed
from semivox.methods.catalog import load_method
from semivox.methods.declare import Method, Optimizer
from semivox.networks import compiled
from semivox.testing.synthetic import build, random_batch, tiny_facts, tiny_plan
from semivox.training import compiling
from semivox.training.compiling import WORTH_A_TRY, Choice, choose
from semivox.training.config import resolve, write_config
from semivox.training.loop import Hooks, Progress, fit

CPU, GPU = torch.device("cpu"), torch.device("cuda")
LONG = WORTH_A_TRY + 1


@pytest.fixture(autouse=True)
def _a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "compiler_fault", lambda: None)


def steps(plain: float, compiled: float | Exception) -> tuple[Callable[[bool], float], list[bool]]:
    asked: list[bool] = []

    def measure(on: bool) -> float:
        asked.append(on)
        if on and isinstance(compiled, Exception):
            raise compiled
        return float(compiled) if on else plain  # type: ignore[arg-type]

    return measure, asked


def test_auto_tries_where_much_is_left_and_keeps_what_is_faster() -> None:
    measure, asked = steps(1.0, 0.8)
    choice = choose("auto", measure, lambda: LONG, CPU, 1)
    assert (choice.compiled, asked) == (True, [False, True])
    assert choice.said == (
        "compile: yes; a step takes 0.80 s compiled, 1.00 s as it is (override: --set run.compile=no)"
    )
    slower = choose("auto", steps(1.0, 1.1)[0], lambda: LONG, CPU, 1)
    assert not slower.compiled
    assert slower.said is not None
    assert slower.said.startswith("compile: no; a step takes 1.10 s compiled")


@pytest.mark.parametrize(
    ("left", "device", "ranks"), [(WORTH_A_TRY - 1, CPU, 1), (LONG, GPU, 1), (LONG, CPU, 2)]
)
def test_auto_does_not_try_elsewhere(left: float, device: torch.device, ranks: int) -> None:
    measure, asked = steps(1.0, 0.1)
    assert choose("auto", measure, lambda: left, device, ranks) == Choice(False)
    assert asked == [False]


def test_no_is_no_and_yes_is_yes() -> None:
    measure, asked = steps(1.0, 0.1)
    assert choose(False, measure, lambda: LONG, CPU, 1) == Choice(False)
    assert asked == [False]
    assert choose(True, steps(1.0, 1.5)[0], lambda: 1.0, CPU, 1).compiled


def test_what_cannot_be_compiled_runs_as_it_is_and_one_line_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    fails = steps(1.0, RuntimeError("CppCompileError: no Python.h\nmore"))[0]
    assert choose(True, fails, lambda: LONG, CPU, 1) == Choice(
        False, "compile: no; CppCompileError: no Python.h"
    )
    shared = choose(True, steps(1.0, 0.5)[0], lambda: LONG, CPU, 2)
    assert shared == Choice(False, "compile: no; several processes share a batch")
    monkeypatch.setattr(compiling, "compiler_fault", lambda: "no compiler")
    measure, asked = steps(1.0, 0.5)
    assert choose("auto", measure, lambda: LONG, CPU, 1) == Choice(False, "compile: no; no compiler")
    assert asked == [False]


def test_a_failed_training_is_told() -> None:
    with pytest.raises(TrainingFailed):
        choose(True, steps(1.0, TrainingFailed("not finite"))[0], lambda: LONG, CPU, 1)


def test_what_was_decided_is_repeated_but_not_for_another_budget(tmp_path: Path) -> None:
    config, _ = resolve(Path("data"), {"method": "supervised", "steps": 7}, assignments={"run.compile": True})
    write_config(tmp_path / "config.yaml", config)
    again, _ = resolve(Path("data"), {}, config_file=tmp_path / "config.yaml")
    assert again.run.compile is True
    other, _ = resolve(Path("data"), {"budget": 60.0}, config_file=tmp_path / "config.yaml")
    assert other.run.compile == "auto"
    both, _ = resolve(
        Path("data"), {"budget": 60.0}, config_file=tmp_path / "config.yaml", assignments={"compile": False}
    )
    assert both.run.compile is False


class Fixed:
    """The same batch at each step."""

    def __init__(self, batch: Mapping[str, Crops]) -> None:
        self.fixed = batch

    def batch(self, step: int) -> Mapping[str, Crops]:
        return self.fixed


def test_a_compiled_run_equals_itself_resumed_and_another_one_that_is_not_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")
    compiled._compiled.cache_clear()
    kind, facts = load_method("mean_teacher"), tiny_facts(tiny_plan(2), steps=4)
    saved: dict[str, Any] = {}

    def run(compile_it: bool, progress: Progress | None = None, method: Method | None = None) -> Method:
        made = method or build(kind, facts)
        batch = random_batch(made, facts)

        def checkpoint(step: int, state: Callable[[], dict[str, Any]]) -> None:
            if step == 2 and not saved:
                saved.update(copy.deepcopy(state()))

        fit(
            made, facts, lambda stage: Fixed(batch), optimizer=Optimizer(lr=0.01), paper_steps=10,
            rebuild=lambda: build(kind, facts), hooks=Hooks(checkpoint=checkpoint), progress=progress,
            compiled=compile_it,
        )  # fmt: skip
        return made

    whole = run(True).state_dict()
    again = build(kind, facts)
    again.load_state_dict(saved["method"])
    resumed = run(True, Progress(saved["step"], saved["optimizers"], saved["ends"]), again).state_dict()
    plain = run(False).state_dict()
    compiled._compiled.cache_clear()
    torch.compiler.reset()
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
        torch.testing.assert_close(value, plain[name], rtol=1e-4, atol=1e-5, msg=name)
