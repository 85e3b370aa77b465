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
from semivox.evaluation.result_paths import EVALUATION, EVALUATIONS, MASKS, measured
from semivox.files import make_folder, write_json
from semivox.inference import learned_by
from semivox.inference.record import FORMAT, JSON, Row, read_rows

TOLD = ("case", "status", "flag", "reason", "model_id", "weights", "input_sha256", "input_files_sha256")
"""Of a row, beside the numbers of the mask; the hashes tell a scan to nobody who does not have it."""
NUMBERS = ("volume_ml", "agreement", "appearance")
KEPT = ("format", "classes", "regions", "mean", "ci95")
"""Of an evaluation, beside its cases and patients."""


def write_evidence(run: Path, folder: Path) -> None:
    """Write the run's evaluations into ``folder``: their cases are numbered, and patients through all. Scans
    that the run has learned from are left out: they tell nothing, and no ``cases.json`` is there to say so.

    Raises DataError for a record that cannot be read.
    """
    learned, patients = set(learned_by(run)), dict[str, str]()
    for number, place in enumerate(measured(run), 1):
        evaluation = read_evaluation(place / EVALUATION)
        names = evaluation.get("patients", {})
        content: dict[str, Any] = {name: evaluation[name] for name in KEPT if name in evaluation}
        content |= {"cases": {}, "patients": {}}
        rows: list[Mapping[str, Any]] = []
        for row in sorted(read_rows(place / MASKS / JSON), key=lambda row: row.case):
            if row.case not in evaluation["cases"] or {row.input_sha256, row.input_files_sha256} & learned:
                continue
            case, patient = f"case_{len(rows) + 1}", names.get(row.case) or row.case
            content["cases"][case] = evaluation["cases"][row.case]
            content["patients"][case] = patients.setdefault(patient, f"patient_{len(patients) + 1}")
            rows.append(_nameless(row, case))
        out = folder / EVALUATIONS / f"held_out_{number}"
        make_folder(out / MASKS)
        write_json(out / EVALUATION, content)
        write_json(out / MASKS / JSON, {"format": FORMAT, "cases": rows})


def _nameless(row: Row, case: str) -> Mapping[str, Any]:
    everything = asdict(row) | {"case": case, "reason": ""}
    return {name: everything[name] for name in (*TOLD, *NUMBERS)}
