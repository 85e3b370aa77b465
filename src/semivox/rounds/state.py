"""How far one is, read from files alone: which scans have labels, and what lies in the folder of the rounds.

``ROUNDS/first`` is the ranking without a run; ``ROUNDS/1``, ``ROUNDS/2`` ... are rounds, each with

    folds4, folds2   ``train --folds``, the numbers less where there are fewer patients
    run              ``train`` on all labels, and in it the ranking
    masks            ``predict`` with the folds

Nothing else is remembered, so whoever removes a folder is at the step before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from semivox.cohort import Cohort, Split, label_sha256, labels_left_out, load_cohort, split_cohort
from semivox.comparison.request import was_of_other_cases
from semivox.contents import CaseEntry, Cases, EnsembleFolder
from semivox.errors import SettingsError
from semivox.evaluation import FOREGROUND, read_evaluation
from semivox.files import inside, read_json
from semivox.prediction_rows import JSON as TABLE
from semivox.prediction_rows import prediction_rows
from semivox.ranking.record import FORMAT, JSON, ForecastOfRanking, RankingContent

FIRST, RUN, RANKING, MASKS = "first", "run", "ranking", "masks"
MEASURED, ENSEMBLE, MODEL = "cross_validation.json", "ensemble.json", "model.json"
CASES = "cases.json"
FOLDS = (4, 2)
"""Of the runs whose masks are promised something, and of those that give the curve a second point."""


@dataclass(frozen=True)
class Trained:
    """A folder of ``folds``, or a run: ``learned``: the labelled cases behind it, None while it is not
    finished; ``dice``: what held-out patients have; ``stale``: it is not finished, and was begun on other
    scans or labels than there are, so that nobody can go on with it."""

    folder: Path
    folds: int | None
    learned: frozenset[str] | None
    dice: float | None = None
    stale: bool = False


@dataclass(frozen=True)
class Round:
    """``trained``: folds and the run, finished or not; ``chosen``: what its ranking names, None without one;
    ``forecast``: of the ranking; ``masks``: flag -> how many."""

    number: int
    folder: Path
    trained: tuple[Trained, ...]
    chosen: tuple[str, ...] | None
    forecast: ForecastOfRanking | None
    masks: Mapping[str, int]

    @property
    def curves(self) -> list[Path]:
        """Finished folds."""
        return [each.folder for each in self.trained if each.folds and each.learned is not None]


@dataclass(frozen=True)
class State:
    """``labeled`` and ``unlabeled`` cases, ``patients`` with a label; ``first``: what was chosen without a
    run, None where nobody asked; ``rounds`` in their order; ``unread``: labels that are there and count for
    no case, in words."""

    data: Path
    rounds_folder: Path
    labeled: frozenset[str]
    unlabeled: tuple[str, ...]
    patients: int
    first: tuple[str, ...] | None
    rounds: tuple[Round, ...]
    unread: tuple[str, ...] = ()

    @property
    def last(self) -> Round | None:
        return self.rounds[-1] if self.rounds else None


def read_state(data: Path, rounds: Path) -> State:
    """Raises DataError for a data folder that cannot be read, SettingsError where ``rounds`` is a run."""
    if (rounds / MODEL).exists():
        raise SettingsError(
            "this folder is a run",
            path=rounds,
            expected="a folder of rounds, new or not",
            remedy="give another --runs",
        )
    cohort = load_cohort(data)
    split = split_cohort(cohort, None)
    chosen = None if (ranking := _ranking(rounds / FIRST)) is None else _chosen(ranking)
    numbers = sorted(int(p.name) for p in rounds.glob("*") if p.name.isdecimal() and p.is_dir())
    return State(
        data,
        rounds,
        frozenset(case.name for case in split.labeled),
        tuple(case.name for case in split.unlabeled),
        len({case.group for case in split.labeled}),
        chosen,
        tuple(_round(number, rounds / str(number), cohort, split) for number in numbers),
        tuple(map(str, labels_left_out(cohort))),
    )


def _round(number: int, folder: Path, cohort: Cohort, split: Split) -> Round:
    folds = sorted(
        (int(count), place)
        for place in folder.glob("folds*")
        if (count := place.name.removeprefix("folds")).isdecimal()
    )
    trained = [_folds(place, count, cohort) for count, place in reversed(folds)]
    ranking = _ranking(folder / RUN / RANKING)
    flags: dict[str, int] = {}
    for row in prediction_rows(folder / MASKS / TABLE):
        flags[row["flag"]] = flags.get(row["flag"], 0) + 1
    return Round(
        number,
        folder,
        (*trained, _run(folder / RUN, split)),
        None if ranking is None else _chosen(ranking),
        None if ranking is None else ranking.get("forecast"),
        flags,
    )


def _folds(place: Path, count: int, cohort: Cohort) -> Trained:
    if not (place / MEASURED).is_file():
        return Trained(place, count, None, stale=was_of_other_cases(place, cohort))
    measured = read_evaluation(place / MEASURED)
    names = read_json(place / ENSEMBLE, kind=EnsembleFolder)["runs"]
    learned = frozenset[str]().union(*(_learned(inside(place, *Path(name).parts)) for name in names))
    return Trained(place, count, learned, measured["mean"][FOREGROUND]["dice"])


def _run(place: Path, split: Split) -> Trained:
    if (place / MODEL).is_file():
        return Trained(place, None, _learned(place))
    now: list[tuple[str, str | None]] = [(case.name, label_sha256(case)) for case in split.labeled]
    now += [(case.name, None) for case in split.unlabeled]
    begun = (place / CASES).is_file()
    stale = begun and [(row["case"], row.get("label_sha256")) for row in _rows(place)] != now
    return Trained(place, None, None, stale=stale)


def _rows(run: Path) -> list[CaseEntry]:
    return read_json(run / CASES, kind=Cases)["cases"]


def _learned(run: Path) -> frozenset[str]:
    return frozenset(row["case"] for row in _rows(run) if row["role"] == "labeled")


def _ranking(folder: Path) -> RankingContent | None:
    if not (folder / JSON).is_file():
        return None
    content: RankingContent = read_json(folder / JSON, newest=FORMAT, kind=RankingContent)  # type: ignore[assignment]
    return content


def _chosen(ranking: RankingContent) -> tuple[str, ...]:
    rows = [row for row in ranking["cases"] if row["chosen"] is not None]
    return tuple(row["case"] for row in sorted(rows, key=lambda row: row["chosen"] or 0))
