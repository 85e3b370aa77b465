"""``train --folds K``: a run for each fold of the labelled cases, measured on the fold that it has not seen.

It is a comparison of one method, so it is shared, resumed and checked as any: see
:mod:`semivox.comparison.request`. What is added: the folds measured as one, and the folder that stands for
its runs when scans are predicted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from semivox.cohort import Cohort, load_cohort, split_cohort
from semivox.comparison.options import CompareOptions
from semivox.comparison.request import REQUEST, kept_request, read_request
from semivox.comparison.variants import read_methods
from semivox.errors import PartialFailure, SettingsError
from semivox.evaluation import FOREGROUND, pool_folds, read_evaluation, summarise
from semivox.evaluation.folders import FORMAT, lowest
from semivox.evaluation.result_paths import CellFolder
from semivox.files import write_json
from semivox.inference.ensemble import write_ensemble
from semivox.methods import parse_method
from semivox.methods.trust import is_file, method_sha256, refuse_unnamed
from semivox.pretrained import is_run
from semivox.runs.asked import chosen, left_to_us, method_name, settings_of
from semivox.runs.prepare import planned
from semivox.settings import assignments
from semivox.training.display import Silent
from semivox.training.options import TrainingOptions, TrainOptions
from semivox.training.run_folder import has_run

CROSS_VALIDATION = "cross_validation.json"
OF_ONE_RUN = {
    "init": "weights that another run has learned from held-out cases would not be honest",
    "watch": "each fold is measured on its own held-out cases",
    "nodes": "let each machine repeat the command: they share the folds",
}


def as_comparison(asked: TrainOptions) -> CompareOptions:
    """The comparison that trains the folds. Raises SettingsError for what a single run alone can do, and for
    a folder that holds something else."""
    for name, why in OF_ONE_RUN.items():
        if getattr(asked, name) is not None and (name != "init" or is_run(str(asked.init))):
            raise SettingsError(f"--{name} is of one run", found="--folds", remedy=f"leave it out: {why}")
    before = asked.folder / REQUEST
    if has_run(asked.folder) or (before.is_file() and not asked.resume):
        raise SettingsError(
            "this folder already holds a run" if has_run(asked.folder) else "this folder already holds runs",
            path=asked.folder,
            remedy="choose another --out, or add --resume to go on with its folds",
        )
    cohort = load_cohort(Path(asked.data), asked.labeled)
    method = _method(asked, before, cohort)
    more: dict[str, Any] = {} if asked.devices is None else {"run.devices": asked.devices}
    first = left_to_us(asked, cohort)
    if asked.init is not None:
        first["run.init"] = str(asked.init)
    given = CompareOptions(
        data=asked.data,
        out=asked.out,
        methods=method,
        reference=method,
        labeled=asked.labeled,
        seeds=asked.seed,
        folds=asked.folds,
        on=asked.on,
        **{
            **{each.name: getattr(asked, each.name) for each in fields(TrainingOptions)},
            "settings": first | assignments(asked.settings) | more,
        },
    )
    _refuse_others(given, before)
    return given


def _method(asked: TrainOptions, before: Path, cohort: Cohort) -> str:
    """As it was given; else that of the folds that are there, or what ``train`` would choose."""
    if asked.method not in (None, "auto"):
        return str(asked.method)
    if before.is_file():
        return _of_the_folds(before)
    display = asked.display or Silent()
    config, _ = settings_of(asked, cohort)
    if asked.leaves_method:
        plan = planned(asked, config, cohort, split_cohort(cohort, config.run.labeled), display)
        config, _ = chosen(asked, config, plan, cohort, display) or (config, None)
    return method_name(config)


def _of_the_folds(before: Path) -> str:
    """The method that ``before``, a ``request.json``, names; SettingsError for code that it alone names."""
    methods = kept_request(before.parent).get("methods", {})
    kept, text = next(iter(methods.items()), ("supervised", "supervised"))
    name = parse_method(text)[0]
    # the name of a variant in a file holds the file's hash
    same = is_file(name) and read_methods(text, text)[1].name == kept
    refuse_unnamed(name, before, method_sha256(name) if same else None)
    return text


def _refuse_others(given: CompareOptions, before: Path) -> None:
    if not before.is_file():
        return
    asked = [[c.variant.name, c.labeled.name, c.fold, c.seed] for c in read_request(given).cells()]
    found = kept_request(before.parent).get("cells", [])
    if found != asked:
        raise SettingsError(
            "this folder holds other runs",
            path=before.parent,
            found=f"{len(found)} runs, the first of {found[0] if found else 'nothing'}",
            expected=f"{len(asked)} runs, the first of {asked[0]}",
            remedy="repeat the command as it was, or choose another --out",
        )


def close(out: Path, cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Measure the folds as one, write ``cross_validation.json`` and the file that makes ``out`` stand for its
    runs, and return the former's content: an evaluation file, each case by the run that has not seen its
    patient. ``cells``: those of ``comparison.json``.

    Raises PartialFailure where a fold has failed.
    """
    failed = [cell for cell in cells if cell["state"] != "finished"]
    if failed:
        raise PartialFailure(
            f"{len(failed)} of {len(cells)} folds are not finished",
            path=out / failed[0]["folder"],
            found=failed[0].get("error", failed[0]["state"]),
            remedy="mend it, and repeat the command with --resume",
        )
    places = [CellFolder(out, cell["folder"], cell["fold"]) for cell in cells]
    pooled = pool_folds([read_evaluation(place.evaluation) for place in places])
    values = list(pooled["classes"])
    mean, ci95 = summarise(pooled["cases"], pooled["patients"], values)
    content = {
        "format": FORMAT,
        "mean": mean,
        "ci95": ci95,
        "worst": {key: worst for key in [*values, FOREGROUND] if (worst := lowest(pooled["cases"], key))},
        **pooled,
    }
    write_json(out / CROSS_VALIDATION, content)
    write_ensemble(out, [place.place for place in places])
    return content
