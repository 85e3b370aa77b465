"""``semivox loop``: how far drawing and training are, and what comes next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from semivox.duration import budget_seconds
from semivox.options import Command, Flag, Json, Positional, from_options
from semivox.terminal import line, show

if TYPE_CHECKING:
    from semivox.rounds import Round, State, Step

ROUNDS, BUDGET, TOP = "rounds", "1h", 8


@dataclass(frozen=True)
class LoopOptions:
    """Which scans, and where the rounds lie."""

    data: Annotated[str | Path, Positional("DATA", data=True)]
    """A data folder, of which some scans have labels or none."""
    runs: Annotated[str | Path, Flag("FOLDER")] = ROUNDS
    """Where the rounds of training lie, or will: ``first``, then ``1``, ``2`` ... with what the printed
    commands leave there."""
    top: Annotated[int, Flag("N")] = TOP
    """How many scans a round draws."""
    budget: Annotated[str | float, Flag("T")] = BUDGET
    """How long each training takes, such as 30m: the printed commands have it so."""


@dataclass(frozen=True)
class Looked:
    """``steps``: what comes next, and what may be done besides."""

    state: State
    steps: tuple[Step, ...]


@from_options(LoopOptions)
def loop(options: LoopOptions) -> Looked:
    """Tell from the files alone how far drawing and training are, and which commands come next.

    Nothing is run and nothing is written: the same files give the same answer, whoever made them.

    Raises
    ------
    DataError
        ``data`` is no data folder, or what lies in ``runs`` cannot be read.
    SettingsError
        ``runs`` is a run, ``top`` is not positive, or ``budget`` no length of time.
    """
    from semivox.errors import SettingsError
    from semivox.rounds import read_state, steps_of

    if options.top < 1:
        raise SettingsError("no scan to draw", found=f"--top {options.top}", expected="1 or more")
    budget_seconds(options.budget)
    state = read_state(Path(options.data), Path(options.runs))
    return Looked(state, steps_of(state, top=options.top, budget=str(options.budget)))


def to_json(looked: Looked) -> dict[str, Any]:
    """State and steps for programs."""
    state = looked.state
    return {
        "data": str(state.data),
        "runs": str(state.rounds_folder),
        "labeled": sorted(state.labeled),
        "unlabeled": len(state.unlabeled),
        "patients": state.patients,
        "rounds": [_of_round(each) for each in state.rounds],
        "steps": [asdict(step) for step in looked.steps],
    }


def _of_round(each: Round) -> dict[str, Any]:
    trained = [
        {
            "folder": str(t.folder),
            "folds": t.folds,
            "finished": t.learned is not None,
            "labeled": None if t.learned is None else len(t.learned),
            "dice": t.dice,
        }
        for t in each.trained
    ]
    return {
        "round": each.number,
        "trained": trained,
        "chosen": None if each.chosen is None else [*each.chosen],
        "forecast": each.forecast,
        "masks": dict(each.masks),
    }


def lines_of(looked: Looked) -> list[str]:
    """For a terminal: a line of the labels and one a round, then the steps with their commands."""
    return [*_state_lines(looked.state), "", *_step_lines(looked.steps)]


def _state_lines(state: State) -> Iterator[str]:
    all_of_them = len(state.labeled) + len(state.unlabeled)
    yield f"{all_of_them} scans, {len(state.labeled)} with a label, of {state.patients} patients"
    for each in state.rounds:
        done = [t for t in each.trained if t.learned is not None]
        told = [f"Dice {t.dice:.3f} held out by {t.folds} folds" for t in done if t.dice is not None]
        if each.chosen is not None:
            drawn = sum(name in state.labeled for name in each.chosen)
            told.append(f"{drawn} of {len(each.chosen)} chosen scans are drawn")
        labels = max((len(t.learned or ()) for t in done), default=0)
        learned = f"{labels} labels" if done else "not trained yet"
        yield f"round {each.number}: {'; '.join([learned, *told])}"
        if each.forecast is not None:
            yield f"  {each.forecast['sentence']}"


def _step_lines(steps: tuple[Step, ...]) -> Iterator[str]:
    for place, step in enumerate(steps):
        yield f"{'or' if place else 'next'}, {step.kind}: {step.why}"
        if step.scans:
            yield f"  {', '.join(step.scans)}"
        yield from (f"    {command}" for command in step.commands)


@dataclass(frozen=True)
class LoopArguments(LoopOptions, Json):
    """What the command line takes."""


def main(given: LoopArguments) -> int:
    """Look, and tell."""
    looked = loop.of(given)
    if given.json:
        show(to_json(looked))
    else:
        for text in lines_of(looked):  # as they are: a command that is wrapped cannot be copied
            line(text)
    return 0


COMMAND = Command(
    LoopArguments,
    main,
    ("semivox loop my_scans", "semivox loop my_scans --runs rounds --top 4 --budget 30m"),
)
