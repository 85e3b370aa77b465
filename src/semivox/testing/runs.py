"""Checks of whole runs, of seconds: through the sampler, the loop and the bank that a real run has."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from semivox.batches import Augmentation, Batches, region_table
from semivox.errors import DataError, SettingsError, TrainingFailed
from semivox.methods import Facts, Method, Optimizer, Stage
from semivox.networks import describe
from semivox.prepare import Store
from semivox.testing.faults import method_fault
from semivox.testing.memory_store import MemoryStore
from semivox.testing.steps import Settings
from semivox.testing.synthetic import LABELED, UNLABELED, build, tiny_facts, tiny_plan
from semivox.training.checkpoints import load, save
from semivox.training.loop import Hooks, Progress, fit
from semivox.training.pseudo_label_bank import PseudoLabelBank
from semivox.training.stages import stage_begins, stages_of

STEPS_A_STAGE = 3


class _Stopped(Exception):  # noqa: N818 - it stands for a process that is killed
    pass


@dataclass
class TinyRun:
    """A run of one method on drawn cases; ``folder`` holds its pseudo-labels.

    ``equal``: every stage has STEPS_A_STAGE steps, whatever its share.
    """

    kind: type[Method]
    settings: Settings
    facts: Facts
    store: MemoryStore
    folder: Path
    equal: bool = True
    augmentation: Augmentation | None = None

    def __post_init__(self) -> None:
        self.method = self.build()
        stages = stages_of(self.method, self.facts)
        if self.equal:
            self.facts = replace(self.facts, steps=STEPS_A_STAGE * len(stages))
            stages = [replace(stage, share=1.0) for stage in stages]
        self.stages: Sequence[Stage] = stages
        self.bank = PseudoLabelBank(self.folder, cast(Store, self.store), self.facts.plan, self.facts.key)

    @property
    def begins(self) -> list[int]:
        return stage_begins(self.stages, self.facts.steps)

    def build(self) -> Method:
        return build(self.kind, self.facts, self.settings)

    def go(
        self,
        checkpoints: Path | None = None,
        checkpoint: Callable[[int, Callable[[], dict[str, Any]]], None] = lambda step, state: None,
        labelled: Callable[[int, int], None] = lambda index, done: None,
    ) -> dict[str, Tensor]:
        """Train to the end, from what the folder ``checkpoints`` holds on, and return the state.

        ``checkpoint`` is the loop's; ``labelled(stage, cases done)`` is called after each case that is
        labelled. Raises MethodFault for a checkpoint that cannot be read.
        """
        progress, saved = None, self._load(checkpoints)
        if saved is not None:
            self.method.load_state_dict(saved["method"])
            progress = Progress(saved["step"], saved["optimizers"], saved["ends"])
        anew = any(stage.relabel for stage in self.stages)
        place = {stage.name: index for index, stage in enumerate(self.stages)}

        def source(stage: Stage) -> Batches:
            return Batches(
                self.store,
                stage.streams,
                self.facts.plan.patch,
                self.facts.key,
                stage.name,
                self.augmentation,
                pseudo=self.bank.view(place[stage.name]) if anew else None,
                regions=region_table(self.facts.plan),
            )

        def relabel(index: int, stage: Stage, method: Method) -> None:
            assert stage.relabel is not None
            networks = [getattr(method, role) for role in stage.relabel.by or self.kind.predictor]
            self.bank.relabel(
                stage.name, index, stage.relabel, networks, lambda done, total: labelled(index, done)
            )

        fit(
            self.method,
            self.facts,
            source,
            optimizer=Optimizer(),
            rebuild=self.build,
            paper_steps=self.kind.Settings(**(self.settings or {})).paper_steps,
            hooks=Hooks(checkpoint=checkpoint, relabel=relabel),
            progress=progress,
            stages=self.stages,
        )
        return self.method.state_dict()

    def _load(self, checkpoints: Path | None) -> dict[str, Any] | None:
        try:
            return None if checkpoints is None else load(checkpoints)[0]
        except DataError as error:
            raise method_fault(
                "its checkpoint cannot be read: it holds what torch does not load with weights_only=True",
                "Let state_dict() hold tensors, plain numbers and text alone",
            ) from error


def tiny_run(kind: type[Method], settings: Settings, folder: Path, dims: int = 2) -> TinyRun:
    """A run of three steps a stage on 2 labelled and 4 unlabelled cases of 3 classes."""
    plan = tiny_plan(dims)
    store = MemoryStore(plan, LABELED, UNLABELED, tiny_facts(plan).key / "drawn")
    return TinyRun(kind, settings, tiny_facts(plan), store, folder, augmentation=Augmentation())


def check_declaration(method: type[Method], settings: Settings = None) -> None:
    """What is declared is there: modules by their names, ``paper_steps``, networks that can be rebuilt."""
    facts = tiny_facts(tiny_plan())
    made = build(method, facts, settings)
    given = method.Settings(**(settings or {}))
    if not getattr(given, "paper_steps", 0) > 0:
        raise method_fault(
            "Settings has no paper_steps",
            "Add `paper_steps: int = N`, the length of run that ema_decay is meant for",
        )
    for role in (*method.predictor, *method.paper_predictor):
        if not isinstance(getattr(made, role, None), nn.Module):
            raise method_fault(
                f"it has no module {role!r}, which is to predict",
                "Set `predictor` and `paper_predictor` to names of its networks",
            )
        try:
            describe(getattr(made, role))
        except SettingsError as error:
            raise method_fault(
                f"the network {role!r} predicts, and its run folder could not describe it",
                "Let networks made by facts.network predict; others may only train",
            ) from error
    try:
        stages = stages_of(made, facts)
    except SettingsError as error:
        raise method_fault(str(error), "Rename the stage, or order them anew") from error
    for stage in stages:
        moved = [(f"player {p.name!r}", name) for p in stage.players for name in p.modules]
        paired = [("a pair", name) for pair in stage.pairs for name in (pair.student, pair.teacher)]
        copied = [("copy", name) for names in stage.copy.items() for name in names]
        anew = [("fresh", name) for name in stage.fresh]
        for owner, name in (*moved, *paired, *copied, *anew):
            if not isinstance(getattr(made, name, None), nn.Module):
                raise method_fault(
                    f"{owner} names {name!r}, which is no module of the method",
                    "Modules go by their attribute names",
                    stage=stage.name,
                )


def check_trains(method: type[Method], settings: Settings = None) -> None:
    """A run through the real sampler and loop reaches its end, and no label of an unlabelled case is read."""
    for dims in (2, 3):
        with tempfile.TemporaryDirectory() as folder:
            try:
                state = tiny_run(method, settings, Path(folder), dims).go()
            except (SettingsError, TrainingFailed) as error:
                raise method_fault(
                    f"a run of a few steps in {dims}D stops: {error}",
                    "Ask for streams that there can be, and for losses that stay finite",
                ) from error
        for name, value in state.items():
            if value.is_floating_point() and not bool(torch.isfinite(value).all()):
                raise method_fault(
                    f"after a few steps in {dims}D the weights {name!r} are not finite",
                    "Look for divisions by zero, and square roots or norms at 0",
                )


def check_resume(method: type[Method], settings: Settings = None) -> None:
    """A run stopped after any step, or in the midst of labelling, and continued by a new process, ends with
    the bits of one that was not stopped."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        whole = tiny_run(method, settings, root / "whole")

        def keep(step: int, state: Callable[[], dict[str, Any]]) -> None:
            save(_checkpoints(root, step), state())
            if whole.folder.exists():
                shutil.copytree(whole.folder, root / f"bank_{step}")

        expected = whole.go(checkpoint=keep)
        for step in range(1, whole.facts.steps):
            again = tiny_run(method, settings, _own_copy(root / f"bank_{step}", root / f"after_{step}"))
            _refuse_other(expected, again.go(_checkpoints(root, step)), whole, f"after step {step}")

        for index, (stage, begin) in enumerate(zip(whole.stages, whole.begins, strict=True)):
            if stage.relabel is None:
                continue

            def stop(at: int, done: int, index: int = index) -> None:
                if at == index and done == 1:
                    raise _Stopped

            bank = _own_copy(root / f"bank_{begin}", root / f"labelling_{index}")
            stopped = tiny_run(method, settings, bank)
            try:
                stopped.go(_checkpoints(root, begin), labelled=stop)
            except _Stopped:
                again = tiny_run(method, settings, bank)
                when = f"while labelling for stage {stage.name!r}"
                _refuse_other(expected, again.go(_checkpoints(root, begin)), whole, when)


def _checkpoints(root: Path, step: int) -> Path:
    folder = root / f"checkpoints_{step}"
    folder.mkdir(exist_ok=True)
    return folder


def _own_copy(bank: Path, to: Path) -> Path:
    if bank.exists():
        shutil.copytree(bank, to)
    return to


def _refuse_other(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], whole: TinyRun, when: str
) -> None:
    other = [name for name in expected if not torch.equal(expected[name], found[name])]
    if other:
        borders = ", ".join(f"{s.name} from {b}" for s, b in zip(whole.stages, whole.begins, strict=True))
        raise method_fault(
            f"a run stopped {when} ({borders}) and resumed ends with other weights: {other[0]!r} and "
            f"{len(other) - 1} more",
            "All that a later step depends on must be a parameter or a buffer: a counter or a list on the "
            "object is lost when a run stops",
        )
