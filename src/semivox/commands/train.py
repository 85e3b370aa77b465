"""``semivox train``: a data folder and a method become a run folder."""

from __future__ import annotations

import shlex
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch

from semivox.batches import Batches, PseudoLabels
from semivox.cohort import Cohort, Split, check_cohort, load_cohort, split_cohort
from semivox.commands.live_report import LiveReport
from semivox.commands.run_records import record_cases, record_environment
from semivox.commands.watch import Watch
from semivox.duration import budget_seconds, show_duration
from semivox.errors import SettingsError
from semivox.files import replacing
from semivox.inference import export_model, load_network, parent_of, training_ranges
from semivox.machine import freed_memory_kept
from semivox.methods.catalog import RECOMMENDED
from semivox.methods.declare import Facts, Method, Stage
from semivox.networks import Segmenter
from semivox.prepare import (
    Plan,
    Store,
    build_store,
    costs_here,
    fingerprint,
    make_plan,
    plan_from_json,
    plan_to_json,
    write_plan,
)
from semivox.prepare.plan_json import disagreements
from semivox.randomness import Key
from semivox.settings import as_dict, parse_assignment
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
from semivox.training.launch import as_json, rank_here, together
from semivox.training.memory import PeakMemory
from semivox.training.processes import Processes
from semivox.training.run_folder import RunFolder, has_run
from semivox.training.session import train_run
from semivox.training.measured_settings import Make, settle

OTHERS = "semivox.commands.train_process"
"""What the other processes of a run on several devices are."""
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
    devices: int | None = None,
    nodes: int | None = None,
    cache: str | Path | None = None,
    workers: int | None = None,
    display: Display | None = None,
) -> TrainResult:
    """Train ``method`` on the data folder ``data`` into the new folder ``out``.

    ``labeled`` is K, "Kp", "K@SEED" or a file of names; ``budget`` is in seconds, or "30m", "2h";
    ``settings`` are dotted names with values (or "KEY=VALUE" strings). What is None has the default of
    :class:`semivox.training.config.RunSettings`. Raises DataError or SettingsError before anything is
    trained, Stopped after a signal (saved, resumable), TrainingFailed when training cannot go on.

    ``devices`` > 1: as many processes share every batch, each with a GPU of its own or a part of the cores.
    This one is the first; it starts the others and ends them (with ``nodes`` > 1 torchrun does).
    """
    request = as_json(locals())
    began = time.monotonic()
    display = display if display is not None and rank_here() == 0 else Silent()
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
        "devices": devices,
        "nodes": nodes,
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
        settled = refuse_changes(settled, options, assignments)
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
    init = settled.run.init
    # other folders are looked at before the long work, not after it
    parent = None if init is None else parent_of(Path(init), cohort, len(split.labeled))
    if watch is not None:
        load_cohort(watch)
    if rank_here() == 0:
        _refuse_faults(cohort, split, display)
    if plan is not None and not going_on:
        _refuse_disagreement(plan, settled)

    with (
        together(settled.run.devices, settled.run.nodes, OTHERS, request) as processes,
        RunFolder(out, going_on, processes.first) as run,
        freed_memory_kept(),
    ):
        run.status("preparing", 0)
        processes.same(
            [going_on, as_dict(settled)],
            "the processes of this run were asked for different things",
            "give each the same command line; all see the same run folder",
        )
        torch.set_num_threads(settled.run.threads or processes.threads)
        where = processes.device(settled.run.device)
        if processes.first:
            plan_file = out / "plan.json" if going_on else plan
            the_plan, store = _prepare(cohort, split, settled, plan_file, cache, workers, display)
            record_cases(out / "cases.json", cohort, split, parent, going_on)
        prepared = processes.agree(plan_to_json(the_plan) if processes.first else {})
        if not processes.first:  # all is prepared now, or on another machine's disk
            the_plan = plan_from_json(prepared)
            store = build_store(cohort, split, the_plan, cache, workers)
        bank = PseudoLabelBank(out / "pseudo_labels", store, the_plan, Key(settled.run.seed), processes)

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
                shard=processes.place,
                pseudo=pseudo,
            )

        if not going_on:
            if processes.first:
                bank.clear()
            processes.wait()
            settled = settle(settled, maker, source, bank, where, began, display, processes)
            if processes.first:
                write_plan(the_plan, out / "plan.json")
                _copy_source(settled.run.method, out)
                write_config(out / "config.yaml", settled)
        watcher = None
        if processes.first:
            record_environment(out / "environment.json", settled, where, display, going_on, processes)
            _announce(settled, the_plan, store, split, display, processes)
            if watch:
                watcher = Watch(Path(watch), the_plan, cohort, settled.run.watch_cases)
        memory, live = PeakMemory(where), LiveReport(out, display)
        trained, seconds = train_run(
            run, settled, maker(settled), source, bank,
            began=began, device=where, watcher=watcher, display=display,
            go_on=_resume_command(settled, out, watch, cache), processes=processes, saved=live.refresh,
        )  # fmt: skip
        peak = memory.gib()
        predictor = predictor_of(trained, settled)
        networks = {name: m for name, m in trained.named_children() if isinstance(m, Segmenter)}
        assert settled.run.steps is not None
        if not processes.first:
            return TrainResult(out, settled.run.method, settled.run.steps, seconds)
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
            parent=parent,
        )
        run.status("done", settled.run.steps, seconds=seconds, peak_memory_gib=peak)
        live.refresh(True)
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
        plan = make_plan(facts, settled.run.budget, costs_here(), settled.plan)
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


def _announce(
    settled: Config, plan: Plan, store: Store, split: Split, display: Display, processes: Processes
) -> None:
    run, size = settled.run, " x ".join(str(p) for p in plan.patch)
    memory = psutil.Process().memory_info().rss / 2**30
    cases = f"{len(split.labeled)} labelled and {len(split.unlabeled)} unlabelled cases"
    display.say(f"{run.method}: {cases}, {plan.network.kind} on {size} patches, {run.steps} steps")
    display.say(
        f"{run.precision}, {run.threads} threads, seed {run.seed}; {memory:.1f} GiB of memory in use, "
        f"{store.disk_bytes / 2**20:.0f} MiB prepared in {store.root}"
    )
    if processes.ranks > 1:
        note = f"{processes.ranks} processes share each batch of {sum(plan.batch)} crops"
        if processes.ranks > sum(plan.batch):
            note += ", so some have none (override: --set plan.batch=[LABELLED,UNLABELLED])"
        display.say(note)


def _resume_command(settled: Config, out: Path, watch: str | Path | None, cache: Path | None) -> str:
    """What goes on with the run; --watch and --cache are of the command, not in the run's settings."""
    if settled.run.nodes > 1:
        return "the same torchrun line, with --resume"
    places = {"--out": out, "--watch": watch, "--cache": cache}
    given = [word for flag, place in places.items() if place is not None for word in (flag, str(place))]
    return shlex.join(["semivox", "train", settled.data, *given, "--resume"])


def _copy_source(method: str, out: Path) -> None:
    """A user's method file goes into RUN/source/, for the record; nothing ever imports it from there."""
    file = Path(method.rpartition(":")[0])
    if file.suffix == ".py":
        with replacing(out / "source" / file.name) as temporary:
            shutil.copyfile(file, temporary)
