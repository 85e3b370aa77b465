"""From how far one is to what comes next: steps in words, each with the ordinary commands that do it."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from semivox.rounds.state import FIRST, FOLDS, MASKS, RUN, Round, State

FEWEST = 2
"""Patients that make folds."""


@dataclass(frozen=True)
class Step:
    """``kind``: choose, draw, train, trust or stop; ``why`` in words; ``commands`` one after the other;
    ``scans`` to draw."""

    kind: str
    why: str
    commands: tuple[str, ...] = ()
    scans: tuple[str, ...] = ()


def steps_of(state: State, *, top: int, budget: str) -> tuple[Step, ...]:
    """What comes next, and after it what may be done besides."""
    return tuple(_steps(state, top, budget))


def _steps(state: State, top: int, budget: str) -> Iterator[Step]:
    last, missing = state.last, _to_draw(state)
    if last is None or not state.labeled:
        yield from _beginning(state, missing, top, budget)
    elif any(each.stale or each.learned not in (None, state.labeled) for each in last.trained):
        # labels came since
        if missing:
            yield _draw(state, missing)
        yield _train(state, last.number + 1, budget)
    elif left := _trainings(state, last.folder, budget, {t.folder for t in last.trained if t.learned}):
        yield Step("train", f"round {last.number} is not finished", left)
    elif not state.unlabeled:
        yield Step("stop", "every scan has a label")
    elif not missing:
        yield _choose(state, last, top)
    else:
        if last.forecast is not None and last.forecast["enough"]:
            yield Step("stop", last.forecast["sentence"])
        yield _draw(state, missing)
    if last is not None and last.curves:
        yield _trust(state, last)


def _beginning(state: State, missing: Sequence[str], top: int, budget: str) -> Iterator[Step]:
    """Before the first round, and anew where every label is gone."""
    if missing:
        yield _draw(state, missing)
    elif not state.labeled:
        yield _choose_first(state, top)
    if state.labeled:
        yield _train(state, 1, budget)


def _to_draw(state: State) -> tuple[str, ...]:
    """The scans that were chosen last and have no label yet."""
    chosen = state.first if state.last is None or not state.labeled else state.last.chosen
    return tuple(name for name in chosen or () if name in set(state.unlabeled))


def _choose_first(state: State, top: int) -> Step:
    if not state.unlabeled:
        return Step("stop", "no scan has a label, and none is in use that could be drawn")
    why = "no scan has a label: have the first ones named"
    if state.first is not None:  # taken out of use, as a broken scan is, or renamed
        why = "no scan has a label, and the first ones that were named are not in use: have others named"
    if state.unread:
        why += f". But labels are there that count for none: {state.unread[0]}"
    few = min(top, len(state.unlabeled))
    command = _line("rank", state.data, "--top", few, "--out", state.rounds_folder / FIRST)
    return Step("choose", why, (command,))


def _draw(state: State, scans: Sequence[str]) -> Step:
    last = state.last
    commands = [_line("check", state.data)]
    if last is not None and last.trained[-1].learned is not None:
        commands.insert(0, _line("annotate", last.folder / RUN, state.data))
    why = f"draw these {len(scans)}" if len(scans) > 1 else "draw this one"
    return Step("draw", f"{why}, and put the labels into {state.data}", tuple(commands), tuple(scans))


def _train(state: State, number: int, budget: str) -> Step:
    why = f"round {number}: learn from the {len(state.labeled)} labelled scans that there are"
    return Step("train", why, _trainings(state, state.rounds_folder / str(number), budget))


def _trainings(state: State, place: Path, budget: str, finished: Collection[Path] = ()) -> tuple[str, ...]:
    """Commands for what is not finished of a round; what was begun goes on."""
    sizes = sorted({min(each, state.patients) for each in FOLDS}, reverse=True)
    wanted = [(place / f"folds{each}", ("--folds", each)) for each in sizes if each >= FEWEST]
    return tuple(
        _line(
            "train", state.data, "--out", folder, *more, "--budget", budget,
            *(("--resume",) if folder.exists() else ()),
        )
        for folder, more in [*wanted, (place / RUN, ())]
        if folder not in finished
    )  # fmt: skip


def _choose(state: State, last: Round, top: int) -> Step:
    curves = [word for each in state.rounds for folder in each.curves for word in ("--curve", folder)]
    few = min(top, len(state.unlabeled))
    words = ("rank", last.folder / RUN, state.data, "--top", few)
    return Step("choose", "have the next scans named, and what they will bring", (_line(*words, *curves),))


def _trust(state: State, last: Round) -> Step:
    runs, out = last.curves[0], last.folder / MASKS
    command = _line("predict", runs, state.data, "--out", out, "--tta", "--skip-existing")
    if not last.masks:
        return Step("trust", "masks, each with a Dice that is promised or a reason why not", (command,))
    told = ", ".join(f"{count} {flag}" for flag, count in sorted(last.masks.items()))
    return Step("trust", f"masks are in {out} ({told}): look at those to review", (command,))


def _line(*words: object) -> str:
    return shlex.join(["semivox", *(str(word) for word in words)])
