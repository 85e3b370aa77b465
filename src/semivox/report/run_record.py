"""A run folder as one object: what was trained on what, how it went, and what its evaluations found.

Nothing of a method's code is loaded. What an interrupted run has not written yet is empty.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from semivox.content_checks import check_content
from semivox.contents import (
    Calibration,
    Cases,
    Environment,
    Predictions,
    Source,
    Status,
)
from semivox.errors import DataError
from semivox.evaluation import read_evaluation
from semivox.evaluation.calibration import Reliability
from semivox.evaluation.result_paths import CALIBRATION, EVALUATION, EVALUATIONS, MASKS, SOURCE
from semivox.files import read_json, read_yaml
from semivox.prepare import plan_from_json, plan_to_json
from semivox.shown_contents import ShownCard, ShownConfig
from semivox.training.journal import read_journal

SILENT_SECONDS = 600.0
"""A run that says it trains and has given no sign for so long is taken to be dead."""


@dataclass(frozen=True)
class RunCase:
    """A case of the run; ``role`` is "labeled" or "unlabeled"."""

    case: str
    patient: str
    role: str
    sha256: str
    files_sha256: str | None = None


@dataclass(frozen=True)
class HeldOut:
    """What ``evaluations/NAME`` holds: predictions of cases, and what they were found to be worth.

    Parameters
    ----------
    content
        The evaluation file; None where no case has a reference.
    rows
        Case -> row of ``predictions.json``; empty where it is missing.
    data
        The data folder of the cases, if it was recorded.
    reliability
        Case -> reliability of its voxels, and
    reference_voxels
        case -> label value as a string -> voxels of the reference; both from ``calibration.json``.
    trained_on
        Cases whose scans are among the labelled ones of the run: what is found on them is worth nothing.
    seen
        Cases whose scans are among the unlabelled ones.
    measured
        When the evaluation file, or else that of the predictions, was written.
    parts
        Number of each region -> its label values; empty where classes are label values.
    absent
        Cases whose predictions were left out, see :func:`semivox.report.absent_cases.without_absent`.
    """

    name: str
    folder: Path
    content: Mapping[str, Any] | None
    rows: Mapping[str, Mapping[str, Any]]
    classes: Mapping[str, str]
    spacing_known: bool
    data: Path | None
    reliability: Mapping[str, Reliability]
    reference_voxels: Mapping[str, Mapping[str, int]]
    trained_on: tuple[str, ...]
    seen: tuple[str, ...]
    measured: datetime | None = None
    parts: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    absent: tuple[str, ...] = ()

    @property
    def masks(self) -> Path:
        return self.folder / MASKS


@dataclass(frozen=True)
class RunRecord:
    """The files of a run folder. ``plan`` and ``card`` (``model.json``) are None where the run has not come
    so far; ``config``, ``environment`` and ``status`` are then empty."""

    path: Path
    config: Mapping[str, Any]
    plan: Mapping[str, Any] | None
    environment: Mapping[str, Any]
    status: Mapping[str, Any]
    cases: tuple[RunCase, ...]
    journal: tuple[Mapping[str, Any], ...]
    card: Mapping[str, Any] | None
    evaluations: tuple[HeldOut, ...]

    def of_role(self, role: str) -> tuple[RunCase, ...]:
        return tuple(case for case in self.cases if case.role == role)

    @cached_property
    def steps(self) -> list[Mapping[str, Any]]:
        """The journal's logged steps."""
        return [record for record in self.journal if record.get("kind") == "step"]

    @cached_property
    def watched(self) -> list[Mapping[str, Any]]:
        return [record for record in self.journal if record.get("kind") == "watch"]

    @cached_property
    def relabelled(self) -> list[Mapping[str, Any]]:
        """The journal's rounds of pseudo-labels."""
        return [record for record in self.journal if record.get("kind") == "relabel"]

    @property
    def run(self) -> Mapping[str, Any]:
        """The settings under ``run``."""
        return self.config.get("run") or {}

    @property
    def method(self) -> str:
        return str(self.run.get("method") or (self.card or {}).get("method") or "unknown method")

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self.status.get("step") or (self.card or {}).get("steps") or 0)

    @property
    def planned_steps(self) -> int | None:
        return self.run.get("steps") or (self.card or {}).get("steps")

    @property
    def seconds(self) -> float | None:
        """Seconds of training: of the whole run if it is done, else up to its last logged step."""
        if self.status.get("seconds") is not None:
            return float(self.status["seconds"])
        return float(self.steps[-1]["elapsed"]) if self.steps and "elapsed" in self.steps[-1] else None

    @property
    def state(self) -> str:
        """``status.json``'s word, or "interrupted" for a run that died without a word; "done" where only the
        model is left."""
        state = str(self.status.get("state") or ("done" if self.card else "interrupted"))
        beat = float(self.status.get("heartbeat") or 0)
        dead = state in ("preparing", "training") and time.time() - beat > SILENT_SECONDS
        return "interrupted" if dead else state


def read_run(path: str | Path) -> RunRecord:
    """Read the run folder ``path``. Raises DataError where it is none, or a file in it cannot be read."""
    path = Path(path)
    if not any((path / name).is_file() for name in ("config.yaml", "status.json", "model.json")):
        raise DataError(
            "is no run folder",
            path=path,
            found="no such folder" if not path.is_dir() else "none of these files",
            expected="config.yaml, status.json or model.json, as train writes them",
            remedy="give the folder that was train's --out",
        )
    cases = tuple(
        RunCase(
            row["case"],
            row.get("patient") or row["case"],
            row["role"],
            row.get("sha256") or "",
            row.get("files_sha256"),
        )
        for row in _json(path / "cases.json", Cases).get("cases", [])
    )
    journal = path / "metrics.jsonl"
    folders = sorted(p for p in (path / EVALUATIONS).glob("*") if p.is_dir())
    return RunRecord(
        path=path,
        config=_config(path / "config.yaml"),
        plan=_plan(path / "plan.json"),
        environment=_json(path / "environment.json", Environment),
        status=_json(path / "status.json", Status),
        cases=cases,
        journal=tuple(read_journal(journal)) if journal.is_file() else (),
        card=_json(path / "model.json", ShownCard) or None,
        evaluations=tuple(h for p in folders if (h := read_held_out(p, cases)) is not None),
    )


def read_held_out(folder: Path, cases: tuple[RunCase, ...] = ()) -> HeldOut | None:
    """Read ``evaluations/NAME``; None where it holds neither an evaluation nor predictions. ``cases`` are
    those of the run."""
    content = read_evaluation(folder / EVALUATION) if (folder / EVALUATION).is_file() else None
    predictions = _json(folder / MASKS / "predictions.json", Predictions)
    if content is None and not predictions:
        return None
    rows = {row["case"]: row for row in predictions.get("cases", [])}
    calibration = _json(folder / CALIBRATION, Calibration).get("cases", {})
    roles = {digest: case.role for case in cases for digest in (case.sha256, case.files_sha256) if digest}
    role_of = {
        name: roles.get(row.get("input_sha256")) or roles.get(row.get("input_files_sha256"))
        for name, row in rows.items()
    }
    data = _json(folder / SOURCE, Source).get("data")
    classes = (content or predictions).get("classes", {})
    return HeldOut(
        name=folder.name,
        folder=folder,
        content=content,
        rows=rows,
        classes=classes,
        parts={int(k): tuple(values) for k, values in (content or predictions).get("regions", {}).items()},
        spacing_known=bool(predictions.get("spacing_known", True)),
        data=Path(data) if data else None,
        reliability={name: Reliability.from_json(c) for name, c in calibration.items() if "count" in c},
        reference_voxels={
            name: c["reference_voxels"] for name, c in calibration.items() if "reference_voxels" in c
        },
        trained_on=tuple(name for name, role in role_of.items() if role == "labeled"),
        seen=tuple(name for name, role in role_of.items() if role == "unlabeled"),
        measured=_written(folder / EVALUATION, folder / MASKS / "predictions.json"),
    )


def _written(*paths: Path) -> datetime | None:
    """When the first of these that is there was written."""
    there = (path.stat().st_mtime for path in paths if path.is_file())
    return next((datetime.fromtimestamp(seconds, UTC) for seconds in there), None)


def _json(path: Path, kind: Any = None) -> dict[str, Any]:
    return read_json(path, kind=kind) if path.is_file() else {}


def _plan(path: Path) -> dict[str, Any] | None:
    return plan_to_json(plan_from_json(path)) if path.is_file() else None


def _config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    content = read_yaml(path)
    check_content(content, ShownConfig, path, "put back the file of then")
    return content
