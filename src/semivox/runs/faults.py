"""What keeps a run from beginning, and what may end it: told as errors with a remedy."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from semivox.batches.case_draws import cases_of
from semivox.cohort import Cohort, Split, check_cohort, load_cohort, read_geometry
from semivox.errors import DiskFault, SettingsError, Stopped, TrainingFailed
from semivox.methods import Method
from semivox.prepare import Plan, plan_from_json
from semivox.prepare.plan_json import disagreements
from semivox.runs.asked import LEAST_STEPS, facts_of
from semivox.runs.declared import refuse_declared
from semivox.runs.watch import refuse_unwatchable
from semivox.stopping import StopSignals
from semivox.training.config import Config, predictor_of
from semivox.training.display import Display
from semivox.training.options import TrainOptions
from semivox.training.processes import is_asked
from semivox.training.run_folder import RunFolder
from semivox.training.stages import stages_of

SHOWN = 3
"""Warnings told in full before training."""


def refuse_before_preparing(
    asked: TrainOptions,
    config: Config,
    method_class: type[Method],
    cohort: Cohort,
    split: Split,
    display: Display,
) -> float:
    """Raise DataError or SettingsError for what would only show after long work. Returns the seconds that
    looking at watched cases took, which are none of the run's own."""
    if asked.resume and not asked.goes_on:
        display.say(f"{asked.folder} holds no run to go on with yet: a new one begins, as this command says")
    if method_class.needs_unlabeled and not split.unlabeled:
        raise SettingsError(
            f"{config.run.method} needs unlabelled cases",
            path=asked.data,
            found=f"{len(split.labeled)} labelled cases and no other",
            remedy="add images without labels, use --labeled K, or --method supervised",
        )
    if asked.watch is not None:
        load_cohort(asked.watch)
    if is_asked():
        _refuse_faults(cohort, split, display)
    if asked.plan is not None and not asked.goes_on:
        _refuse_disagreement(asked.plan, config)
    began = time.monotonic()
    if asked.watch is not None and is_asked():
        dims = read_geometry(split.labeled[0].images[0]).dims
        watched = Path(asked.watch), cohort, split.labeled, config.run.watch_cases, dims
        refuse_unwatchable(*watched, lambda done, of: display.work("check the watched", done, of))
    return time.monotonic() - began


def _refuse_faults(cohort: Cohort, split: Split, display: Display) -> None:
    report = check_cohort(
        cohort, split, progress=lambda done, total: display.work("check the scans", done, total)
    )
    for fault in cohort.left_out:
        display.say(f"warning: {fault}")
    for warning in report.warnings[:SHOWN]:
        display.say(
            f"warning: {warning.case}: {warning.fault}; found {warning.found}. Remedy: {warning.remedy}"
        )
    if len(report.warnings) > SHOWN:
        every = shlex.join(["semivox", "check", str(cohort.root)])
        display.say(f"and {len(report.warnings) - SHOWN} more warnings: {every}")
    report.raise_errors()


def _refuse_disagreement(plan: str | Path, config: Config) -> None:
    if differing := disagreements(plan_from_json(Path(plan)), config.plan):
        raise SettingsError(
            "the plan's file and the settings disagree",
            path=plan,
            found="; ".join(differing),
            remedy="change the file, or leave out one of them",
        )


def refuse_stages(config: Config, method_class: type[Method], plan: Plan, split: Split) -> None:
    """Raise SettingsError where the method cannot be made for these scans, declares what it has not, or one
    of its streams has none to draw from: before they are prepared, which may take hours."""
    facts = facts_of(config, plan, split, config.run.steps or plan.steps or LEAST_STEPS, "fp32")
    cases = (*split.labeled, *split.unlabeled)
    known, patients = len(split.labeled), [case.group for case in cases]
    given = range(known), range(known, len(cases)), patients
    method = method_class(facts, config.method)
    refuse_declared(method, facts, config.method, predictor_of(method, config))
    stages = stages_of(method, facts)
    bank = any(stage.relabel is not None for stage in stages)
    for stage in stages:
        for name, stream in stage.streams.items():
            cases_of(stream, name, stage.name, *given, facts.key, bank)


@contextlib.contextmanager
def disk_stops(run: RunFolder, go_on: Callable[[], str]) -> Iterator[None]:
    """A disk that is full or fails stops the ``run``; ``go_on()``: what then goes on. One that has kept no
    settings yet asks for the same command, with all that was asked for in it."""

    def then() -> str:
        return "then give the same command again" if run.begins_anew else f"then go on with: {go_on()}"

    try:
        yield
    except DiskFault as error:
        raise Stopped(
            error.fault,
            path=error.path,
            found=error.found,
            expected=error.expected,
            remedy=f"{error.remedy}; {then()}",
        ) from error
    except OSError as error:
        raise Stopped(
            "cannot be written or read",
            path=error.filename or run.path,
            found=error.strerror or str(error),
            remedy=f"look at this disk, {then()}",
        ) from error


@contextlib.contextmanager
def last_words(signals: StopSignals) -> Iterator[None]:
    """Of several processes that fail the launcher ends all, which is not to disturb what is written last."""
    try:
        yield
    except Exception:
        signals.stay_deaf()
        raise


@contextlib.contextmanager
def memory_told() -> Iterator[None]:
    """What torch says when memory is full, as an error of the project."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or "can't allocate memory" in str(
            error
        ):
            raise TrainingFailed(
                "out of memory while training",
                found=(str(error) or type(error).__name__).splitlines()[0],
                remedy="a smaller patch (--set plan.patch=[...]) or batch (--set plan.batch=[1,1])",
            ) from error
        raise
