"""The page of one run: what it is worth, what was trained on what, and how it went."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from markupsafe import Markup

from semivox.methods import CATALOG, entry
from semivox.report.absent_cases import without_absent
from semivox.report.figure_rows import PlacedFigures, draw_rows
from semivox.report.held_out import Section, lead_of, section_of
from semivox.report.held_out_figures import counted
from semivox.report.page import duration, percent, render_page
from semivox.report.run_figures import FIGURES
from semivox.report.run_pictures import Pictures, pictures_of
from semivox.report.run_record import HeldOut, RunRecord

SLICES_BYTES, CASE_BYTES = 11_000_000, 1_100_000
"""What all slices of a page may take, and those of one case."""


def write_run_page(record: RunRecord, out: Path, first: str | None = None) -> Path:
    """Write the page of ``record`` to ``out``; ``first`` names the evaluation that the page opens with."""
    shown = map(without_absent, record.evaluations)
    evaluations = sorted(shown, key=lambda held: (held.name != first, held.content is None))
    sections = [section_of(held, record.card) for held in evaluations]
    share = SLICES_BYTES // max(1, sum(len(section.shown) for section in sections))
    pictures = [pictures_of(h, s, min(share, CASE_BYTES)) for h, s in zip(evaluations, sections, strict=True)]
    curves = draw_rows(FIGURES, record, "run")
    context = {
        "title": f"{record.method} on {_name(record)}",
        "kind": "Training run",
        "state": record.state,
        "lead": lead(record, evaluations),
        "progress": _progress(record),
        "undertrained": (record.card or {}).get("undertrained"),
        "contents": _contents(sections, pictures, curves),
        "made": f"Made by semivox {_version()} from {record.path}.",
        "tiles": sections[0].tiles if sections else [],
        "facts": _facts(record),
        "command": command(record),
        "labeled": [case.case for case in record.of_role("labeled")],
        "sections": list(zip(sections, pictures, strict=True)),
        "curves": curves,
        "pace": _pace(record),
        "assumptions": (record.plan or {}).get("assumptions", []),
        "settings": yaml.safe_dump(dict(record.config), sort_keys=False, allow_unicode=True),
    }
    return render_page("run.html.j2", context, out)


def lead(record: RunRecord, evaluations: Sequence[HeldOut]) -> str | Markup:
    """The first line: what the model is worth, or that nobody knows yet."""
    if evaluations:
        return lead_of(evaluations[0])
    if record.card is None:
        return "There is no model yet, and no held-out case has been measured."
    measure = f"semivox report {shlex.quote(str(record.path))} --test DATA2"
    unknown = "What this model is worth is not known: no held-out case has been measured."
    return Markup("{} <code>{}</code> measures some.").format(unknown, measure)


def command(record: RunRecord) -> str:
    """The command that repeats the run."""
    data = str(record.config.get("data") or "DATA")
    settings, plan = record.path / "config.yaml", record.path / "plan.json"
    given = [
        *(["--config", str(settings)] if record.config else []),
        *(["--plan", str(plan)] if record.plan else []),
    ]
    return shlex.join(["semivox", "train", data, "--out", "NEW_RUN", *given])


def _name(record: RunRecord) -> str:
    data = record.config.get("data")
    return "/".join(Path(str(data)).parts[-2:]) if data else record.path.name


def _progress(record: RunRecord) -> str | None:
    """A sentence on a run that is not done."""
    if record.state == "done":
        return None
    of = f" of {record.planned_steps:,}" if record.planned_steps else ""
    state = {"training": "It is training", "preparing": "It is being prepared"}.get(
        record.state, f"The run {'was ' if record.state != 'failed' else ''}{record.state}"
    )
    return f"{state}: {record.step:,}{of} steps are done."


def _facts(record: RunRecord) -> list[tuple[str, str]]:
    """What was trained on what, as (term, description) pairs."""
    run, plan, machine, card = record.run, record.plan, record.environment, record.card
    facts = [("Method", _method(record))]
    if record.cases:
        labeled, unlabeled = record.of_role("labeled"), record.of_role("unlabeled")
        patients = len({case.patient for case in record.cases})
        said = f"{len(labeled)} labelled and {len(unlabeled)} unlabelled cases"
        facts.append(("Cases", said + (f" of {patients} patients" if patients < len(record.cases) else "")))
    facts.append(("Data", str(record.config.get("data") or "not recorded")))
    if run.get("labeled"):
        facts.append(("Labelled set", f"--labeled {run['labeled']}"))
    if plan:
        facts += _plan_facts(plan)
    if record.seconds is not None:
        steps = f"{record.step:,} steps in {duration(record.seconds)}"
        facts.append(("Training", steps))
    if record.relabelled:
        facts.append(("Pseudo-labels", _pseudo_labels(record)))
    if machine:
        where = [
            str(machine.get("processor") or ""),
            counted(machine.get("cores"), "core"),
            f"{machine.get('memory_gib')} GiB",
        ]
        facts.append(("Machine", ", ".join(where)))
        threads = counted(machine.get("threads"), "thread")
        arithmetic = f"{machine.get('device')}, {machine.get('precision')}, {threads}"
        peak = record.status.get("peak_memory_gib")
        facts.append(("Arithmetic", arithmetic + (f", peak memory {peak:.2f} GiB" if peak else "")))
        packages = machine.get("packages") or {}
        names = ", ".join(f"{n} {packages[n]}" for n in ("semivox", "torch", "numpy") if packages.get(n))
        facts.append(("Software", f"{names}, Python {machine.get('python')}"))
        facts.append(("Commit", str(machine.get("commit") or "not recorded")))
    facts.append(("Seed", str(run.get("seed", (card or {}).get("seed", "not recorded")))))
    if card:
        facts.append(("Model", f"{card['model_id']} ({' and '.join(card['predictor'])})"))
    if record.status.get("heartbeat"):
        last = datetime.fromtimestamp(float(record.status["heartbeat"]), UTC)
        facts.append(("Last written", f"{last:%Y-%m-%d %H:%M} UTC"))
    return facts


def _method(record: RunRecord) -> str:
    recipe = record.run.get("recipe")
    told = f"{record.method}: {entry(record.method).idea}" if record.method in CATALOG else record.method
    return told + (f" ({recipe} recipe)" if recipe else "")


def _pseudo_labels(record: RunRecord) -> str:
    """How often scans were labelled, and from which rounds nothing was learned, with why."""
    rounds = record.relabelled
    said = f"the unlabelled scans were labelled in {counted(len(rounds), 'round')}"
    refused = [f"{r.get('stage')} ({r['refused']})" for r in rounds if r.get("refused")]
    if not refused:
        return said
    if record.run.get("guard", True):
        return f"{said}; refused, so that labels alone were learned from: {'; '.join(refused)}"
    return f"{said}; learned from although doubtful (run.guard is off): {'; '.join(refused)}"


def _plan_facts(plan: Any) -> list[tuple[str, str]]:
    unit = "mm" if plan["spacing_known"] else "finest pixels"
    spacing = f"{_times(plan['spacing'])} {unit}, {plan['rung']:g} × the finest native spacing"
    network = plan["network"]
    features = f"{network['features'][0]} to {network['features'][-1]} features"
    ceilings = ", ".join(f"{c['name']} {c['dice_ceiling']:.3f}" for c in plan["regions"] or plan["classes"])
    asked = plan.get("budget_seconds")
    for_time = f"; chosen as for {duration(asked)} of training" if asked else ""
    return [
        ("Working grid", f"{plan['dims']}D, {spacing}{for_time}"),
        ("Network", f"{network['kind']}, {features}, on patches of {_times(plan['patch'])}"),
        ("Batch", f"{sum(plan['batch'])} patches"),
        ("Highest Dice the grid allows", ceilings),
    ]


def _times(numbers: Sequence[float]) -> str:
    return " × ".join(f"{n:.4g}" for n in numbers)


def _pace(record: RunRecord) -> str:
    """How long a step took, in a sentence."""
    rows = [r for r in record.steps if r.get("seconds")]
    if not rows:
        return ""
    waiting = sum(r.get("data_seconds", 0) for r in rows) / sum(r["seconds"] for r in rows)
    seconds = f"{median(r['seconds'] for r in rows):#.2g}"
    return f"A step took {seconds} s (median); {percent(waiting)} of the time went into waiting for data."


def _contents(
    sections: Sequence[Section], pictures: Sequence[Pictures], curves: Sequence[PlacedFigures]
) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = [("trained", "What was trained")]
    for section, shown in zip(sections, pictures, strict=True):
        found.append((f"held-{section.key}", section.heading))
        parts = (
            ("classes", "By class", section.classes),
            ("cases", "Every case", section.cases),
            ("slices", "Pictures", shown.cases),
            ("others", "The other cases", shown.others),
            ("review", "To look at", section.review or section.warnings),
            *((key, heading, figures) for key, heading, figures in section.figures),
        )
        found += [(f"{section.key}-{key}", text, True) for key, text, there in parts if there]
    return [*found, *((curve.key, curve.heading) for curve in curves), ("settings", "Settings")]


def _version() -> str:
    try:
        return version("semivox")
    except PackageNotFoundError:
        return "(not installed)"
