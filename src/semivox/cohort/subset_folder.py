"""A data folder without scans: it names some of another folder's cases and points to their files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from semivox.cohort.case import Case, Cohort
from semivox.cohort.dataset_json import label_entries
from semivox.cohort.folder import load_cohort
from semivox.cohort.formats import stem_of
from semivox.errors import DataError
from semivox.files import write_text

COLUMNS = ("case", "patient", "annotated")


def write_subset_folder(cohort: Cohort, cases: Sequence[Case], folder: Path) -> Cohort:
    """Write ``folder`` with ``dataset.json`` (a list of pairs, as MSD has it) and ``cases.csv``, and load it.

    Its cases are ``cases``, in their order, all in use; one whose ``label`` is None is unlabelled there. The
    files are named by absolute paths: nothing is copied or linked. What is up to date is left alone, so
    several processes may call this at once. Raises DataError where a case's files cannot be named so.
    """
    described = {
        "channel_names": {str(i): name for i, name in enumerate(cohort.channels)},
        **label_entries(cohort.classes, cohort.regions, cohort.ignore),
        "file_ending": cohort.file_ending,
        "may_be_empty": list(cohort.may_be_empty),
        "spacing_known": cohort.spacing_known,
        "codes": dict(cohort.codes),
        "colours": dict(cohort.colours),
        "numbered": cohort.naming.numbered,
        "inferred": sorted(cohort.inferred),
        "training": [_pair(case) for case in cases],
    }
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([case.name, case.group, _annotated(cohort, case)] for case in cases)
    _write(folder / "cases.csv", table.getvalue())  # first: without dataset.json it is no data folder yet
    _write(folder / "dataset.json", json.dumps(described, indent=1, ensure_ascii=False) + "\n")
    loaded = load_cohort(folder)
    for wanted, found in zip(cases, loaded.cases, strict=False):
        if _facts(wanted) != _facts(found):
            raise DataError(
                f"the files of case {wanted.name!r} cannot be listed",
                path=folder,
                found=", ".join(map(str, found.images)),
                expected=", ".join(map(str, wanted.images)),
                remedy="name them CASE_0000, CASE_0001, ... beside each other",
            )
    return loaded


def _pair(case: Case) -> dict[str, str] | str:
    """Old nnU-Net's way: CASE.EXT stands for CASE_0000.EXT, CASE_0001.EXT, ... where there is no CASE.EXT."""
    first = case.images[0].absolute()
    image = str(first.with_name(case.name + first.name[len(stem_of(first)) :]))
    return image if case.label is None else {"image": image, "label": str(case.label.absolute())}


def _annotated(cohort: Cohort, case: Case) -> str:
    return "" if case.annotated is None else ";".join(map(str, cohort.structures_of(case))) or ";"


def _facts(case: Case) -> tuple[object, ...]:
    label = None if case.label is None else case.label.absolute()
    images = [path.absolute() for path in case.images]
    return case.name, images, label, case.group, case.annotated


def _write(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
