"""Whatever lies in the folders: there is a next step with commands that exist, or a word that all is done.

States are made by hand, since most of them come of what people do beside the loop: labels that are removed,
scans that are taken out of use, folders that are deleted.
"""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

from semivox.cli import _parser
from semivox.rounds import Round, State, Step, steps_of
from semivox.rounds.state import Trained

PLACE = Path("rounds/1")
GONE, DRAWN, OPEN = "out_of_use", "drawn_1", "open_1"
LABELED = (frozenset[str](), frozenset({DRAWN}), frozenset({DRAWN, "drawn_2"}))
UNLABELED = ((), (OPEN,), (OPEN, "open_2", "open_3"))
CHOSEN: tuple[tuple[str, ...] | None, ...] = (None, (), (GONE,), (DRAWN,), (OPEN,), (GONE, DRAWN, OPEN))
TOLD = ("unfinished", "stale", "same", "other")
"""What a training has learned from, beside the labels that there are."""


def states() -> Iterator[State]:
    for labeled, unlabeled, first in product(LABELED, UNLABELED, CHOSEN):
        for patients in {min(1, len(labeled)), len(labeled)}:
            state = State(Path("scans"), Path("rounds"), labeled, unlabeled, patients, first, ())
            yield state
            yield from (replace(state, rounds=(each,)) for each in rounds_of(labeled))


def rounds_of(labeled: frozenset[str]) -> Iterator[Round]:
    learned = {
        "unfinished": None, "stale": None, "same": labeled, "other": frozenset({"labelled_then"})
    }  # fmt: skip
    for folds, run, chosen, enough in product((None, *TOLD), TOLD, CHOSEN, (None, False, True)):
        trained = [Trained(PLACE / "run", None, learned[run], stale=run == "stale")]
        if folds is not None:
            trained[:0] = [Trained(PLACE / "folds2", 2, learned[folds], 0.5, folds == "stale")]
        forecast = None if enough is None else {"enough": enough, "sentence": "8 more bring little"}
        masks = {"ok": 3} if enough else {}
        yield Round(1, PLACE, tuple(trained), chosen, forecast, masks)  # type: ignore[arg-type]


@cache
def understood(command: str) -> Namespace:
    return _parser().parse_args(shlex.split(command)[1:])


def faults_of(state: State, steps: tuple[Step, ...]) -> Iterator[str]:
    if not steps:
        yield "no step"
    for step in steps:
        if not step.commands and step.kind != "stop":
            yield f"{step.kind} without a command"
        if step.kind == "draw" and not 0 < len(step.scans) == len({*step.scans} & {*state.unlabeled}):
            yield f"{step.scans} are not to be drawn"
        for command in step.commands:
            given = understood(command)
            if given.command == "train" and not state.labeled:
                yield "training without a label"
            stale = {str(each.folder) for of in state.rounds for each in of.trained if each.stale}
            if given.command == "train" and str(given.out) in stale:
                yield f"{given.out} cannot be gone on with"
            if given.command == "rank" and not 1 <= given.top <= len(state.unlabeled):
                yield f"--top {given.top} of {len(state.unlabeled)}"


def after(state: State, step: Step) -> State:
    """The state that a step to choose or to draw leaves."""
    if step.kind == "draw":
        unlabeled = tuple(name for name in state.unlabeled if name not in step.scans)
        return replace(state, labeled=state.labeled | {*step.scans}, unlabeled=unlabeled, patients=9)
    given = understood(step.commands[0])
    chosen = state.unlabeled[: given.top]
    if given.data is None:
        return replace(state, first=chosen)
    return replace(state, rounds=(*state.rounds[:-1], replace(state.rounds[-1], chosen=chosen)))


def test_every_state_has_a_next_step_or_an_end() -> None:
    count, found = 0, []
    for state in states():
        count += 1
        steps = steps_of(state, top=2, budget="1h")
        if faults := [*faults_of(state, steps)]:
            found.append((faults, state))
    assert count > 10_000
    assert not found, f"{len(found)} states, such as {found[0]}"


def test_who_has_done_the_step_is_told_another() -> None:
    for state in states():
        first, *_ = steps_of(state, top=2, budget="1h")
        if first.kind in ("choose", "draw"):
            assert first not in steps_of(after(state, first), top=2, budget="1h"), state
