"""``semivox train``: a data folder and a method become a run folder."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from semivox.batches import Batches, PseudoLabels
from semivox.cohort import Case, Cohort, Split, check_cohort, load_cohort, split_cohort
from semivox.commands.watch import Watch
from semivox.duration import budget_seconds, show_duration
from semivox.errors import DataError, SettingsError
from semivox.files import read_json, replacing, write_json
from semivox.inference import export_model, load_network, training_ranges
from semivox.inference.weights import read_card
from semivox.methods.catalog import RECOMMENDED
from semivox.methods.declare import Facts, Method, Stage
from semivox.networks import Segmenter, choose_device
from semivox.prepare import Plan, Store, build_store, fingerprint, make_plan, plan_from_json, write_plan
from semivox.prepare.cache import content_key, label_key
from semivox.prepare.plan_json import disagreements
from semivox.randomness import Key
from semivox.settings import parse_assignment
from semivox.training.bank import PseudoLabelBank
from semivox.training.config import (
    Config,
    predictor_of,
    read_config,
    refuse_changes,
    resolve,
    write_config,
)
from semivox.training.display import Display, Silent
from semivox.training.environment import differences, environment
from semivox.training.run_folder import RunFolder, has_run
from semivox.training.session import train_run
from semivox.training.settle import Make, settle

SHOWN = 3
"""Warnings told in full before training."""


@dataclass(frozen=True)
class TrainResult:
    """``seconds``: from the start of the command (of all its parts, if resumed), watching excluded."""

    run: Path
    method: str
    steps: int
    seconds: float


def train(
    data: str | Path,
    out: str | Path,
    *,
    method: str | None = None,
    labeled: str | int | None = None,
    steps: int | None = None,
    budget: float | str | None = None,
    seed: int | None = None,
    recipe: str | None = None,
    plan: str | Path | None = None,
    init: str | Path | None = None,
    watch: str | Path | None = None,
    config: str | Path | None = None,
    settings: Mapping[str, Any] | Sequence[str] = (),
    resume: bool = False,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    cache: str | Path | None = None,
    workers: int | None = None,
    display: Display | None = None,
) -> TrainResult:
    """Train ``method`` on the data folder ``data`` into the new folder ``out``.

    ``labeled`` is K, "Kp", "K@SEED" or a file of names; ``budget`` is in seconds, or "30m", "2h";
    ``settings`` are dotted names with values (or "KEY=VALUE" strings). What is None has the default of
    :class:`semivox.training.config.RunSettings`. Raises DataError or SettingsError before anything is
    trained, Stopped after a signal (saved, resumable), TrainingFailed when training cannot go on.
    """
    began = time.monotonic()
    display = display or Silent()
    data, out, cache = Path(data), Path(out), Path(cache) if cache else None
    options: dict[str, Any] = {
        "method": method,
        "labeled": None if labeled is None else str(labeled),
        "steps": steps,
        "budget": None if budget is None else budget_seconds(budget),
        "seed": seed,
        "recipe": recipe,
        "init": None if init is None else str(init),
        "device": device,
        "precision": precision,
        "threads": threads,
    }
    pairs = (
        settings.items() if isinstance(settings, Mapping) else (parse_assignment(text) for text in settings)
    )
    assignments = dict(pairs)
    if has_run(out) and not resume:
        raise SettingsError(
            "this folder already holds a run",
            path=out,
            remedy="add --resume to go on, or choose another --out",
        )

    cohort = load_cohort(data, options["labeled"])
    going_on = resume and (out / "config.yaml").exists()
    if going_on:
        settled, method_class = read_config(out / "config.yaml")
        refuse_changes(settled, options, assignments)
    else:
        if method == "auto" or (method is None and config is None):
            unlabeled = split_cohort(cohort, options["labeled"]).unlabeled
            options["method"] = RECOMMENDED if unlabeled else "supervised"
            note = f"method: {options['method']}, with {len(unlabeled)} unlabelled cases"
            if unlabeled and options["method"] == "supervised":
                note += ", which it does not use: no other method has beaten it at equal compute so far"
            display.say(f"{note} (override: --method NAME)")
        settled, method_class = resolve(
            data, options, config_file=Path(config) if config else None, assignments=assignments
        )
    split = split_cohort(cohort, settled.run.labeled)
    if method_class.needs_unlabeled and not split.unlabeled:
        raise SettingsError(
            f"{settled.run.method} needs unlabelled cases",
            path=data,
            found=f"{len(split.labeled)} labelled cases and no other",
            remedy="add images without labels, use --labeled K, or --method supervised",
        )
    _refuse_faults(cohort, split, display)

    _refuse_missing(settled.run.init if not going_on else None, watch)
    if plan is not None and not going_on:
        _refuse_disagreement(plan, settled)

    with RunFolder(out, going_on) as run:
        run.status("preparing", 0)
        torch.set_num_threads(settled.run.threads or os.cpu_count() or 1)
        where = choose_device(settled.run.device)
        plan_file = out / "plan.json" if going_on else plan
        the_plan, store = _prepare(cohort, split, settled, plan_file, cache, workers, display)
        _record_cases(out / "cases.json", cohort, split, going_on)
        bank = PseudoLabelBank(out / "pseudo_labels", store, the_plan, Key(settled.run.seed))

        def maker(settings: Config) -> Make:
            return _maker(settings, method_class, the_plan, split, where)

        def source(stage: Stage, pseudo: PseudoLabels | None) -> Batches:
            return Batches(
                store,
                stage.streams,
                the_plan.patch,
                Key(settled.run.seed),
                stage.name,
                settled.augmentation,
                sdm_limit=settled.distance.limit,
                sdm_form=settled.distance.form,
                pseudo=pseudo,
            )

        if not going_on:
            bank.clear()
            settled = settle(settled, maker, source, bank, where, began, display)
            write_plan(the_plan, out / "plan.json")
            _copy_source(settled.run.method, out)
            write_config(out / "config.yaml", settled)
        _record_environment(out / "environment.json", settled, where, display, going_on)
        _announce(settled, the_plan, store, split, display)

        watcher = Watch(Path(watch), the_plan, cohort, settled.run.watch_cases) if watch else None
        trained, seconds = train_run(
            run, settled, maker(settled), source, bank,
            began=began, device=where, watcher=watcher, display=display,
        )  # fmt: skip
        predictor = predictor_of(trained, settled)
        networks = {name: m for name, m in trained.named_children() if isinstance(m, Segmenter)}
        assert settled.run.steps is not None
        export_model(
            out,
            networks,
            predictor,
            the_plan,
            cohort,
            method=settled.run.method,
            steps=settled.run.steps,
            seed=settled.run.seed,
            training=training_ranges(cohort, split),
        )
        run.status("done", settled.run.steps, seconds=seconds)
    display.say(f"done: {settled.run.steps} steps in {show_duration(seconds)}")
    display.say(f"next: semivox predict {out} SCANS --out MASKS")
    return TrainResult(out, settled.run.method, settled.run.steps, seconds)


def _refuse_faults(cohort: Cohort, split: Split, display: Display) -> None:
    report = check_cohort(cohort, split, progress=lambda done, total: display.work("check", done, total))
    for warning in report.warnings[:SHOWN]:
        display.say(
            f"warning: {warning.case}: {warning.fault}; found {warning.found}. Remedy: {warning.remedy}"
        )
    if len(report.warnings) > SHOWN:
        display.say(f"and {len(report.warnings) - SHOWN} more warnings: semivox check {cohort.root}")
    report.raise_errors()


def _refuse_missing(init: str | None, watch: str | Path | None) -> None:
    """Other folders that are asked for are looked at before the long work, not after it."""
    if init is not None:
        read_card(init)
    if watch is not None:
        load_cohort(watch)


def _refuse_disagreement(plan: str | Path, settled: Config) -> None:
    if differing := disagreements(plan_from_json(Path(plan)), settled.plan):
        raise SettingsError(
            "the plan's file and the settings disagree",
            path=plan,
            found="; ".join(differing),
            remedy="change the file, or leave out one of them",
        )


def _prepare(
    cohort: Cohort,
    split: Split,
    settled: Config,
    plan_file: str | Path | None,
    cache: Path | None,
    workers: int | None,
    display: Display,
) -> tuple[Plan, Store]:
    """Fingerprint -> plan -> store; a given plan is taken as it is."""
    if plan_file is not None:
        plan = plan_from_json(Path(plan_file))
    else:
        facts = fingerprint(
            cohort,
            split,
            progress=lambda done, total: display.work("fingerprint", done, total),
            cache=cache,
            workers=workers,
        )
        plan = make_plan(facts, settled.run.budget, override=settled.plan)
    for line in plan.assumptions:
        display.say(line)
    store = build_store(
        cohort, split, plan, cache, workers, lambda done, total: display.work("prepare", done, total)
    )
    return plan, store


def _maker(
    settled: Config, method_class: type[Method], plan: Plan, split: Split, device: torch.device
) -> Make:
    def make(steps: int, precision: str) -> tuple[Facts, Method]:
        facts = Facts(
            plan=plan,
            steps=steps,
            labeled=len(split.labeled),
            unlabeled=len(split.unlabeled),
            key=Key(settled.run.seed),
            precision=precision,
            sweeps=settled.run.sweeps,
            warm_up=settled.run.warm_up,
        )
        method = method_class(facts, settled.method)
        if settled.run.init:
            for network in method.children():
                if isinstance(network, Segmenter):
                    load_network(Path(settled.run.init), network)
        return facts, method.to(device)

    return make


def _announce(settled: Config, plan: Plan, store: Store, split: Split, display: Display) -> None:
    run, size = settled.run, " x ".join(str(p) for p in plan.patch)
    memory = psutil.Process().memory_info().rss / 2**30
    cases = f"{len(split.labeled)} labelled and {len(split.unlabeled)} unlabelled cases"
    display.say(f"{run.method}: {cases}, {plan.network.kind} on {size} patches, {run.steps} steps")
    display.say(
        f"{run.precision}, {run.threads} threads, seed {run.seed}; {memory:.1f} GiB of memory in use, "
        f"{store.disk_bytes / 2**20:.0f} MiB prepared in {store.root}"
    )


def _copy_source(method: str, out: Path) -> None:
    """A user's method file goes into RUN/source/, for the record; nothing ever imports it from there."""
    file = Path(method.rpartition(":")[0])
    if file.suffix == ".py":
        with replacing(out / "source" / file.name) as temporary:
            shutil.copyfile(file, temporary)


def _record_cases(path: Path, cohort: Cohort, split: Split, going_on: bool) -> None:
    """``cases.json``; a resumed run refuses scans that have changed since."""

    def row(case: Case, role: str) -> dict[str, Any]:
        label = label_key(case) if role == "labeled" else None
        values = None if case.annotated is None else list(case.annotated)
        return {
            "case": case.name,
            "patient": case.patient,
            "role": role,
            "annotated": values,
            "sha256": content_key(case),
            "label_sha256": label,
        }

    rows = [row(c, "labeled") for c in split.labeled] + [row(c, "unlabeled") for c in split.unlabeled]
    if going_on and path.exists():
        before = read_json(path)["cases"]
        changed = [b["case"] for b, now in zip(before, rows, strict=False) if b != now]
        if changed or len(before) != len(rows):
            raise DataError(
                "the cohort has changed since this run began",
                path=path,
                found=f"{len(rows)} cases, changed: {', '.join(changed[:5]) or 'none'}",
                expected=f"the {len(before)} cases of then, unchanged",
                remedy="start a new run (--init RUN takes over the weights)",
            )
        return
    write_json(path, {"format": 1, "cases": rows})


def _record_environment(
    path: Path, settled: Config, device: torch.device, display: Display, going_on: bool
) -> None:
    now = environment(torch.get_num_threads(), device, settled.run.precision)
    if going_on and path.exists():
        for line in differences(read_json(path), now):
            display.say(f"warning: not bit for bit what the uninterrupted run would be: {line}")
    write_json(path, now)
