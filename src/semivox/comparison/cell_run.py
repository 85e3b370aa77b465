"""One cell of a comparison: train as any run, predict the held-out cases, evaluate, mark it finished."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch

from semivox.cohort import Case, sha256_file
from semivox.cohort.subset_folder import write_subset_folder
from semivox.comparison.cells import Cell, write_finished
from semivox.comparison.request import Group, Request
from semivox.contents import Environment, Status
from semivox.errors import SettingsError
from semivox.evaluation import read_evaluation
from semivox.evaluation.result_paths import PAGE
from semivox.files import read_json
from semivox.inference.model import load_model
from semivox.methods import Method
from semivox.prepare import cache_folder, write_plan
from semivox.runs.asked import settings_of
from semivox.runs.held_out import measure
from semivox.runs.live_report import LiveReport
from semivox.runs.prepare import planned, stored
from semivox.runs.run import carry_out
from semivox.shown_contents import ShownCard
from semivox.training.display import Display
from semivox.training.options import TrainingOptions, TrainOptions
from semivox.training.run_folder import has_run

OWN = {"method": "--methods", "labeled": "--labeled", "seed": "--seeds"}
"""Settings that differ from cell to cell, and the lists they come from."""
SHARED = fields(TrainingOptions)
MORE_MINUTES, CASE_MINUTES = 10, 2
"""Beside a budget, for what comes before and after the training, and for each held-out case."""


def training_of(request: Request, group: Group, method: str, seed: int) -> TrainOptions:
    """What ``train`` would be asked for, for one cell; in which folders, and by which plan, is told later."""
    shared: dict[str, Any] = {each.name: getattr(request.train, each.name) for each in SHARED}
    labeled = group.train_labeled
    return TrainOptions(request.data, request.out, method=method, labeled=labeled, seed=seed, **shared)


def check_settings(request: Request) -> None:
    """Resolve the settings of every variant once. Raises SettingsError as ``train`` would, and for settings
    that would make cells alike which the lists keep apart."""
    needing = set()
    first, seed = request.groups[0], request.seeds[0]
    others = [
        *((group, seed) for group in request.groups[1:]),
        *((first, each) for each in request.seeds[1:]),
    ]
    for variant in request.variants:
        if _resolved(request, first, variant.text, seed).needs_unlabeled:
            needing.add(variant)
    for group, each in others:  # a setting may be what the first cell has, and be another cell's as well
        _resolved(request, group, request.reference.text, each)
    for cell in request.cells():
        group = request.group(cell)
        if cell.variant in needing and not group.split.unlabeled:
            raise SettingsError(
                f"{cell.variant.name} needs unlabelled cases",
                path=request.data,
                found=f"{len(group.split.labeled)} labelled cases and no other ({group.labeled.name})",
                remedy="add images without labels, or ask for fewer labelled cases",
            )


def _resolved(request: Request, group: Group, method: str, seed: int) -> type[Method]:
    """The method of a cell, whose settings leave to the lists what is theirs; else SettingsError."""
    asked = training_of(request, group, method, seed)
    config, method_class = settings_of(asked, group.cohort)
    bare, _ = settings_of(replace(asked, settings={}), group.cohort)
    kept = {"labeled": group.train_labeled, "seed": seed, "method": bare.run.method}
    for key, wanted in kept.items():
        if (found := getattr(config.run, key)) != wanted:
            raise SettingsError(
                f"run.{key} cannot be set for a comparison", found=repr(found), remedy=f"give {OWN[key]}"
            )
    return method_class


def minutes_of(request: Request) -> int | None:
    """In which any cell is surely done; None where nobody knows how long its steps take."""
    group = request.groups[0]
    asked = training_of(request, group, request.reference.text, request.seeds[0])
    run = settings_of(asked, group.cohort)[0].run
    if run.steps is not None or run.budget is None:
        return None
    held_out = max(len(each.held_out) for each in request.groups)
    return math.ceil(1.5 * run.budget / 60) + MORE_MINUTES + CASE_MINUTES * held_out


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
        elif not (cell.folder / PAGE).is_file():  # killed just before
            LiveReport(cell.folder, self.display, _write_page).refresh(True)
        self._measure(cell, group)
        write_finished(cell, _facts(cell))

    def _train(self, cell: Cell, group: Group) -> None:
        if not self._warm:  # a process's first optimizer loads half of torch, which takes seconds
            torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
            self._warm = True
        asked = replace(
            training_of(self.request, group, cell.variant.text, cell.seed),
            data=self.data_of(group),
            out=cell.folder,
            plan=self.plan_of(group),
            cache=self.cache,
            resume=has_run(cell.folder),
            display=self.display,
        )
        carry_out(asked, _write_page)

    def _measure(self, cell: Cell, group: Group) -> None:
        given = self.request.train
        labels = self.folder_of(group) / "held_out"
        write_subset_folder(group.held_out_cohort, group.held_out, labels)
        model = load_model(cell.folder, device=given.device or "auto", threads=given.threads)
        if given.folds is not None:  # what the folds' masks are worth without a label depends on it
            model = replace(model, compare_axes=tuple(model.card.get("mirror_axes") or ()))
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
        request = self.request
        asked = training_of(request, group, request.reference.text, request.seeds[0])
        asked = replace(asked, cache=self.cache)
        config, _ = settings_of(asked, group.cohort)
        if asked.plan is None and config.run.recipe == "paper":
            return None
        plan = planned(asked, config, group.cohort, group.split, self.display)
        path = request.out / "plans" / group.labeled.name / f"{group.fold}.json"
        if asked.plan is None:
            write_plan(plan, path)
        stored(asked, group.cohort, group.split, plan, self.display)
        return path if asked.plan is None else Path(asked.plan)


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

    def detail(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._display.detail(text)


def _write_page(run: Path) -> None:
    # here: a run must not fail for want of matplotlib
    from semivox.report.run_page import write_run_page
    from semivox.report.run_record import read_run

    write_run_page(read_run(run), run / PAGE)


def _is_trained(run: Path) -> bool:
    if not (run / "model.json").is_file() or not (run / "status.json").is_file():
        return False
    return bool(read_json(run / "status.json", kind=Status).get("state") == "done")


def _facts(cell: Cell) -> dict[str, Any]:
    """What a table says of a finished cell, and the conditions that should be the same for all."""
    card = read_json(cell.folder / "model.json", kind=ShownCard)
    status = read_json(cell.folder / "status.json", kind=Status)
    machine = read_json(cell.folder / "environment.json", kind=Environment)
    conditions = ("precision", "threads", "device", "processor", "commit", "method_sha256")
    return {
        "steps": card.get("steps"),
        "seconds": status.get("seconds"),
        "peak_memory_gib": status.get("peak_memory_gib"),
        "dice": read_evaluation(cell.evaluation)["mean"]["foreground"]["dice"],
        "model_id": card["model_id"],
        "plan": sha256_file(cell.folder / "plan.json")[:12],
        **{name: machine.get(name) for name in conditions},
        "torch": machine.get("packages", {}).get("torch"),
    }
