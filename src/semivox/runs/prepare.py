"""The plan of a run and its prepared scans."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from semivox.cohort import Cohort, Split
from semivox.errors import SettingsError
from semivox.networks import costs_here
from semivox.prepare import Plan, Store, build_store, fingerprint, make_plan, plan_from_json
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
        _refuse_other_classes(plan, cohort, Path(asked.plan_file))
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


def _refuse_other_classes(plan: Plan, cohort: Cohort, path: Path) -> None:
    """A plan of other classes or regions would train another network than the model's card tells."""
    found = [shown.value for shown in plan.classes], [shown.parts for shown in plan.regions]
    expected = list(cohort.values), list(cohort.regions.parts.values())
    if found != expected:
        raise SettingsError(
            "the plan is of other classes than the scans",
            path=path,
            found=_told(*found),
            expected=_told(*expected),
            remedy="make it anew: semivox plan DATA --out plan.json",
        )


def _told(values: Sequence[int], regions: Sequence[Sequence[int]]) -> str:
    made_of = f"; regions of {', '.join(map(str, map(list, regions)))}" if regions else ""
    return f"label values {', '.join(map(str, values))}{made_of}"


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
