"""The planner: from a fingerprint, a budget and a cost table to a plan. Pure arithmetic; no torch, no files.

The rule: the finest admissible rung of the resolution ladder at which the budget buys enough steps with a
patch that sees at least half of what it should (:mod:`semivox.prepare.candidate`); if there is none, the
coarsest admissible rung. A rung is admissible if it is the native one, or if every class keeps Dice 0.95 on
its round trip. Where the budget buys so few steps that nothing would be learned, coarser rungs, patches that
see less and smaller batches come in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean, median
from typing import Any

from semivox.cohort import is_ct
from semivox.errors import SettingsError
from semivox.prepare.assumptions import (
    say_axes,
    say_channel,
    say_class,
    say_rung,
    say_spacing,
    say_step,
    say_steps,
)
from semivox.prepare.candidate import FEW_STEPS, ONE_PIECE, Candidate, all_together, candidate_at
from semivox.prepare.costs import COSTS, Costs
from semivox.prepare.fingerprint import Fingerprint, rung_spacing
from semivox.prepare.grid import working_size
from semivox.prepare.overrides import checked_overrides
from semivox.prepare.plan import ChannelPlan, ClassPlan, Plan, RegionPlan
from semivox.prepare.plan_checks import check_plan

DEFAULT_BUDGET = 3600.0
"""Seconds."""

LEAST_CEILING = 0.95
"""Least Dice that a label keeps on its round trip through an admissible rung, for every class."""


def make_plan(
    fingerprint: Fingerprint,
    budget_seconds: float | None = None,
    costs: Costs = COSTS,
    override: Mapping[str, Any] | None = None,
) -> Plan:
    """The plan for a cohort.

    Parameters
    ----------
    fingerprint
        What was measured on the cohort.
    budget_seconds
        Training time to plan for; None takes an hour to choose by, and leaves ``steps`` open.
    costs
        Rates of the machine.
    override
        Dotted plan names (:data:`semivox.prepare.overrides.OVERRIDES`) -> values that replace the planner's
        choice. What follows from them is planned anew.

    Raises
    ------
    SettingsError
        An unknown name, or a value that does not fit the cohort.
    """
    wish = checked_overrides(fingerprint, override or {})
    budget = DEFAULT_BUDGET if budget_seconds is None else float(budget_seconds)
    if not budget > 0 or not math.isfinite(budget):
        raise SettingsError("the budget must be a positive time", found=budget_seconds)
    options = [candidate_at(fingerprint, each, budget, costs, wish) for each in _spacings(fingerprint, wish)]
    rungs = _rungs(fingerprint, wish)
    admissible = [i for i, rung in enumerate(rungs) if len(rungs) == 1 or _admissible(fingerprint, rung)]
    roomy = [i for i in admissible if options[i].roomy]
    chosen = roomy[0] if roomy else admissible[-1]
    if options[chosen].steps < FEW_STEPS:
        coarser = range(chosen, len(options))
        chosen = next((i for i in coarser if options[i].steps >= FEW_STEPS), coarser[-1])
    option, rung = options[chosen], rungs[chosen]
    channels, classes = _channels(fingerprint, wish), _classes(fingerprint, rung, option)
    regions = _regions(fingerprint, rung, option)
    reason = _reason(wish, bool(roomy), chosen not in admissible, option)
    crowded = any(o.crowded for o in options[: chosen + 1])
    steps = wish.get("steps", option.beside if budget_seconds is not None else None)
    plan = Plan(
        dims=fingerprint.dims,
        axes=fingerprint.axes,
        native_spacing=fingerprint.native_spacing,
        spacing=option.spacing,
        spacing_known=fingerprint.spacing_known,
        rung=rung,
        shape=option.shape,
        patch=option.patch,
        batch=option.batch,
        network=option.network,
        channels=channels,
        classes=classes,
        regions=regions,
        budget_seconds=budget_seconds,
        step_seconds=option.step_seconds,
        steps=steps,
        together=all_together(fingerprint),
        assumptions=(
            say_spacing(fingerprint),
            say_axes(fingerprint),
            say_rung(fingerprint, option.spacing, rung, reason, option.patch, option.cover, option.made_for),
            *(say_class(c) for c in regions or classes),
            *(say_channel(i, c) for i, c in enumerate(channels)),
            *say_steps(steps, option.steps),
            say_step(option.batch, option.step_seconds, option.memory, crowded, costs),
        ),
    )
    check_plan(plan)
    return plan


def _reason(wish: Mapping[str, Any], roomy: bool, lossy: bool, option: Candidate) -> str:
    if "rung" in wish or "spacing" in wish:
        return "as asked"
    if roomy:
        seen = "whole pictures, of which few are labelled" if option.whole else "half of what it should"
        return f"the finest with {option.enough} steps in the budget and a patch that sees {seen}"
    if lossy:
        return f"finer ones would leave fewer than {FEW_STEPS} steps in the budget"
    return f"the coarsest that keeps Dice {LEAST_CEILING} for every class"


def _rungs(fingerprint: Fingerprint, wish: Mapping[str, Any]) -> list[float]:
    """The rungs to choose from, finest first; one if rung or spacing is given."""
    if "spacing" in wish:
        return [min(wish["spacing"]) / min(fingerprint.native_spacing)]
    return [wish["rung"]] if "rung" in wish else list(fingerprint.rungs)


def _spacings(fingerprint: Fingerprint, wish: Mapping[str, Any]) -> list[tuple[float, ...]]:
    if "spacing" in wish:
        return [wish["spacing"]]
    return [rung_spacing(fingerprint.native_spacing, rung) for rung in _rungs(fingerprint, wish)]


def _ceilings(fingerprint: Fingerprint, rung: float) -> list[float]:
    """Mean Dice of each class's, then each region's round trip at ``rung``, or at the measured rung nearest
    to it; 1 where no label shows it."""
    nearest = min(range(len(fingerprint.rungs)), key=lambda r: abs(math.log(fingerprint.rungs[r] / rung)))
    columns = zip(*(case.ceilings[nearest] for case in fingerprint.labeled_cases), strict=True)
    known = ([dice for dice in column if dice is not None] for column in columns)
    return [fmean(column) if column else 1.0 for column in known]


def _admissible(fingerprint: Fingerprint, rung: float) -> bool:
    judged = _ceilings(fingerprint, rung)[len(fingerprint.values) if fingerprint.regions else 0 :]
    return rung == 1 or min(judged) >= LEAST_CEILING


def _classes(fingerprint: Fingerprint, rung: float, option: Candidate) -> tuple[ClassPlan, ...]:
    named = zip(fingerprint.values, fingerprint.names, strict=True)
    return tuple(_class(fingerprint, rung, option, k, *each) for k, each in enumerate(named))


def _regions(fingerprint: Fingerprint, rung: float, option: Candidate) -> tuple[RegionPlan, ...]:
    found = []
    for number, (name, parts, written) in enumerate(fingerprint.regions, 1):
        k = len(fingerprint.values) + number - 1
        shown = _class(fingerprint, rung, option, k, number, name)
        found.append(RegionPlan(**vars(shown), parts=parts, written=written))
    return tuple(found)


def _class(
    fingerprint: Fingerprint, rung: float, option: Candidate, k: int, value: int, name: str
) -> ClassPlan:
    """Of column ``k`` of what was measured; a part of regions that no label shows has no voxels."""
    counts = []
    for case in fingerprint.labeled_cases:
        if case.voxels[k]:
            native = zip(case.shape, case.spacing, option.spacing, strict=True)
            counts.append((case.voxels[k] or 0) * math.prod(working_size(*n) / n[0] for n in native))
    shares = [case.largest[k] for case in fingerprint.labeled_cases]
    one_piece = min((share for share in shares if share is not None), default=0.0) >= ONE_PIECE
    voxels = round(median(counts), 1) if counts else 0.0
    return ClassPlan(value, name, voxels, round(_ceilings(fingerprint, rung)[k], 4), one_piece)


def _channels(fingerprint: Fingerprint, wish: Mapping[str, Any]) -> tuple[ChannelPlan, ...]:
    channels = []
    for i, name in enumerate(fingerprint.channels):
        scheme = wish.get(f"channels.{i}.scheme", "ct" if is_ct(name) else "zscore")
        if scheme == "ct":
            f = fingerprint.foreground[i]
            channels.append(ChannelPlan(name, "ct", f.low, f.high, f.mean, f.std or 1.0))
        else:
            channels.append(ChannelPlan(name, "zscore"))
    return tuple(channels)
