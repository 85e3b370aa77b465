"""The masks of labelled scans that a run has not learned from, with what they were found to be worth.

They lie in the run folder since somebody measured it: ``train --folds`` and ``compare`` measure each run on
its fold, ``report RUN --test DATA`` on other scans.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from semivox.contents import Cases
from semivox.errors import DataError
from semivox.evaluation import FOREGROUND, case_value, read_evaluation
from semivox.evaluation.result_paths import EVALUATION, EVALUATIONS, MASKS
from semivox.files import read_json
from semivox.inference import Predictor
from semivox.inference.ensemble import members_of
from semivox.inference.promise import HeldOutMask
from semivox.inference.record import JSON, Row, read_rows

CASES = "cases.json"


def held_out_masks(
    runs: Iterable[str | Path], model: Predictor, folder: str | Path | None = None
) -> tuple[HeldOutMask, ...]:
    """What the promises of ``model`` are calibrated on.

    Parameters
    ----------
    runs
        Run folders, or one that stands for several, as the model was loaded from.
    model
        Masks of others, and of scans that a run has learned the labels of, do not count.
    folder
        Masks of labelled scans that the same runs have predicted together, and ``evaluation.json``, in place
        of what the runs hold.

    Raises
    ------
    DataError
        A record that cannot be read; a ``folder`` without a mask that counts.
    """
    members = members_of(runs)
    if folder is None:
        own = {(run["model_id"], run["weights"]) for run in model.runs}
        return tuple(
            mask
            for run in members
            for place in sorted((run / EVALUATIONS).glob("*"))
            if (place / EVALUATION).is_file() and (place / MASKS / JSON).is_file()
            for mask in _masks(place / MASKS, place / EVALUATION, own, _learned([run]))
        )
    folder = Path(folder)
    found = _masks(folder, folder / EVALUATION, {(model.model_id, model.weights)}, _learned(members))
    if not found:
        raise DataError(
            "holds no mask that tells what others are worth",
            path=folder,
            expected="masks of labelled scans that these runs have predicted and not learned from, measured",
            remedy="semivox predict with these runs, then semivox evaluate",
        )
    return found


def _learned(runs: Iterable[Path]) -> set[str]:
    """Identities of the scans whose labels any of the runs has learned from."""
    rows = [
        row
        for run in runs
        if (run / CASES).is_file()
        for row in read_json(run / CASES, kind=Cases)["cases"]
        if row["role"] == "labeled"
    ]
    return {digest for row in rows for key in ("sha256", "files_sha256") if (digest := row.get(key))}


def _masks(
    folder: Path, table: Path, made_by: Collection[tuple[str, str]], learned: set[str]
) -> tuple[HeldOutMask, ...]:
    evaluation = read_evaluation(table)
    patients = evaluation.get("patients", {})
    found = []
    for row in read_rows(folder / JSON):
        scores = evaluation["cases"].get(row.case)
        if scores is None or not row.agreement or (row.model_id, row.weights) not in made_by:
            continue
        if {row.input_sha256, row.input_files_sha256} & learned:
            continue
        keys = [*row.agreement[next(iter(row.agreement))]]
        dice = {key: case_value(scores, "dice", key) for key in keys if key == FOREGROUND or key in scores}
        found.append(
            HeldOutMask(
                case=row.case,
                patient=patients.get(row.case) or row.case,
                model_id=row.model_id,
                scan=row.input_sha256,
                agreement=row.agreement,
                dice={key: value for key, value in dice.items() if value == value},
                volume_ml={key: ml for key, ml in row.volume_ml.items() if ml is not None},
                reference_ml=_reference_ml(row, scores),
                appearance=row.appearance,
            )
        )
    return tuple(found)


def _reference_ml(row: Row, scores: dict[str, dict[str, float | None]]) -> dict[str, float]:
    """The prediction's millilitres less the error that was found."""
    return {
        key: max(0.0, ml - error)
        for key, ml in row.volume_ml.items()
        if ml is not None and (error := scores.get(key, {}).get("volume_error_ml")) is not None
    }
