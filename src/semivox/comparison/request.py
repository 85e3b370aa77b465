"""What a comparison was asked for, checked before anything is trained, and kept in ``request.json``."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from semivox import comparison_contents as contents
from semivox.cohort import (
    Case,
    Cohort,
    Split,
    Task,
    case_identity,
    files_sha256,
    is_there,
    label_sha256,
    load_cohort,
    read_geometry,
    refuse_other_palettes,
    refuse_other_task,
    sha256_file,
    size_of,
    split_cohort,
)
from semivox.cohort.folds import cut_folds, without_patients
from semivox.comparison.cells import Cell, differences
from semivox.comparison.options import CompareOptions
from semivox.comparison.variants import ALL, Choice, read_labeled, read_methods, read_seeds
from semivox.duration import budget_seconds
from semivox.errors import DataError, SettingsError
from semivox.files import make_folder, read_json, real_path, write_json
from semivox.output_places import refuse_in_run
from semivox.settings import assignments, plain

REQUEST = "request.json"
FORMAT = 1
TEST = "test"
SAME = ("steps", "budget", "recipe", "device", "precision", "threads")
"""Options of a training that have the same name in :class:`semivox.training.config.RunSettings`."""


@dataclass(frozen=True)
class Group:
    """What the cells of one labelled set and fold have in common: the cases. ``data`` None: those of DATA."""

    labeled: Choice
    fold: str
    cohort: Cohort
    split: Split
    held_out: tuple[Case, ...]
    held_out_cohort: Cohort
    whole: bool
    """Whether DATA itself is trained on: no case had to be left out."""

    @property
    def train_labeled(self) -> str:
        """For ``train --labeled``: the set as it was given, or as many as there are."""
        as_given = self.whole and self.labeled.text != ALL
        return self.labeled.text if as_given else str(len(self.split.labeled))


@dataclass(frozen=True)
class Request:
    """Everything ``compare`` was given. ``fixed`` may not change in a folder; the lists may grow."""

    variants: tuple[Choice, ...]
    reference: Choice
    added: bool
    labeled: tuple[Choice, ...]
    seeds: tuple[int, ...]
    groups: tuple[Group, ...]
    oracle: Choice | None
    """The labelled set with every label, for the reference alone; None: not asked for, or in ``labeled``."""
    fixed: Mapping[str, Any]
    train: CompareOptions
    """As given, but for the budget in seconds, settings as a mapping, and no precision where it is auto."""

    @property
    def data(self) -> Path:
        return Path(self.train.data)

    @property
    def out(self) -> Path:
        return Path(self.train.out)

    @property
    def folds(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(group.fold for group in self.groups))

    def group(self, cell: Cell) -> Group:
        """The cases of a cell."""
        return next(g for g in self.groups if (g.labeled, g.fold) == (cell.labeled, cell.fold))

    def cells(self) -> tuple[Cell, ...]:
        """Methods x labelled sets x folds x seeds, numbered from 1 in this order."""
        grid = [
            (variant, labeled, fold, seed)
            for variant in self.variants
            for labeled in self.labeled
            for fold in self.folds
            for seed in self.seeds
        ]
        if self.oracle is not None:
            grid += [(self.reference, self.oracle, TEST, seed) for seed in self.seeds]
        return tuple(self.cell(number, *place) for number, place in enumerate(grid, start=1))

    def cell(self, number: int, variant: Choice, labeled: Choice, fold: str, seed: int) -> Cell:
        """One cell with all that was asked of it."""
        own = {"method": variant.text, "labeled": labeled.name, "fold": fold, "seed": seed}
        place = f"cells/{variant.name}/{labeled.name}/{fold}/{seed}"
        return Cell(self.out, place, fold, number, variant, labeled, seed, {**own, **self.fixed})


def read_request(given: CompareOptions) -> Request:
    """Read the lists, load the cohorts (names only) and cut the folds; nothing is written.

    Raises DataError or SettingsError for all that can be known to be wrong by now.
    """
    data, test, folds = Path(given.data), given.test, given.folds
    if (test is None) == (folds is None):
        raise SettingsError(
            "a comparison needs held-out labels of one kind",
            found="neither --test nor --folds" if test is None else "both --test and --folds",
            expected="--test DATA2, or --folds F to hold out parts of the labelled cases in turn",
        )
    if given.steps is not None and given.budget is not None:
        raise SettingsError("both steps and budget are given", remedy="give --steps or --budget, not both")
    kept = kept_request(Path(given.out)).get("methods", {})
    variants, first, added = read_methods(given.methods, given.reference, kept)
    sets, seeds = read_labeled(given.labeled), read_seeds(given.seeds)
    cohorts = [load_cohort(data, None if choice.text == ALL else choice.text) for choice in sets]
    groups: list[Group] = []
    for choice, cohort in zip(sets, cohorts, strict=True):
        if folds is not None:
            groups += _fold_groups(choice, cohort, folds)
        else:
            assert test is not None
            groups.append(_test_group(choice, cohort, Path(test)))
    oracle = _oracle(given, sets)
    if oracle is not None:
        groups.append(_test_group(oracle, load_cohort(data), Path(str(test))))
    for group in groups:
        _refuse_leaks(group)
    train = replace(
        given,
        budget=None if given.budget is None else budget_seconds(given.budget),
        settings=assignments(given.settings),
        precision=None if given.precision == "auto" else given.precision,
    )
    fixed = _fixed(train, cohorts[0], None if test is None else groups[0])
    return Request(variants, first, added, sets, seeds, tuple(groups), oracle, fixed, train)


def _oracle(given: CompareOptions, sets: Sequence[Choice]) -> Choice | None:
    """The labelled set of the oracle, where it is asked for and not among ``sets``."""
    if given.oracle and given.test is None:
        raise SettingsError(
            "an oracle needs held-out cases that are the same for every labelled set",
            found="--folds" if given.folds is not None else "no --test",
            expected="--test DATA2",
            remedy="give held-out cases with --test, or leave out --oracle",
        )
    (everything,) = read_labeled(ALL)
    return everything if given.oracle and everything not in sets else None


def _fixed(train: CompareOptions, cohort: Cohort, tested: Group | None) -> dict[str, Any]:
    """What may not change in a comparison's folder, as ``request.json`` has it; ``tested`` None: folds."""
    settings = assignments(train.settings)
    return {
        "data": str(real_path(train.data)),
        "cases of data": _digest(cohort.cases),
        "content of data": _content(cohort.cases),
        "classes of data": _classes(cohort),
        "test": None if train.test is None else str(real_path(train.test)),
        "cases of test": None if tested is None else _digest(tested.held_out),
        "content of test": None if tested is None else _content(tested.held_out),
        "classes of test": None if tested is None else _classes(tested.held_out_cohort),
        "folds": train.folds,
        **{name: getattr(train, name) for name in SAME},
        "plan": None if train.plan is None else _hash(train.plan),
        "config": None if train.config is None else _hash(train.config),
        "settings": {name: plain(settings[name]) for name in sorted(settings)},
    }


def check_kept(request: Request) -> None:
    """Raise SettingsError, naming what changed, if the folder holds a comparison of something else."""
    path = request.out / REQUEST
    if not path.exists():
        refuse_in_run(request.out)
        return
    changed = differences(read_json(path, newest=FORMAT, kind=contents.Request)["fixed"], request.fixed)
    if changed:
        raise SettingsError(
            "this folder holds a comparison that was asked for differently",
            path=request.out,
            found="; ".join(changed),
            remedy="repeat it as it was (methods, labelled sets and seeds may be added), "
            "or choose another --out",
        )


def was_of_other_cases(out: Path, cohort: Cohort) -> bool:
    """Whether the folder holds a comparison of data whose cases, roles or labels were others than now."""
    told = kept_request(out).get("fixed", {}).get("cases of data")
    return told is not None and told != _digest(cohort.cases)


def keep(request: Request) -> tuple[Cell, ...]:
    """Write the request, or add its cells to those there; returns all that were ever asked for."""
    make_folder(request.out)
    path = request.out / REQUEST
    with FileLock(str(request.out / f".{REQUEST}.lock")):
        check_kept(request)
        before = kept_request(request.out)
        methods = before.get("methods", {}) | {c.name: c.text for c in request.variants}
        sets = [*request.labeled, *([request.oracle] if request.oracle is not None else [])]
        labeled = before.get("labeled", {}) | {c.name: c.text for c in sets}
        asked = list(before.get("cells", []))
        now = ([c.variant.name, c.labeled.name, c.fold, c.seed] for c in request.cells())
        asked += [place for place in now if place not in asked]
        content = {
            "format": FORMAT,
            "fixed": request.fixed,
            "methods": methods,
            "labeled": labeled,
            "cells": asked,
        }
        if content != before:
            write_json(path, content)
    return tuple(
        request.cell(number, Choice(methods[variant], variant), Choice(labeled[name], name), fold, seed)
        for number, (variant, name, fold, seed) in enumerate(asked, start=1)
    )


def kept_request(out: Path) -> dict[str, Any]:
    """``request.json`` of a comparison's folder; empty where there is none."""
    path = out / REQUEST
    return read_json(path, newest=FORMAT, kind=contents.Request) if path.exists() else {}


def _fold_groups(choice: Choice, cohort: Cohort, folds: int) -> list[Group]:
    split = split_cohort(cohort, None if choice.text == ALL else choice.text)
    parts = cut_folds(split.labeled, folds)
    return [
        Group(choice, f"fold{i}", cohort, without_patients(split, part), part, cohort, whole=False)
        for i, part in enumerate(parts)
    ]


def _test_group(choice: Choice, cohort: Cohort, test: Path) -> Group:
    split = split_cohort(cohort, None if choice.text == ALL else choice.text)
    measured = load_cohort(test)
    same = real_path(test) == real_path(cohort.root)
    role = TEST if same else None
    cases = tuple(
        case
        for case in measured.cases
        if case.label is not None and case.role != "unlabeled" and (role is None or case.role == role)
    )
    if not cases:
        raise DataError(
            "there are no held-out labels to measure against",
            path=test,
            found=f"{len(measured.cases)} cases, none with a label" + (" and role test" if same else ""),
            expected="role=test in cases.csv for the held-out cases" if same else "cases with a label file",
            remedy="add label files, or use --folds",
        )
    refuse_other_task(Task.of(measured), Task.of(cohort), test)
    refuse_other_palettes(case.label for case in (*split.labeled, *cases) if case.label is not None)
    return Group(choice, TEST, cohort, split, cases, measured, whole=True)


def _refuse_leaks(group: Group) -> None:
    """Raise DataError where a held-out scan is one that is trained on, in whatever format. Only scans of
    equal shape are decoded for it."""
    training = [(case, _shape(case)) for case in (*group.split.labeled, *group.split.unlabeled)]
    held_out = [(case, _shape(case)) for case in group.held_out]
    shapes = {shape for _, shape in training} & {shape for _, shape in held_out} - {None}
    known = {case_identity(case): case for case, shape in held_out if shape in shapes}
    for case, shape in training:
        if shape in shapes and (other := known.get(case_identity(case))):
            raise DataError(
                "a held-out scan is also a training scan",
                path=other.images[0],
                found=f"the same content as {case.images[0]}",
                expected="scans that no model was trained on",
                remedy="leave one of them out (use=no in cases.csv), or give both the same patient"
                if group.fold != TEST
                else "leave one of them out (use=no in cases.csv)",
            )


def _shape(case: Case) -> tuple[int, ...] | None:
    """Channels and shape by the headers; None where they cannot be read, which the check will tell."""
    try:
        grids = [read_geometry(path) for path in case.images]
    except DataError:
        return None
    return (sum(grid.channels for grid in grids), *grids[0].shape)


def _sizes(case: Case) -> tuple[int, ...]:
    return tuple(size_of(path) for path in case.images if is_there(path))


def _digest(cases: Sequence[Case]) -> str:
    """The cases and how they are used, in a few digits."""
    rows = [
        (c.name, c.patient, c.annotated, c.role, _sizes(c), c.label is not None and c.label.stat().st_size)
        for c in cases
    ]
    return f"{len(cases)} cases, {hashlib.sha256(repr(rows).encode()).hexdigest()[:12]}"


def _content(cases: Sequence[Case]) -> str:
    """The images and labels, in a few digits: what was measured against a label that was edited since stands
    beside nothing new."""
    hashes = [(_image_hash(case), label_sha256(case)) for case in cases]
    return hashlib.sha256(repr(hashes).encode()).hexdigest()[:12]


def _image_hash(case: Case) -> str:
    try:
        return files_sha256(case)
    except DataError:
        return "unreadable"  # what is wrong with it is told when it is read


def _classes(cohort: Cohort) -> dict[str, Any] | None:
    """What label values mean, where somebody says so."""
    if "classes" in cohort.inferred:
        return None
    parts = cohort.regions.parts
    found = {name: list(parts[n]) if parts else n for n, name in cohort.structures.items()}
    return {**found, "ignore": cohort.ignore}


def _hash(path: str | Path) -> str:
    if not Path(path).is_file():
        raise DataError("no such file", path=path, remedy="check the path")
    return sha256_file(path)[:12]
