"""What a comparison was and what came out of it, in words: the page's first line, and how to repeat it."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from semivox.contents import Environment
from semivox.duration import show_duration
from semivox.errors import DataError
from semivox.evaluation import few_patients
from semivox.files import read_json
from semivox.report.comparison_record import CONDITIONS, ComparisonRecord

GIVEN = ("test", "folds", "steps", "budget", "recipe", "device", "devices", "precision", "threads")
"""Options that hold for every cell, by their names on the command line."""
NAMED = 3
"""So many gaining methods are named."""


def subject(record: ComparisonRecord) -> str:
    """The page's heading."""
    measured = record.request.get("test") or record.request.get("data") or record.folder
    methods = _count(len(record.names), "method")
    return f"{methods} on {place(measured)}"


def lead(record: ComparisonRecord) -> str:
    """What was compared on what at which budget, and what came out."""
    sets = _listed([_set_words(record, name, bare=True) for name in record.labeled])
    said = f"{_count(len(record.names), 'method')}, each trained {budget(record)} on {sets} labelled cases"
    said += f" of {place(record.request.get('data', '?'))}"
    seeds = len({cell.seed for cell in record.cells})
    if seeds > 1:
        said += f" with {seeds} seeds"
    if record.variants:
        said += f", measured on {_measured(record)}"
    said += f": {_overall(record)}."
    states = Counter(cell.state for cell in record.cells)
    if states["finished"] < len(record.cells):
        words = {"failed": "failed", "running": "being worked on", "free": "not begun or interrupted"}
        rest = ", ".join(f"{states[key]} {word}" for key, word in words.items() if states[key])
        said += f" {states['finished']} of {len(record.cells)} cells are finished ({rest})."
    return said


def outcomes(record: ComparisonRecord) -> list[tuple[str, str]]:
    """Each labelled set that has numbers, and what came out on it."""
    return [(_set_words(record, name), outcome(record, name)) for name in record.labeled if record.rows(name)]


def _overall(record: ComparisonRecord) -> str:
    """What came out on all labelled sets together."""
    there = [name for name in record.labeled if record.rows(name)]
    if not there:
        return "nothing is finished yet, so there is nothing to compare"
    if len(there) == 1:
        return outcome(record, there[0])
    gaining = list(dict.fromkeys(r.name for r in record.results if r.verdict == "gains"))
    if not gaining:
        return f"no method gains over {record.reference_name} on any of the {len(there)} labelled sets"
    named = _listed(gaining) if len(gaining) <= NAMED else f"{len(gaining)} methods"
    verb = "gains" if len(gaining) == 1 else "gain"
    return f"{named} {verb} over {record.reference_name} on at least one of the {len(there)} labelled sets"


def outcome(record: ComparisonRecord, labeled: str) -> str:
    """What came out on one labelled set, such as "no method gains over supervised; 14 trail"."""
    rows, reference = record.rows(labeled), record.reference_name
    others = [row for row in rows if row.verdict != "reference"]
    if not others:
        return f"only {reference} is finished, so there is nothing to compare yet"
    if all(row.verdict == "alone" for row in others):
        return f"{reference} has no seed in common with the others, so nothing can be compared yet"
    gaining = [row.name for row in others if row.verdict == "gains"]
    if not gaining:
        said = f"no method gains over {reference}"
    elif len(gaining) <= NAMED:
        said = f"{_listed(gaining)} {'gains' if len(gaining) == 1 else 'gain'} over {reference}"
    else:
        said = f"{len(gaining)} methods gain over {reference}, {gaining[0]} most"
    numbers = Counter(row.verdict for row in others)
    rest = []
    for kind, one, many in (
        ("trails", "trails", "trail"),
        ("open", "shows no difference", "show no difference"),
        ("alone", "cannot be compared", "cannot be compared"),
    ):
        if numbers[kind]:
            rest.append(f"{numbers[kind]} {one if numbers[kind] == 1 else many}")
    return said + (f"; {', '.join(rest)}" if rest else "")


def rough(record: ComparisonRecord) -> str:
    """That intervals are rough, where some are over few patients."""
    note = few_patients(min((row.patients for row in record.results if row.patients), default=0))
    return note and f"{note[0].upper()}{note[1:]}."


def budget(record: ComparisonRecord) -> str:
    """How long every cell was trained, as asked for."""
    asked = {**record.request, **_run_settings(record)}
    if asked.get("steps") is not None:
        return f"for {asked['steps']} steps"
    if asked.get("budget") is not None:
        return f"for {show_duration(float(asked['budget']))}"
    for plan in sorted((record.folder / "plans").glob("*/*.json")):
        try:
            return f"for {show_duration(float(read_json(plan)['budget_seconds']))}"
        except (DataError, KeyError, TypeError, ValueError):
            break
    return "for the default time"


def command(record: ComparisonRecord) -> str:
    """The command that asks for all cells of the folder."""
    asked, request = record.asked, record.request
    methods = list(asked.get("methods", {c.variant: c.method for c in record.cells}).values())
    labeled = list(asked.get("labeled", {name: name for name in record.labeled}).values())
    seeds = sorted({cell.seed for cell in record.cells})
    reference = next((c.method for c in record.cells if c.variant == record.reference), record.reference)
    words = ["semivox", "compare", str(request.get("data", "DATA"))]
    words += ["--methods", ",".join(methods), "--labeled", ",".join(labeled)]
    words += ["--seeds", ",".join(map(str, seeds)), "--reference", reference]
    for name in GIVEN:
        if (value := request.get(name)) is not None:
            words += [f"--{name}", f"{value:.15g}" if isinstance(value, float) else str(value)]
    for name in ("plan", "config"):
        if request.get(name) is not None:
            words += [f"--{name}", f"FILE-WITH-SHA256-{request[name]}"]
    for name, value in (request.get("settings") or {}).items():
        words += ["--set", f"{name}={value if isinstance(value, str) else json.dumps(value)}"]
    return " ".join(map(shlex.quote, [*words, "--out", str(record.folder)]))


def conditions(record: ComparisonRecord) -> list[tuple[str, str]]:
    """Device, threads, versions ... of the finished cells, each value with its number of cells."""
    found = []
    for name in CONDITIONS:
        counts = Counter(c.conditions[name] for c in record.cells if name in c.conditions)
        shown = [f"{v} ({_count(n, 'cell')})" if len(counts) > 1 else v for v, n in counts.items()]
        if shown:
            found.append((name, ", ".join(shown)))
    return found


def packages(record: ComparisonRecord) -> str:
    """Python and packages of the first finished cell that says so."""
    for cell in record.cells:
        if (path := cell.folder / "environment.json").is_file():
            said = read_json(path, kind=Environment)
            named = {"python": said.get("python"), **said.get("packages", {})}
            return ", ".join(f"{name} {version}" for name, version in named.items() if version)
    return ""


def place(path: str | Path) -> str:
    """The last two parts of a path: ``hippocampus/dev``."""
    parts = [part for part in str(path).replace("\\", "/").split("/") if part]
    return "/".join(parts[-2:])


def _run_settings(record: ComparisonRecord) -> dict[str, object]:
    settings = record.request.get("settings") or {}
    return {key: settings[f"run.{key}"] for key in ("steps", "budget") if f"run.{key}" in settings}


def _measured(record: ComparisonRecord) -> str:
    row = max(record.results, key=lambda r: r.cases)
    cases = _count(row.cases, "case")
    if row.patients != row.cases:
        cases += f" of {_count(row.patients, 'patient')}"
    if len(record.folds) > 1:
        return f"{cases} in {len(record.folds)}-fold cross-validation"
    return f"{cases} of {place(record.request.get('test') or record.request.get('data', '?'))}"


def _set_words(record: ComparisonRecord, name: str, bare: bool = False) -> str:
    """``8 labelled cases``, ``6 labelled cases (of 3 patients)``; ``bare``: ``8``, ``6 (of 3 patients)``."""
    count = record.labeled_cases[name]
    words = "" if bare else f" labelled case{'' if count == 1 else 's'}"
    if patients := re.fullmatch(r"(\d+)p", name):
        name = f"of {_count(int(patients[1]), 'patient')}"
    if count is None:
        return f"?{words} ({name})"
    return f"{count:g}{words}" if f"{count:g}" == name else f"{count:g}{words} ({name})"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
