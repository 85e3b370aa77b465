"""``semivox plan``: how a data folder would be trained on, what that costs, and what it assumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from semivox.cohort import LabeledSet
from semivox.duration import budget_seconds, parse_duration
from semivox.heavy_imports import heavy_imports
from semivox.options import Command, Flag, Json, Positional, from_options
from semivox.settings import assignments, complete
from semivox.terminal import ProgressBar, show

if TYPE_CHECKING:
    from rich.console import Group

    from semivox.cohort import Progress
    from semivox.prepare import Plan


@dataclass(frozen=True)
class PlanOptions:
    """What to plan for."""

    data: Annotated[str | Path, Positional("DATA", data=True, url="read")]
    """A data folder."""
    budget: Annotated[str | float | None, Flag("T", parse=parse_duration)] = None
    """Training time, such as 30m, 2h or 1h30m; without it the number of steps stays open."""
    labeled: Annotated[LabeledSet | None, Flag("SET", same_as="semivox.training.config:RunSettings")] = None
    out: Annotated[str | Path | None, Flag("FILE", writes="file")] = None
    """Write the plan there as ``plan.json``, for ``train --plan``."""
    _: KW_ONLY
    method: Annotated[str | None, Flag("NAME", default="auto")] = None
    """For which method: with auto and few labelled scans the network is a U-Net, which begins with the
    package's weights; the others have the papers' V-Net where a patch has room for it."""
    cache: Annotated[str | Path | None, Flag("DIR", default="DATA/.semivox", writes="folder")] = None
    """Where prepared scans and what was measured on them are kept."""
    settings: Annotated[Mapping[str, Any] | Sequence[str], Flag("KEY=VALUE", flag="--set", repeat=True)] = ()
    """A setting of the plan, such as plan.rung=2; may be given again for another."""
    workers: int | None = None
    """Scans worked on at a time."""
    progress: Progress | None = None
    """Called with (cases done, cases) after each case."""


@from_options(PlanOptions)
def plan(options: PlanOptions) -> Plan:
    """Plan the training on a data folder.

    Raises
    ------
    DataError, SettingsError
        A fault in the folder, the label set, the budget, the method's name or the settings.
    """
    with heavy_imports():
        from semivox.cohort import load_cohort, split_cohort
        from semivox.methods import load_method, parse_method
        from semivox.networks import costs_here
        from semivox.prepare import fingerprint, make_plan, write_plan
        from semivox.runs.asked import plan_for_auto

    seconds = None if options.budget is None else budget_seconds(options.budget)
    wished = _wished(options.settings)
    named = None if options.method == "auto" else options.method
    if named is not None:
        load_method(parse_method(named)[0])  # refuses one that is not there
    cohort = load_cohort(Path(options.data))
    split = split_cohort(cohort, options.labeled)
    if named is None:
        wished = plan_for_auto(len(split.labeled)) | wished
    measured = fingerprint(cohort, split, options.progress, options.workers, options.cache)
    chosen = make_plan(measured, seconds, costs_here(), wished)
    if options.out is not None:
        write_plan(chosen, options.out)
    return chosen


def _wished(settings: Mapping[str, Any] | Sequence[str]) -> dict[str, Any]:
    """By the planner's names, which have no ``plan.`` before them; the planner checks channels and values."""
    from semivox.prepare.overrides import OVERRIDES

    known = [f"plan.{name}" for name in OVERRIDES]
    full = {k if k.startswith("plan.") else complete(k, known): v for k, v in assignments(settings).items()}
    return {name.removeprefix("plan."): value for name, value in full.items()}


def render(plan: Plan, verbose: bool = False) -> Group:
    """The plan for people: a table of what is done; ``verbose``: and every assumption with its override."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    from semivox.prepare.costs import step_memory

    unit = "mm" if plan.spacing_known else "x the finest pixel"
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    net, classes = plan.network, len(plan.classes) + 1
    memory = step_memory(net, plan.patch, plan.batch, channels=len(plan.channels), classes=classes)
    steps = "open (no budget given)" if plan.steps is None else f"about {plan.steps:,}"
    rows = {
        "spacing": f"{_by(plan.native_spacing)} -> {_by(plan.spacing)} {unit} (x{plan.rung:g})",
        "median scan": f"{_by(plan.shape)} voxels at this spacing",
        "a step sees": f"{plan.batch[0]} labelled + {plan.batch[1]} unlabelled pieces "
        f"of {_by(plan.patch)} voxels",
        "network": f"{net.kind}, features {', '.join(map(str, net.features))}, {net.norm} normalisation",
        "channels": ", ".join(f"{c.name} ({c.scheme})" for c in plan.channels),
        "classes": "; ".join(
            f"{c.value} {c.name}: {c.voxels:,.0f} voxels, Dice at most {c.dice_ceiling:.3f} at this spacing"
            f"{'' if c.one_piece else ', in several pieces'}"
            for c in plan.judged
        ),
        "a step": f"about {plan.step_seconds:.2f} s and {memory / 2**30:.1f} GiB of memory",
        "steps": steps,
    }
    for name, value in rows.items():
        table.add_row(name, escape(value))
    if not verbose:
        why = Text("\nWhat this assumes, and how to change it: --verbose, or --out plan.json")
        return Group(table, why)
    notes = [Text(f"  - {sentence}") for sentence in plan.assumptions]
    return Group(table, Text("\nAssumed, and how to change it:", style="bold"), *notes)


def _by(numbers: tuple[float, ...]) -> str:
    return " x ".join(f"{n:.4g}" for n in numbers)


@dataclass(frozen=True, kw_only=True)
class PlanArguments(PlanOptions, Json):
    """What the command line takes."""

    verbose: Annotated[bool, Flag()] = False
    """Also every assumption, and the setting that changes it."""


def main(given: PlanArguments) -> int:
    """Plan, and show it."""
    from semivox.prepare import plan_to_json

    with ProgressBar("fingerprint", quiet=given.json) as bar:
        made = plan.of(replace(given, progress=bar))
    show(plan_to_json(made) if given.json else render(made, given.verbose))
    return 0


COMMAND = Command(
    PlanArguments,
    main,
    (
        "semivox plan my_scans --budget 2h",
        "semivox plan my_scans --labeled 8 --set plan.network.kind=unet --out plan.json",
    ),
)
