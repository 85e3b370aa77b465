"""``semivox plan``: how a data folder would be trained on, what that costs, and what it assumes."""

from __future__ import annotations

from pathlib import Path

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from semivox.cohort import Progress
from semivox.cohort.folder import load_cohort
from semivox.cohort.split import split_cohort
from semivox.duration import budget_seconds
from semivox.prepare.costs import costs_here, step_memory
from semivox.prepare.fingerprint import fingerprint
from semivox.prepare.plan import Plan
from semivox.prepare.plan_json import write_plan
from semivox.prepare.planner import make_plan


def plan(
    data: str | Path,
    budget: str | float | None = None,
    labeled: str | None = None,
    out: str | Path | None = None,
    *,
    cache: str | Path | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Plan the training on a data folder.

    Parameters
    ----------
    data
        A data folder.
    budget
        Training time: seconds, or text such as ``"20m"``, ``"2h"``, ``"1h30m"``. None leaves ``steps`` open.
    labeled
        Which cases are labelled: ``"8"``, ``"7p"``, ``"8@3"``, a file of names; None: all with a label file.
    out
        ``plan.json`` to write.
    cache, workers, progress
        As in :func:`semivox.prepare.store.build_store`; measured numbers are kept in the cache folder.

    Raises
    ------
    DataError, SettingsError
        A fault in the folder, the label set or the budget.
    """
    seconds = None if budget is None else budget_seconds(budget)
    cohort = load_cohort(Path(data))
    split = split_cohort(cohort, labeled)
    measured = fingerprint(cohort, split, progress, workers, cache)
    chosen = make_plan(measured, seconds, costs_here())
    if out is not None:
        write_plan(chosen, out)
    return chosen


def render(plan: Plan) -> Group:
    """The plan for people: a table of what is done, and every assumption with its override."""
    unit = "mm" if plan.spacing_known else "x the finest pixel"
    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    net, classes = plan.network, len(plan.classes) + 1
    memory = step_memory(net, plan.patch, plan.batch, channels=len(plan.channels), classes=classes)
    steps = "open (no budget given)" if plan.steps is None else f"about {plan.steps:,}"
    rows = {
        "spacing": f"{_by(plan.native_spacing)} -> {_by(plan.spacing)} {unit} (x{plan.rung:g})",
        "median shape": _by(plan.shape),
        "patch": f"{_by(plan.patch)}, batch {plan.batch[0]} labelled + {plan.batch[1]} unlabelled",
        "network": f"{net.kind}, features {', '.join(map(str, net.features))}, {net.norm} normalisation",
        "channels": ", ".join(f"{c.name} ({c.scheme})" for c in plan.channels),
        "classes": "; ".join(
            f"{c.value} {c.name}: {c.voxels:,.0f} voxels, Dice ceiling {c.dice_ceiling:.3f}"
            f"{'' if c.one_piece else ', in several pieces'}"
            for c in plan.classes
        ),
        "a step": f"about {plan.step_seconds:.2f} s and {memory / 2**30:.1f} GiB of memory",
        "steps": steps,
    }
    for name, value in rows.items():
        table.add_row(name, escape(value))
    notes = [Text(f"  - {sentence}") for sentence in plan.assumptions]
    return Group(table, Text("\nAssumed, and how to change it:", style="bold"), *notes)


def _by(numbers: tuple[float, ...]) -> str:
    return " x ".join(f"{n:.4g}" for n in numbers)
