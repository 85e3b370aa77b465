"""One cell of a comparison: train as any run, predict the held-out cases, evaluate, mark it finished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from semivox.cohort import Case
from semivox.cohort.hashing import sha256_file
from semivox.cohort.subset_folder import write_subset_folder
from semivox.commands.train import train
from semivox.comparison.cells import Cell, write_finished
from semivox.comparison.request import SAME, Group, Request
from semivox.errors import SettingsError
from semivox.files import read_json
from semivox.inference.model import load_model
from semivox.methods.declare import Method
from semivox.prepare import build_store, costs_here, fingerprint, make_plan, plan_from_json, write_plan
from semivox.prepare.cache import cache_folder
from semivox.runs.held_out import measure
from semivox.settings import assignments
from semivox.training.config import Config, resolve
from semivox.training.display import Display

OWN = {"method": "--methods", "labeled": "--labeled", "seed": "--seeds"}
"""Settings that differ from cell to cell, and the lists they come from."""


def check_settings(request: Request) -> None:
    """Resolve the settings of every variant once. Raises SettingsError as ``train`` would, and for settings
    that would make cells alike which the lists keep apart."""
    for variant in request.variants:
        group, seed = request.groups[0], request.seeds[0]
        config, method_class = settings_of(request, group, variant.text, seed)
        asked = {"labeled": group.train_labeled, "seed": seed}
        name = settings_of(request, group, variant.text, seed, bare=True)[0].run.method
        for key, wanted in {**asked, "method": name}.items():
            if (found := getattr(config.run, key)) != wanted:
                raise SettingsError(
                    f"run.{key} cannot be set for a comparison",
                    found=repr(found),
                    remedy=f"give {OWN[key]}",
                )
        for group in request.groups:
            if method_class.needs_unlabeled and not group.split.unlabeled:
                raise SettingsError(
                    f"{variant.name} needs unlabelled cases",
                    path=request.data,
                    found=f"{len(group.split.labeled)} labelled cases and no other ({group.labeled.name})",
                    remedy="add images without labels, or ask for fewer labelled cases",
                )


def settings_of(
    request: Request, group: Group, method: str, seed: int, bare: bool = False
) -> tuple[Config, type[Method]]:
    """What ``train`` will make of a cell's options; ``bare``: without ``--set``."""
    given = request.train
    run = {
        "method": method,
        "labeled": group.train_labeled,
        "seed": seed,
        **{name: getattr(given, name) for name in SAME},
    }
    config = Path(given.config) if given.config else None
    settings = {} if bare else assignments(given.settings)
    return resolve(request.data, run, config_file=config, assignments=settings)


class CellRunner:
    """Runs the cells of a request. What cells share is prepared once, before the clock of any of them runs:
    otherwise the first cell of a budget would pay for all."""

    def __init__(self, request: Request, display: Display) -> None:
        self.request, self.display = request, Brief(display)
        self.cache = cache_folder(request.data, request.train.cache)
        self._plans: dict[tuple[str, str], Path | None] = {}
        self._warm = False

    def run(self, cell: Cell) -> None:
        """Train (or go on training), predict, evaluate, and write ``cell.json``."""
        group = self.request.group(cell)
        if not _is_trained(cell.folder):
            self._train(cell, group)
        self._measure(cell, group)
        write_finished(cell, _facts(cell))

    def _train(self, cell: Cell, group: Group) -> None:
        given = self.request.train
        if not self._warm:  # a process's first optimizer loads half of torch, which takes seconds
            torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
            self._warm = True
        train(
            self.data_of(group), cell.folder, method=cell.variant.text, labeled=group.train_labeled,
            steps=given.steps, budget=given.budget, seed=cell.seed, recipe=given.recipe,
            plan=self.plan_of(group), config=given.config, settings=given.settings, resume=True,
            device=given.device, precision=given.precision, threads=given.threads,
            cache=self.cache, workers=given.workers, display=self.display,
        )  # fmt: skip

    def _measure(self, cell: Cell, group: Group) -> None:
        given = self.request.train
        labels = self.folder_of(group) / "held_out"
        write_subset_folder(group.held_out_cohort, group.held_out, labels)
        model = load_model(cell.folder, device=given.device or "auto", threads=given.threads)
        measure(model, group.held_out, labels, cell.evaluation.parent)

    def folder_of(self, group: Group) -> Path:
        """Where the group's data folders lie."""
        return self.request.out / "data" / group.labeled.name / group.fold

    def data_of(self, group: Group) -> Path:
        """The data folder to train on: DATA, or one that lists what the fold may see."""
        if group.whole:
            return self.request.data
        seen: dict[str, Case] = {c.name: c for c in (*group.split.labeled, *group.split.unlabeled)}
        cases = [seen[case.name] for case in group.cohort.cases if case.name in seen]
        return write_subset_folder(group.cohort, cases, self.folder_of(group) / "train").root

    def plan_of(self, group: Group) -> Path | None:
        """The group's one plan, its scans prepared. None under the paper recipe: methods have their own."""
        place = (group.labeled.name, group.fold)
        if place not in self._plans:
            self._plans[place] = self._prepare(group)
        return self._plans[place]

    def _prepare(self, group: Group) -> Path | None:
        request, say = self.request, self.display
        config, _ = settings_of(request, group, request.reference.text, request.seeds[0])
        given, workers = request.train.plan, request.train.workers
        if given is not None:
            path, plan = Path(given), plan_from_json(Path(given))
        elif config.run.recipe == "paper":
            return None
        else:
            facts = fingerprint(
                group.cohort, group.split, lambda done, all_: say.work("fingerprint", done, all_), workers,
                self.cache,
            )  # fmt: skip
            plan = make_plan(facts, config.run.budget, costs_here(), config.plan)
            path = request.out / "plans" / group.labeled.name / f"{group.fold}.json"
            write_plan(plan, path)
        build_store(
            group.cohort, group.split, plan, self.cache, workers,
            lambda done, all_: say.work("prepare", done, all_),
        )  # fmt: skip
        return path


class Brief:
    """Hands on what runs say, less what is the same for all cells: assumptions and warnings are told once."""

    def __init__(self, display: Display) -> None:
        self._display, self._told = display, set[str]()
        self.work, self.step, self.watched = display.work, display.step, display.watched

    def say(self, text: str) -> None:
        if text.startswith("next: ") or text in self._told:
            return
        if "(override: " in text or text.startswith("warning: "):
            self._told.add(text)
        self._display.say(text)


def _is_trained(run: Path) -> bool:
    if not (run / "model.json").is_file() or not (run / "status.json").is_file():
        return False
    return bool(read_json(run / "status.json").get("state") == "done")


def _facts(cell: Cell) -> dict[str, Any]:
    """What a table says of a finished cell, and the conditions that should be the same for all."""
    card, status, machine = (
        read_json(cell.folder / name) for name in ("model.json", "status.json", "environment.json")
    )
    return {
        "steps": card["steps"],
        "seconds": status["seconds"],
        "peak_memory_gib": status.get("peak_memory_gib"),
        "dice": read_json(cell.evaluation)["mean"]["foreground"]["dice"],
        "model_id": card["model_id"],
        "plan": sha256_file(cell.folder / "plan.json")[:12],
        **{name: machine[name] for name in ("precision", "threads", "device", "processor", "commit")},
        "torch": machine["packages"]["torch"],
    }
