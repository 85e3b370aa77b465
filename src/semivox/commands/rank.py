"""``semivox rank``: which unlabelled scans to annotate next."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from semivox.cohort import LabeledSet
from semivox.heavy_imports import heavy_imports
from semivox.options import Command, Flag, Json, Positional, from_options
from semivox.ranking.result import Ranking, render
from semivox.terminal import ProgressBar, show

if TYPE_CHECKING:
    from semivox.cohort import Case, Cohort
    from semivox.inference import Model
    from semivox.ranking.labeled import Labeled
    from semivox.ranking.measure import Measured
    from semivox.ranking.ranked_scan import RankedScan
    from semivox.ranking.slices import SliceScores

TOP = 8
"""Scans that are chosen if nobody says how many."""
SHEET, PAGE = "contact_sheet.png", "ranking.html"


@dataclass(frozen=True)
class RankOptions:
    """What to rank, with which model."""

    run: Annotated[str | Path, Positional("RUN", url="read")]
    """Folder that ``train`` wrote. Alone, without DATA: a data folder, of which the first scans to label are
    chosen, typical ones that together cover all."""
    data: Annotated[str | Path | None, Positional("DATA", data=True, url="read")] = None
    """A data folder, such as the run's own. Its label files are not opened (but where plain folders have no
    ``dataset.json``)."""
    top: Annotated[int | None, Flag("N", default="8, or all")] = None
    """How many scans to choose: of different patients and, unless by lot, with high scores and unlike each
    other."""
    slices: Annotated[int | None, Flag("N")] = None
    """Name N slices to draw in place of whole scans: a few in each chosen one, without --top three."""
    score: Annotated[
        Literal["random", "stratified", "combined", "entropy", "disagreement", "distance"], Flag()
    ] = "random"
    """What makes a scan worth a label. Lots: random, among scans in which something is found, than which no
    score was shown to choose better; stratified, each structure in turn by its noised entropy. Or entropy of
    the prediction, disagreement of the run's networks, distance from the labelled scans; combined: the mean
    of its ranks under those that can be measured."""
    seed: Annotated[int, Flag("S")] = 0
    """Of the lots."""
    curve: Annotated[str | Path | Sequence[str | Path], Flag("FOLDER", repeat=True)] = ()
    """A folder of ``train --folds``; given for two or more of different size, it is told what the labels
    of the chosen scans will bring."""
    labeled: Annotated[LabeledSet | None, Flag("SET", default="the run's cases")] = None
    """Which cases of DATA are labelled already, as for ``train``."""
    out: Annotated[
        str | Path | None,
        Flag("DIR", default="RUN/ranking; of a data folder alone it must be given", writes="folder"),
    ] = None
    """Folder for ``ranking.csv``, ``ranking.json``, ``next_labeled.txt`` and, with a run, ``ranking.html``
    and ``contact_sheet.png``."""
    device: Annotated[str, Flag("D")] = "auto"
    """cpu, cuda, or auto: cuda where there is one."""
    threads: Annotated[int | None, Flag("N", default="all")] = None
    """CPU threads."""
    on: Annotated[str | None, Flag("ENGINE", default="local")] = None
    """Where scans are predicted: local, one after the other here; local:N, by N processes, each with its
    share of the cores; ray[:ADDRESS] or slurm[:PARTITION], on a cluster."""
    progress: Callable[[int, int], None] | None = None
    """Called with (scans done, scans) after each scan."""


@from_options(RankOptions)
def rank(options: RankOptions) -> Ranking:
    """Order the unlabelled scans of a data folder by how much a label of each would help, and choose some.

    Returns
    -------
    The ranking; ``failed`` lists scans that could not be read or do not fit the model.

    Raises
    ------
    DataError
        No model in ``run``; no unlabelled scan in ``data``, other channels than the model's, or no scan that
        can be predicted; with ``slices`` labels in ``out`` that somebody has drawn in.
    SettingsError
        Unknown score or device, a score that cannot be measured, or more scans asked for than there are; of a
        data folder alone no ``out``, slices, or a curve.
    """
    # Here, not above: help must not import torch.
    with heavy_imports():
        from semivox.cohort import Task, refuse_other_task
        from semivox.engines.choose import known_engine
        from semivox.files import scratch
        from semivox.forecast import foretell, read_points
        from semivox.inference.model import load_model
        from semivox.ranking.candidates import cohort_of, labeled_in, refuse_none, unlabeled_in
        from semivox.ranking.rank import check_score, rank_scans, what_choosing_is_worth
        from semivox.ranking.record import write_ranking
        from semivox.ranking.slices import slices_to_draw
        from semivox.remote import refuse_in_copy

    known_engine(options.on)
    if options.data is None:
        return _first(options)
    run, data = Path(options.run), Path(options.data)
    if options.out is None:
        refuse_in_copy(run, "give --out DIR")
    out = run / "ranking" if options.out is None else Path(options.out)
    labeled, score = options.labeled, options.score
    points, remarks = read_points(options.curve)
    model = load_model(run, device=options.device, weights="mean", threads=options.threads)
    cohort, failed = cohort_of(data, labeled)
    refuse_other_task(Task.of(cohort), model.task, data, measured=False)
    known = labeled_in(cohort, labeled, run)
    scans = unlabeled_in(cohort, known, failed, options.top)
    check_score(score, networks=len(model.networks), labeled=len(known.cases))
    top = _how_many(options, out, model, cohort, len(scans))
    with scratch(out) as folder:
        shots = {case.name: folder / f"{i}.npz" for i, case in enumerate(scans)}
        readable = [case for case in (*known.cases, *scans) if case.name not in failed]
        measured, scores = _seen(options, out, model, readable, shots, failed)
        unlabeled = {case.name: measured[case.name] for case in scans if case.name in measured}
        reference = {case.name: measured[case.name] for case in known.cases if case.name in measured}
        refuse_none(data, unlabeled, failed)
        rows = rank_scans(
            unlabeled, reference, {case.name: case.group for case in scans}, known.patients, model.structures,
            kinds=len(model.classes) + 1, score=score, top=top, seed=options.seed,
        )  # fmt: skip
        expected, said = foretell(points, len(known.patients), _new_patients(rows, known))
        chosen, more = slices_to_draw(out, options.slices, rows, scores, cohort)
        worth = what_choosing_is_worth(score)
        notes = (*known.notes, *_notes(model, cohort, known, len(reference)), *remarks, *said, *more, worth)
        content = {
            **_head(run, data, model, score),
            "notes": [*notes],
            "failed": failed,
            "labeled": [case.name for case in known.cases],
            "slices": [asdict(each) for each in chosen],
            "forecast": expected and expected.to_json(),
        }
        names, written = tuple(content["labeled"]), write_ranking(out, content, rows)
        ranking = Ranking(out, tuple(rows), names, failed, notes, written, tuple(chosen))
        _draw(ranking, shots, model.classes, {case.name: case for case in scans})
    return ranking


def _seen(
    options: RankOptions,
    out: Path,
    model: Model,
    cases: Sequence[Case],
    shots: Mapping[str, Path],
    failed: dict[str, str],
) -> tuple[dict[str, Measured], dict[str, SliceScores]]:
    """What is measured of each scan, and of its slices. Scans that fail are added to ``failed``."""
    from semivox.elsewhere import seen_elsewhere, seen_here
    from semivox.engines.choose import is_here

    if options.on is None or is_here(options.on):
        seen = seen_here(model, cases, shots, options.progress)
    else:
        where, how = (options.on, Path(options.run)), (options.device, options.threads)
        seen = seen_elsewhere(*where, *how, out / "engine", cases, shots, options.progress)
    failed |= {name: each.fault for name, each in seen.items() if each.measured is None}
    return (
        {name: each.measured for name, each in seen.items() if each.measured is not None},
        {name: each.slices for name, each in seen.items() if each.slices is not None},
    )


def _first(options: RankOptions) -> Ranking:
    """The first scans to label of a data folder, without a run."""
    from semivox.errors import SettingsError
    from semivox.ranking.without_run import rank_without_run

    data = Path(options.run)
    for given, what in ((options.slices, "slices need a run"), (options.curve or None, "a curve needs runs")):
        if given is not None:
            raise SettingsError(what, path=data, remedy="train first, or leave it out")
    if options.out is None:
        raise SettingsError(
            "without a run there is no folder for the ranking", path=data, remedy="give --out DIR"
        )
    return rank_without_run(data, Path(options.out), options.top, TOP, options.labeled, options.progress)


def _head(run: Path, data: Path, model: Model, score: str) -> dict[str, Any]:
    return {
        "model_id": model.model_id,
        "method": model.card["method"],
        "run": str(run),
        "data": str(data),
        "score": score,
        "networks": list(model.card["networks"]),
    }


def _new_patients(rows: Sequence[RankedScan], known: Labeled) -> int:
    """How many the chosen scans are of, of whom nothing is labelled yet."""
    return len({row.patient for row in rows if row.chosen is not None} - known.patients)


def _how_many(options: RankOptions, out: Path, model: Model, cohort: Cohort, available: int) -> int:
    """How many scans are chosen."""
    from semivox.errors import SettingsError
    from semivox.ranking.slices import refuse_drawn, scans_for

    if options.slices is None:
        return TOP if options.top is None else options.top
    if options.slices < 1 or model.plan.dims != 3:
        found = f"--slices {options.slices}" if options.slices < 1 else f"scans in {model.plan.dims}D"
        raise SettingsError("no slices to name", found=found, expected="1 or more, of scans in 3D")
    if "classes" in cohort.inferred:
        raise SettingsError(
            "the value of slices that are not drawn would be taken for a class",
            path=cohort.root,
            found="a folder whose labels alone tell the classes",
            expected='a dataset.json, which can declare "ignore"',
            remedy="semivox import folders makes such a folder, or leave out --slices",
        )
    refuse_drawn(out)
    return scans_for(options.slices, available) if options.top is None else options.top


def _notes(model: Model, cohort: Cohort, known: Labeled, reference: int) -> list[str]:
    """What a reader of the ranking has to know; ``reference``: labelled scans to be far from."""
    from semivox.cohort import Task, channels_differ

    notes = [str(fault) for fault in cohort.left_out]
    if len(model.networks) < 2:
        notes.append("the model has one network only: disagreement is left out")
    if not reference:
        notes.append(
            "no labelled scan of the run was found among these: the distance from them is left out, and "
            "next_labeled.txt names the chosen scans alone"
        )
    elif known.absent:
        absent = f"{len(known.absent)} labelled scans of the run are not among these"
        notes.append(f"{absent}: distances are to the other {reference}")
    if channels_differ(Task.of(cohort), model.task):
        found, expected = ", ".join(cohort.channels), ", ".join(model.channels)
        notes.append(f"the channels are called {found}, in the run {expected}")
    return notes


def _draw(
    ranking: Ranking, shots: Mapping[str, Path], classes: Mapping[int, str], cases: Mapping[str, Case]
) -> None:
    from semivox.ranking.result import facts_of
    from semivox.report.contact_sheet import MOST, Card, Snapshot, contact_sheet
    from semivox.report.ranking_page import ChosenScan, ranking_page

    rows = ranking.chosen
    cards = [Card(Snapshot.load(shots[row.case]), f"{row.chosen}  {row.case}", row.reason) for row in rows]
    title = f"To annotate next: {len(cards)} of {len(ranking.scans)} unlabelled scans"
    contact_sheet(cards, ranking.out / SHEET, title=title, classes=classes)
    shown = [
        ChosenScan(card, cases[row.case].images, 3 if card.snapshot.where else 2, facts_of(row))
        for row, card in zip(rows, cards, strict=True)
    ][:MOST]
    ranking_page(
        shown,
        ranking.out / PAGE,
        title=title,
        lead=f"In the order of the choice, by the run {ranking.content['run']}.",
        classes=classes,
        expected=ranking.expected,
        notes=[
            *ranking.expected,
            *ranking.notes,
            *(f"failed: {case}: {reason}" for case, reason in ranking.failed.items()),
        ],
        next_steps=[
            ("correct masks in a browser", ranking.annotate_command),
            ("then train on", ranking.train_command),
        ],
    )


@dataclass(frozen=True)
class RankArguments(RankOptions, Json):
    """What the command line takes."""


def main(given: RankArguments) -> int:
    """Rank, and show the table; 3 if scans could not be read."""
    with ProgressBar("rank", quiet=given.json) as bar:
        ranking = rank.of(replace(given, progress=bar))
    show(dict(ranking.content) if given.json else render(ranking))
    return 3 if ranking.failed else 0


COMMAND = Command(
    RankArguments,
    main,
    (
        "semivox rank run my_scans --top 4",
        "semivox rank run my_scans --slices 24",
        "semivox rank my_scans --top 8 --out first",
    ),
)
