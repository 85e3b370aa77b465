"""The plan of a run and its prepared scans."""

from __future__ import annotations

from pathlib import Path

from semivox.cohort import Cohort, Region, Regions, Split, Task, channels_differ, read_geometry
from semivox.errors import SettingsError
from semivox.networks import costs_here
from semivox.prepare import Plan, Store, build_store, fingerprint, make_plan, plan_from_json
from semivox.runs.records import PUT_BACK
from semivox.training.config import Config
from semivox.training.display import Display
from semivox.training.options import TrainOptions

LEAST_BUDGET = 60.0
"""Seconds of a budget that have one or two for measuring the machine."""


def planned(asked: TrainOptions, config: Config, cohort: Cohort, split: Split, display: Display) -> Plan:
    """Fingerprint -> plan; a given plan is taken as it is. Each of its assumptions is told in detail, with
    what overrides it; the rest is announced."""
    if asked.plan_file is not None:
        plan = plan_from_json(Path(asked.plan_file))
        anew = "make it anew: semivox plan DATA --out plan.json"
        _refuse_other_task(plan, cohort, Path(asked.plan_file), PUT_BACK if asked.goes_on else anew)
    else:
        plan = _made(asked, config, cohort, split, display)
    for line in plan.assumptions:
        display.detail(line)
    return plan


def _made(asked: TrainOptions, config: Config, cohort: Cohort, split: Split, display: Display) -> Plan:
    measured = fingerprint(
        cohort,
        split,
        progress=lambda done, total: display.work("measure the scans", done, total),
        cache=asked.cache_folder,
        workers=asked.workers,
    )
    run = config.run
    hurry = run.budget is not None and run.budget < LEAST_BUDGET
    costs = costs_here(run.device, run.threads, run.precision, measure=not hurry)
    return make_plan(measured, run.budget, costs, config.plan)


def _refuse_other_task(plan: Plan, cohort: Cohort, path: Path, remedy: str) -> None:
    """A plan of other axes, channels, classes or regions would train another network than the model's card
    tells, or normalise a channel as another."""
    planned = Task(
        tuple(channel.name for channel in plan.channels),
        {shown.value: shown.name for shown in plan.classes},
        cohort.inferred,
        Regions(tuple(Region(shown.name, shown.parts, shown.written) for shown in plan.regions)),
    )
    scans = Task.of(cohort)
    dims = len(read_geometry(cohort.cases[0].images[0]).shape)
    if plan.dims != dims:
        what, found, expected = "axes", f"{plan.dims}D", f"{dims}D"
    elif channels_differ(scans, planned):
        what, found, expected = "channels", str(planned), str(scans)
    elif sorted(planned.classes) != sorted(scans.classes) or planned.regions != scans.regions:
        what, found, expected = "classes", str(planned), str(scans)
    else:
        return
    raise SettingsError(
        f"the plan is of other {what} than the scans",
        path=path,
        found=found,
        expected=expected,
        remedy=remedy,
    )


def stored(asked: TrainOptions, cohort: Cohort, split: Split, plan: Plan, display: Display) -> Store:
    """The scans as the plan wants them, from the cache where they are there."""
    return build_store(
        cohort,
        split,
        plan,
        asked.cache_folder,
        asked.workers,
        lambda done, total: display.work("prepare the scans", done, total),
    )
