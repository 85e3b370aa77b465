"""The plan of a run and its prepared scans."""

from __future__ import annotations

from pathlib import Path

from semivox.cohort import (
    Cohort,
    Region,
    Regions,
    Split,
    Task,
    channels_differ,
    classes_differ,
    cohort_spacing,
    read_geometry,
)
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
        remedy = PUT_BACK if asked.goes_on else anew
        _refuse_other_task(plan, cohort, split, Path(asked.plan_file), remedy)
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


def _refuse_other_task(plan: Plan, cohort: Cohort, split: Split, path: Path, remedy: str) -> None:
    """A plan of other axes, channels, classes or regions would train another network than the model's card
    tells, or normalise a channel as another; one that knows a spacing which the scans do not tell would give
    them mm that nobody has written."""
    regions = Regions(tuple(Region(shown.name, shown.parts, shown.written) for shown in plan.regions))
    content = {
        "channels": [channel.name for channel in plan.channels],
        "labels": {shown.value: shown.name for shown in plan.classes},
        "regions": regions.to_json(),
    }
    planned, scans = Task.of_card(content), Task.of(cohort)
    dims = len(read_geometry(cohort.cases[0].images[0]).shape)
    if plan.dims != dims:
        what, found, expected = "axes", f"{plan.dims}D", f"{dims}D"
    elif channels_differ(scans, planned):
        what, found, expected = "channels", str(planned), str(scans)
    elif classes_differ(scans, planned, all_of_them=True) or planned.regions != scans.regions:
        what, found, expected = "classes", str(planned), str(scans)
    elif plan.spacing_known and not _spacing_known(cohort, split):
        what, found, expected = "spacing", "spacing_known: true", "false: not every scan tells it"
    else:
        return
    raise SettingsError(
        f"the plan is of other {what} than the scans",
        path=path,
        found=found,
        expected=expected,
        remedy=remedy,
    )


def _spacing_known(cohort: Cohort, split: Split) -> bool:
    scans = (*split.labeled, *split.unlabeled)
    statuses = (read_geometry(case.images[0]).spacing_status for case in scans)
    return cohort.spacing_known and cohort_spacing(True, statuses) == "known"


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
