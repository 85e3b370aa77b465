"""Which reference label belongs to which predicted mask. Only names, headers and small texts are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from semivox.cohort import (
    Declared,
    Regions,
    ending_of,
    in_order,
    labels_wanted,
    load_cohort,
    named_by_segments,
    read_cases_csv,
    read_dataset_json,
    read_geometry,
    read_label,
    read_segments,
    stem_of,
)
from semivox.cohort.regions import NONE
from semivox.contents import Outcomes
from semivox.errors import DataError
from semivox.files import real_path
from semivox.prediction_rows import JSON, prediction_rows


@dataclass(frozen=True)
class Pair:
    """One case. ``prediction`` is None where there is no mask; ``annotated`` None means all classes."""

    case: str
    reference: Path
    prediction: Path | None
    patient: str
    annotated: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Pairs:
    """All references in cohort order with their predictions, and what the values mean. ``classes``: of each
    label value, or where there are ``regions`` of the number of each, the name.

    ``unmatched``: predictions without a reference. ``refused``: cases whose prediction the model refused or
    failed, with the reason.
    """

    pairs: tuple[Pair, ...]
    classes: Mapping[int, str]
    regions: Regions
    ignore: int | None
    spacing_known: bool
    unmatched: tuple[str, ...]
    refused: Mapping[str, str]

    @property
    def missing(self) -> tuple[str, ...]:
        """Cases with a reference and no prediction."""
        return tuple(pair.case for pair in self.pairs if pair.prediction is None)


def match_folders(predictions: Path, labels: Path) -> Pairs:
    """Pair ``predictions/CASE.ext`` with the references in ``labels``; file endings may differ.

    ``labels`` is a data folder, or a folder of label files. What their values mean stands in ``dataset.json``
    in it or, if it (or what the link leads to) is called ``labels...``, beside it (``cases.csv`` likewise),
    else in that of the predictions; without any, every value of the references is a class. The labels of
    plain folders, too, mean what the predictions say. Cases marked ``use=no`` or ``unlabeled`` are left out.

    Raises
    ------
    DataError
        A folder is missing or holds no label, a case has two files in one of them, ``cases.csv`` names none
        of the labels, or a class has one value in the references and another in the predictions.
    """
    masks = label_files(predictions)
    if not masks:
        raise DataError(
            "holds no mask", path=predictions, expected="CASE.nii.gz or another image format",
            remedy="give the folder that predict wrote to",
        )  # fmt: skip
    described = predictions / "dataset.json"
    of_predictions = read_dataset_json(described) if described.is_file() else None
    spacing_known = of_predictions is None or of_predictions.spacing_known
    files = {} if _is_data_folder(labels) else label_files(labels)
    remedy = "correct 'use' and 'role' in cases.csv"
    if files:
        meaning, pairs = _plain_folder(labels, files, masks, of_predictions)
    else:
        cohort = load_cohort(labels)
        remedy = labels_wanted(cohort)
        meaning = _Meaning(cohort.structures, cohort.regions, cohort.ignore, cohort.spacing_known)
        if of_predictions and "classes" in cohort.inferred:  # a value that it does not declare is refused
            meaning = replace(
                meaning,
                classes=of_predictions.structures,
                regions=of_predictions.regions,
                ignore=of_predictions.ignore,
            )
        pairs = [
            Pair(case.name, case.label, masks.get(case.name), case.group, case.annotated)
            for case in cohort.cases
            if case.label is not None and case.role != "unlabeled"
        ]
    if pairs and not meaning.classes:  # plain folders whose labels are all held out
        meaning = replace(meaning, classes=_values_of({pair.case: pair.reference for pair in pairs}))
    if of_predictions is not None:
        _refuse_other_values(described, of_predictions, meaning)
    if not pairs:
        raise DataError("holds no reference label", path=labels, expected="label files", remedy=remedy)
    names = {pair.case for pair in pairs}
    return Pairs(
        tuple(pairs),
        meaning.classes,
        meaning.regions,
        meaning.ignore,
        spacing_known and meaning.spacing_known and all(map(_tells_spacing, pairs)),
        tuple(sorted(set(masks) - names)),
        {case: why for case, why in _refusals(predictions).items() if case in names},
    )


def _refuse_other_values(described: Path, predictions: Declared, references: _Meaning) -> None:
    """A class of one name has one meaning; names that only one side has contradict nothing."""
    ours = _made_of(predictions.structures, predictions.regions)
    theirs = _made_of(references.classes, references.regions)
    if other := [name for name in ours if name in theirs and ours[name] != theirs[name]]:
        raise DataError(
            "the predictions call other values by the references' names",
            path=described,
            found=", ".join(f"{name} {_numbers(ours[name])}" for name in other),
            expected=", ".join(f"{name} {_numbers(theirs[name])}" for name in other),
            remedy="give the masks the references' values, or correct the dataset.json that is wrong",
        )


def _made_of(structures: Mapping[int, str], regions: Regions) -> dict[str, tuple[int, ...]]:
    return {name: regions.parts[n] if regions else (n,) for n, name in structures.items()}


def _numbers(values: tuple[int, ...]) -> str:
    return " + ".join(map(str, values))


def _tells_spacing(pair: Pair) -> bool:
    """Whether the reference's header or, since they lie on one grid, the prediction's tells the spacing."""
    known = []
    for path in (pair.reference, pair.prediction):
        try:
            known.append(path is not None and read_geometry(path, label=True).spacing_status == "known")
        except DataError:  # named when its voxels are read
            return True
    return any(known)


def _is_data_folder(folder: Path) -> bool:
    """Whether its labels lie in a folder of their own, whatever pictures lie beside that."""
    return any(
        (folder / images).is_dir() and (folder / labels).is_dir()
        for images, labels in (("imagesTr", "labelsTr"), ("images", "labels"))
    )


def label_files(folder: Path) -> dict[str, Path]:
    """Case name -> file, sorted by name, of the images that lie in ``folder`` itself."""
    if not folder.is_dir():
        raise DataError("no such folder", path=folder, remedy="give an existing folder")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or ending_of(path) is None or not path.is_file():
            continue
        case = stem_of(path)
        if case in files:
            raise DataError(
                f"case {case!r} has two files",
                path=folder,
                found=f"{files[case].name} and {path.name}",
                expected="one file a case",
                remedy="remove one of them",
            )
        files[case] = path
    return files


@dataclass(frozen=True)
class _Meaning:
    """What label values mean, and whether distances are known."""

    classes: Mapping[int, str]
    regions: Regions
    ignore: int | None
    spacing_known: bool


def _plain_folder(
    labels: Path, files: Mapping[str, Path], masks: Mapping[str, Path], of_predictions: Declared | None
) -> tuple[_Meaning, list[Pair]]:
    named = [path for path in (labels.absolute(), real_path(labels)) if path.name.startswith("labels")]
    places = [labels, *(path.parent for path in named)]
    described = next((p / "dataset.json" for p in places if (p / "dataset.json").is_file()), None)
    declared = read_dataset_json(described) if described else of_predictions
    meaning = (
        _Meaning(_values_of(files), NONE, None, True)
        if declared is None
        else _Meaning(declared.structures, declared.regions, declared.ignore, declared.spacing_known)
    )
    table = next((p / "cases.csv" for p in places if (p / "cases.csv").is_file()), None)
    listed = read_cases_csv(table, meaning.classes, meaning.regions) if table else ()
    if listed and not any(row.case in files for row in listed):
        raise DataError(
            "cases.csv names none of the labels, so patients and use of the cases would be lost",
            path=table,
            found=listed[0].case,
            expected=f"names such as {next(iter(files))}",
            remedy="correct the names, or move the table away if it is of other cases",
        )
    rows = in_order(listed, files)
    pairs = [
        Pair(row.case, files[row.case], masks.get(row.case), row.patient, row.annotated)
        for row in rows
        if row.role != "unlabeled"
    ]
    return meaning, pairs


def _values_of(files: Mapping[str, Path]) -> dict[int, str]:
    """Every value but 0 of the references, for folders that say nowhere which classes there are."""
    values = {int(v) for path in files.values() for v in np.unique(read_label(path).array)} - {0}
    if not values:
        raise DataError(
            "the references hold nothing but background and there is no dataset.json",
            path=next(iter(files.values())).parent,
            remedy='write a dataset.json with "labels" beside them',
        )
    named = named_by_segments((path, read_segments(path)) for path in files.values())
    return {value: named[value].name if value in named else f"class_{value}" for value in sorted(values)}


def _refusals(predictions: Path) -> dict[str, str]:
    refused: dict[str, str] = {}
    for row in prediction_rows(predictions / JSON, Outcomes):
        if row.get("flag") == "refuse" or row.get("status") in ("failed", "refuse"):
            refused[row["case"]] = row.get("reason") or "no reason given"
    return refused
