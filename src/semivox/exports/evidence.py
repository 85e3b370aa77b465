"""What a run's held-out masks tell of others, without the names of cases, patients and folders.

:mod:`semivox.runs.held_out_masks` reads it like what lies in a run, so that a bundle promises what the run
does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from semivox.evaluation import read_evaluation
from semivox.evaluation.result_paths import EVALUATION, EVALUATIONS, MASKS
from semivox.files import make_folder, write_json
from semivox.inference import learned_by
from semivox.inference.record import FORMAT, JSON, Row, read_rows

TOLD = ("case", "status", "flag", "reason", "model_id", "weights", "input_sha256", "input_files_sha256")
"""Of a row, beside the numbers of the mask; the hashes tell a scan to nobody who does not have it."""
NUMBERS = ("volume_ml", "agreement", "appearance")
KEPT = ("format", "classes", "regions", "mean", "ci95")
"""Of an evaluation, beside its cases and patients."""


def write_evidence(run: Path, folder: Path) -> None:
    """Write the run's evaluations into ``folder``; patients and cases are numbered through all of them. Scans
    that the run has learned from are left out: they tell nothing, and no ``cases.json`` is there to say so.

    Raises DataError for a record that cannot be read.
    """
    learned, patients = set(learned_by(run)), dict[str, str]()
    for number, place in enumerate(sorted((run / EVALUATIONS).glob("*")), 1):
        if not ((place / EVALUATION).is_file() and (place / MASKS / JSON).is_file()):
            continue
        evaluation = read_evaluation(place / EVALUATION)
        names = evaluation.get("patients", {})
        rows = {
            row.case: row
            for row in read_rows(place / MASKS / JSON)
            if row.case in evaluation["cases"] and not {row.input_sha256, row.input_files_sha256} & learned
        }
        cases = {case: f"case_{i}" for i, case in enumerate(sorted(rows), 1)}
        of = {case: _numbered(patients, names.get(case) or case) for case in sorted(rows)}
        content = {name: evaluation[name] for name in KEPT if name in evaluation}
        content["cases"] = {cases[case]: evaluation["cases"][case] for case in rows}
        content["patients"] = {cases[case]: of[case] for case in rows}
        make_folder(folder / EVALUATIONS / f"held_out_{number}" / MASKS)
        write_json(folder / EVALUATIONS / f"held_out_{number}" / EVALUATION, content)
        told = {"format": FORMAT, "cases": [_nameless(row, cases[case]) for case, row in rows.items()]}
        write_json(folder / EVALUATIONS / f"held_out_{number}" / MASKS / JSON, told)


def _numbered(numbers: dict[str, str], name: str) -> str:
    return numbers.setdefault(name, f"patient_{len(numbers) + 1}")


def _nameless(row: Row, case: str) -> Mapping[str, Any]:
    everything = asdict(row) | {"case": case, "reason": ""}
    return {name: everything[name] for name in (*TOLD, *NUMBERS)}
