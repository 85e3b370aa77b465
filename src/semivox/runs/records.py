"""What a run folder records of the scans it learns from, and of the machine: read again by ``--resume``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import torch

from semivox.cohort import Case, Cohort, Split, case_identity, files_sha256, label_sha256
from semivox.contents import Cases, Environment
from semivox.duration import show_duration
from semivox.errors import DataError
from semivox.files import copy_file, read_json, write_json
from semivox.inference import learned_by
from semivox.methods import Method, parse_method
from semivox.methods.catalog import CATALOG
from semivox.methods.installed import package_of
from semivox.methods.trust import code_sha256
from semivox.prepare import Plan, Store
from semivox.pretrained import is_run
from semivox.runs.environment import differences, environment
from semivox.training.config import Config
from semivox.training.display import Display
from semivox.training.processes import Processes

PUT_BACK = "put dataset.json of then back, or start a new run (--init RUN takes over the weights)"


def record_cases(path: Path, cohort: Cohort, split: Split, parent: dict[str, Any] | None) -> None:
    """``cases.json``, with the run that this one begins with (``parent``, see
    :func:`semivox.inference.parent_of`); a resumed run refuses scans and a parent that have changed since."""

    def row(case: Case, role: str) -> dict[str, Any]:
        values = None if case.annotated is None else list(case.annotated)
        return {
            "case": case.name,
            "patient": case.patient,
            "role": role,
            "annotated": values,
            "files_sha256": files_sha256(case),
            "label_sha256": label_sha256(case) if role == "labeled" else None,
        }

    cases, task = (*split.labeled, *split.unlabeled), task_of(cohort)
    rows = [row(case, "labeled" if i < len(split.labeled) else "unlabeled") for i, case in enumerate(cases)]
    if path.exists():
        record = read_json(path, kind=Cases)
        then = record.get("task") or task  # earlier versions recorded none
        if other := [name for name in task if then.get(name) != task[name]]:
            raise DataError(
                "channels or classes have changed since this run began",
                path=cohort.root,
                found=", ".join(f"{name} {task[name]}" for name in other),
                expected=", ".join(f"{name} {then.get(name)}" for name in other),
                remedy=PUT_BACK,
            )
        before = [_as_of_files(entry) for entry in record["cases"]]
        changed = [b["case"] for b, now in zip(before, rows, strict=False) if b != now]
        if changed or len(before) != len(rows):
            raise DataError(
                "the cohort has changed since this run began",
                path=path,
                found=f"{len(rows)} cases, changed: {', '.join(changed[:5]) or 'none'}",
                expected=f"the {len(before)} cases of then, unchanged",
                remedy="start a new run (--init RUN takes over the weights)",
            )
        known = record.get("parent")  # earlier versions recorded none
        if parent is not None and known is not None and parent["model_id"] != known["model_id"]:
            raise DataError(
                "the run to start from has changed since this run began",
                path=parent["path"],
                found=f"model {parent['model_id'][:12]}...",
                expected=f"model {known['model_id'][:12]}...",
                remedy="put its model files of then back, or start a new run",
            )
        return
    rows = [{**row, "sha256": case_identity(case)} for row, case in zip(rows, cases, strict=True)]
    learned = learned_by(Path(parent["path"])) if parent is not None and is_run(parent["path"]) else []
    content = {"format": 1, "task": task, "cases": rows, "parent": parent, "learned_before": learned}
    write_json(path, content)


def task_of(cohort: Cohort) -> dict[str, Any]:
    """What ``dataset.json`` says that a run depends on, as JSON."""
    return {
        "channels": list(cohort.channels),
        "labels": {str(value): name for value, name in sorted(cohort.classes.items())},
        "regions": cohort.regions.to_json(),
        "ignore": cohort.ignore,
        "spacing_known": cohort.spacing_known,
    }


def _as_of_files(entry: dict[str, Any]) -> dict[str, Any]:
    """A recorded row without the scan's identity: a resumed run draws as before from the same bytes only.
    Earlier versions recorded the files' hash in its place."""
    files = entry["files_sha256"] if "files_sha256" in entry else entry["sha256"]
    return {**{name: value for name, value in entry.items() if name != "sha256"}, "files_sha256": files}


def record_environment(
    path: Path,
    settled: Config,
    method_class: type[Method],
    device: torch.device,
    display: Display,
    processes: Processes,
) -> None:
    """``environment.json``; says what keeps a resumed run from being bit for bit the uninterrupted one."""
    method = parse_method(settled.run.method)[0]
    package = None if method in CATALOG else package_of(method)
    now = environment(
        torch.get_num_threads(),
        device,
        settled.run.precision,
        processes.ranks,
        package,
        code_sha256(method, method_class),
    )
    if path.exists():
        for line in differences(read_json(path, kind=Environment), now):
            display.say(f"warning: not bit for bit what the uninterrupted run would be: {line}")
    write_json(path, now)


def announce(
    config: Config,
    plan: Plan,
    store: Store,
    split: Split,
    display: Display,
    processes: Processes,
    seconds: float | None,
    warning: str | None,
) -> None:
    """Says in a line what is trained on what and how long (``seconds``, where a budget tells), and in detail
    with how much memory and disk; then ``warning``, without which all is well."""
    run, size = config.run, " x ".join(str(p) for p in plan.patch)
    memory = psutil.Process().memory_info().rss / 2**30
    unit = "mm" if plan.spacing_known else "x the finest pixel"
    spacing = " x ".join(f"{n:.3g}" for n in plan.spacing)
    about = "" if seconds is None else f", about {show_duration(seconds)}"
    display.say(
        f"{len(split.labeled)} labelled / {len(split.unlabeled)} unlabelled, {spacing} {unit}, {run.method}, "
        f"{run.steps} step{'' if run.steps == 1 else 's'}{about}{'' if warning else ', ok'}"
    )
    if warning:
        more = "more --steps" if seconds is None else "a longer --budget"
        display.say(f"warning: {warning} ({more})")
    display.detail(f"network: {plan.network.kind} on patches of {size}")
    display.detail(
        f"{run.precision}, {run.threads} thread{'' if run.threads == 1 else 's'}, seed {run.seed}; "
        f"{memory:.1f} GiB of memory in use, "
        f"{store.disk_bytes / 2**20:.0f} MiB prepared in {store.root}"
    )
    if processes.ranks > 1:
        note = f"{processes.ranks} processes share each batch of {sum(plan.batch)} crops"
        if processes.ranks > sum(plan.batch):
            note += ", so some have none (override: --set plan.batch=[LABELLED,UNLABELLED])"
        display.say(note)


def copy_source(method: str, folder: Path) -> None:
    """A user's method file goes into ``folder``, for the record; nothing ever imports it from there."""
    file = Path(method.rpartition(":")[0])
    if file.suffix == ".py":
        copy_file(file, folder / file.name)


def announce_labels(record: Mapping[str, Any], stage: str, guard: bool, display: Display) -> None:
    """Say how far a round's pseudo-labels have moved, and why they are refused, if they are."""
    if record["laziness"] is not None:
        kept = record["laziness"]["foreground"]
        display.say(f"{stage}: Dice {kept:.4f} between new and former pseudo-labels")
    if guard and record["refused"] is not None:
        said = f"{stage}: pseudo-labels refused, labels alone: {record['refused']}"
        display.say(f"{said} (override: --set run.guard=false)")
