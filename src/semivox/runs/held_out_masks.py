"""The masks of labelled scans that a run has not learned from, with what they were found to be worth.

They lie in the run folder since somebody measured it: ``train --folds`` and ``compare`` measure each run on
its fold, ``report RUN --test DATA`` on other scans.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from statistics import fmean

from semivox.errors import DataError
from semivox.evaluation import FOREGROUND, case_value, read_evaluation
from semivox.evaluation.result_paths import EVALUATION, MASKS, measured
from semivox.inference import Predictor, learned_by
from semivox.inference.agreement import Numbers
from semivox.inference.ensemble import members_of
from semivox.inference.promise import HeldOutMask
from semivox.inference.record import JSON, Row, read_rows

Scores = Mapping[str, Mapping[str, float | None]]
"""Structure -> metrics, of one case."""


def held_out_masks(
    runs: Iterable[str | Path],
    model: Predictor,
    folder: str | Path | None = None,
    *,
    but: str | None = None,
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
    but
        The evaluation whose masks do not count: those that are promised something tell nothing of themselves.

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
            for place in measured(run)
            if place.name != but
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
    """Identities of the scans whose labels any of the runs, or one that it began with, has learned from."""
    return {digest for run in runs for digest in learned_by(run)}


def _masks(
    folder: Path, table: Path, made_by: Collection[tuple[str, str]], learned: set[str]
) -> tuple[HeldOutMask, ...]:
    evaluation = read_evaluation(table)
    patients = evaluation.get("patients", {})
    found = []
    for row in read_rows(folder / JSON):
        scores = evaluation["cases"].get(row.case)
        if not scores or not row.agreement or (row.model_id, row.weights) not in made_by:
            continue
        if {row.input_sha256, row.input_files_sha256} & learned:
            continue
        agreement = {kind: _of_measured(numbers, scores) for kind, numbers in row.agreement.items()}
        keys = [*agreement[next(iter(agreement))]]
        dice = {key: case_value(scores, "dice", key) for key in keys if key == FOREGROUND or key in scores}
        volumes = _volumes(row, scores)
        found.append(
            HeldOutMask(
                case=row.case,
                patient=patients.get(row.case) or row.case,
                model_id=row.model_id,
                scan=row.input_sha256,
                agreement=agreement,
                dice={key: value for key, value in dice.items() if value == value},
                volume_ml={key: found for key, (found, _) in volumes.items()},
                reference_ml={key: true for key, (_, true) in volumes.items()},
                appearance=row.appearance,
            )
        )
    return tuple(found)


def _of_measured(numbers: Numbers, scores: Scores) -> Numbers:
    """The agreement of the structures that are annotated, and its mean over them, as the Dice is theirs."""
    known = {key: value for key, value in numbers.items() if key in scores}
    return {**known, FOREGROUND: fmean(known.values())} if known else numbers


def _volumes(row: Row, scores: Scores) -> dict[str, tuple[float, float]]:
    """Structure -> millilitres of the mask and of the reference, both where the reference tells anything: of
    a label that is drawn in a few slices that is less than the mask's volume."""
    found = {}
    for key, ml in row.volume_ml.items():
        error, share = (scores.get(key, {}).get(name) for name in ("volume_error_ml", "volume_error_rel"))
        if ml is None or error is None:
            continue
        true = error / share if share else 0.0 if error else ml
        if math.isfinite(true):
            found[key] = (true + error, true)
    return found
