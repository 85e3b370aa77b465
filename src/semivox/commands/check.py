"""``semivox check``: read a data folder from end to end and say what is wrong, and how to mend it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from semivox.heavy_imports import heavy_imports
from semivox.options import Command, Flag, Json, Positional, from_options
from semivox.terminal import ProgressBar, show

if TYPE_CHECKING:
    from rich.console import Group

    from semivox.cohort import CheckReport, Finding, Progress

SHOWN = 5  # findings of one kind in full; the others are named (to_json has them all)


@dataclass(frozen=True)
class CheckOptions:
    """What to check."""

    data: Annotated[str | Path, Positional("DATA", data=True, url="read")]
    """A data folder."""
    write_exclude: Annotated[bool, Flag()] = False
    """Set ``use=no`` in ``cases.csv`` for unlabelled cases that have an error, so that training can go on
    without them; labelled cases are never left out for you."""
    progress: Progress | None = None
    """Called with (cases done, cases) after each case."""


@from_options(CheckOptions)
def check(options: CheckOptions) -> CheckReport:
    """Check a data folder; the faults of cases that are left out become warnings of the report.

    Raises
    ------
    DataError
        It is not a data folder at all.
    """
    with heavy_imports():
        from semivox.cohort import check_cohort, set_cells
        from semivox.cohort.check_report import left_out
        from semivox.cohort.folder import scan_folder
        from semivox.remote import refuse_in_copy

    data = options.data
    if options.write_exclude:
        refuse_in_copy(data, "leave out --write-exclude, and set use=no in the cases.csv there")
    report = check_cohort(data, progress=options.progress)
    if not options.write_exclude:
        return report
    cases = {case.name: case for case in scan_folder(data).cohort.cases}
    broken = {f.case for f in report.errors if f.case in cases}
    unlabelled = [
        name
        for name, case in cases.items()
        if name in broken and case.role != "test" and (case.label is None or case.role == "unlabeled")
    ]
    if not unlabelled:
        return report
    set_cells(Path(data) / "cases.csv", "use", dict.fromkeys(unlabelled, "no"), order=cases)
    return left_out(report, unlabelled)


def render(report: CheckReport) -> Group:
    """The report as text for a terminal: a summary, then a table of findings, errors first."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    classes = ", ".join(f"{name} (in {number})" for name, number in report.classes.items())
    lines = [
        f"{report.root}: {report.cases} cases, {report.labeled} labelled, "
        f"{'?' if report.dims is None else report.dims}D, channels {', '.join(report.channels)}",
    ]
    lines += [f"classes: {classes}"] if report.classes else []
    lines += [f"{title}: {text}" for title, text in _ranges(report)]
    warnings = _count(len(report.warnings), "warning")
    errors = _count(len(report.errors), "error")
    ready = "ready for training" if report.classes else "readable; without labels, to predict or to import"
    verdict = f"{errors} (training refuses), {warnings}" if report.errors else f"{ready}, {warnings}"
    if report.excluded:
        lines.append(f"left out in cases.csv: {', '.join(report.excluded)}")
    parts: list[Text | Table] = [Text("\n".join(lines))]
    if report.findings:
        table = Table("", "case", "file", "fault", "remedy", show_lines=True)
        for alike in _groups(report.findings):
            for f in alike[:SHOWN]:
                details = "\n".join(
                    [f.fault, *(f"{k} {v}" for k, v in (("found", f.found), ("expected", f.expected)) if v)]
                )
                style = "red" if f.severity == "error" else "yellow"
                cells = (f.case, _relative(f.path, report.root), details, f.remedy)
                table.add_row(f"[{style}]{f.severity}[/]", *map(escape, cells))
            if len(alike) > SHOWN:
                others = ", ".join(dict.fromkeys(f.case for f in alike[SHOWN:] if f.case))
                table.add_row("", escape(others), "", f"{len(alike) - SHOWN} more like this", "")
        parts.append(table)
    parts.append(Text(verdict, style="bold red" if report.errors else "bold green"))
    return Group(*parts)


def _groups(findings: tuple[Finding, ...]) -> list[list[Finding]]:
    """Findings with the same fault, together, in order of first appearance."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.severity, finding.fault), []).append(finding)
    return list(groups.values())


def _ranges(report: CheckReport) -> list[tuple[str, str]]:
    summary = report.to_json()["summary"]
    assert isinstance(summary, dict)
    rows = []
    nothing = {"nominal": "nominal: not to be believed", "unknown": "unknown: files do not tell it"}
    for title, key in (("shapes", "shapes"), ("spacings in mm", "spacings_mm")):
        if summary[key] is not None:
            low, median, high = (
                "x".join(f"{v:g}" for v in summary[key][name]) for name in ("min", "median", "max")
            )
            rows.append((title, f"{low} to {high}, median {median}"))
    if report.spacing in nothing and report.shapes:
        rows.append(("spacing", f"{nothing[report.spacing]}; sizes are in pixels"))
    return rows


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _relative(path: str, root: Path) -> str:
    try:
        return str(Path(path).relative_to(root)) if path else ""
    except ValueError:
        return path


@dataclass(frozen=True)
class CheckArguments(CheckOptions, Json):
    """What the command line takes."""


def main(given: CheckArguments) -> int:
    """Check, and show what was found; 1 if there are errors."""
    with ProgressBar("check", quiet=given.json) as bar:
        report = check.of(replace(given, progress=bar))
    show(report.to_json() if given.json else render(report))
    return 1 if report.errors else 0


COMMAND = Command(
    CheckArguments, main, ("semivox check my_scans", "semivox check my_scans --write-exclude --json")
)
