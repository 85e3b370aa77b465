"""Hostile options, settings and files, on every command: what ends in a bug, hangs or writes elsewhere.

    OMP_NUM_THREADS=1 python benchmarks/hostile_commands.py [--tries 1000] [--seed 0] [--out FILE]
        [--kinds option,setting,file] [--damages "left out,null"]

Tries are made from what the program declares: every option of every command, every setting and the ends of
its range, and every file of settings or records that a command opens, damaged at every place of its tree
(hostile_damage.py). The first N of them, in an order in which each option, setting and file has its turn,
run in child processes. A try is wrong if it ends with exit code 70 or an unknown one, shows a traceback or
nothing at all, takes more than 20 s though it has no long work, ends the process, or changes a file outside
the folders that the command writes. With ``--out`` a stopped call goes on where it was; with ``--damages``
only these are tried, so that one sort of them can be tried at every place of every file.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import typing
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import hostile_damage
from hostile_stage import LINES, PATHS, Line, Stage, build, stock_of
from kill_points import new_process
from kill_scenes import run_quickly
from mortal_children import outcomes
from semivox.nnunet_raw import VARIABLE

LONGEST = 20.0
"""Seconds, without those for which others had the processor, after which a try is told to stop."""
SILENCE = 15 * LONGEST
"""Seconds without a word after which its process is ended."""
LONG_WORK = ("--steps", "--budget", "run.steps", "run.budget", "run.compile", "plan.steps")
"""What may ask for long work, which is then stopped."""
MOST_SAID = 20_000
"""Letters that a command may say of a fault."""
KNOWN = (0, 1, 2, 3, 4, 5)
ADDRESS_SPACE = 8 * 2**30
NO_EDGE = ("devices", "nodes", "threads")
"""Settings whose largest value would take the machine."""


@dataclass(frozen=True)
class Try:
    """``line`` with other ``words``, after ``prepare``; ``where`` and ``damage`` name it."""

    line: Line
    kind: str
    where: str
    damage: str
    words: tuple[str, ...] = ()
    prepare: Callable[[Path], None] = field(default=lambda root: None)

    @property
    def group(self) -> tuple[str, ...]:
        return (self.line.name, self.kind, self.where)


def options() -> Iterator[Try]:
    """Every option and argument of every command, with every hostile text and path."""
    from semivox.arguments import command_of
    from semivox.commands import COMMANDS
    from semivox.options import arguments

    for name, (module, _) in COMMANDS.items():
        line = next(line for line in LINES.values() if line.words.split(" ")[0] == name)
        words = line.words.split(" ")
        after = 0
        for argument in arguments(command_of(module).options):
            after += not argument.flag
            for text in (*hostile_damage.TEXTS, *PATHS):
                if argument.switch:
                    given = [*words, argument.flag + (f"={text}" if text else "")]
                elif argument.flag:
                    given = [*_without(words, "--steps" if argument.flag == "--budget" else argument.flag)]
                    given += [argument.flag, text]
                else:
                    given = [*words[:after], text, *words[after + 1 :]]
                yield Try(line, "option", argument.flag or argument.name, text[:60], tuple(given))


def _without(words: list[str], flag: str) -> Iterator[str]:
    for before, word in zip(["", *words], words, strict=False):
        if word != flag and before != flag:
            yield word


def settings() -> Iterator[Try]:
    """Every setting with every hostile value, and with the ends of its range."""
    from semivox.batches import Augmentation
    from semivox.methods import CATALOG, load_method
    from semivox.methods.declare import Optimizer
    from semivox.prepare.overrides import OVERRIDES
    from semivox.training.config import DistanceSettings, RunSettings

    classes = {"run": RunSettings, "optimizer": Optimizer, "augmentation": Augmentation}
    of = [("supervised", prefix, cls) for prefix, cls in (*classes.items(), ("distance", DistanceSettings))]
    of += [(name, "method", load_method(name).Settings) for name in CATALOG]
    for method, prefix, cls in of:
        hints = typing.get_type_hints(cls, include_extras=True)
        for each in dataclasses.fields(cls):
            yield from _set(method, f"{prefix}.{each.name}", _ends(each.name, hints[each.name]))
    for name in OVERRIDES:
        yield from _set("supervised", f"plan.{name.replace('N', '0')}", [])


def _set(method: str, name: str, ends: list[str]) -> Iterator[Try]:
    line = LINES["train"]
    words = line.words.replace("--method supervised", f"--method {method}").split(" ")
    for text in (*hostile_damage.SETTINGS, *ends):
        yield Try(line, "setting", name, text[:60], (*words, "--set", f"{name}={text}"))


def _ends(name: str, hint: Any) -> list[str]:
    """The ends of the ranges in a field's type."""
    found = []
    for mark in getattr(hint, "__metadata__", ()):
        for limit in getattr(mark, "metadata", ()):
            found += [repr(getattr(limit, key)) for key in ("ge", "gt", "le", "lt") if hasattr(limit, key)]
    inner = [end for argument in typing.get_args(hint) for end in _ends(name, argument)]
    return [] if name in NO_EDGE else list(dict.fromkeys((*found, *inner)))


def files(root: Path, read: Mapping[str, list[str]]) -> Iterator[Try]:
    """Every file that a command reads, with every damage."""
    known = {
        name: list(hostile_damage.damages(stock_of(root) / name))
        for name in {n for r in read.values() for n in r}
    }
    for name, line in LINES.items():
        for path in read.get(name, ()):
            for number, place, damage in known[path]:
                at = ".".join(map(str, place))
                prepare = partial(_damage, path=path, number=number, place=place, damage=damage)
                yield Try(
                    line, "file", path, f"{number}:{at} {damage}", tuple(line.words.split(" ")), prepare
                )


def _damage(root: Path, path: str, number: int, place: hostile_damage.Place, damage: str) -> None:
    hostile_damage.apply(root / path, number, place, damage)


def in_turn(tries: list[Try], seed: int) -> list[Try]:
    """In an order in which every option, setting and file has its turn."""
    rng = random.Random(seed)
    groups = defaultdict(list)
    for one in tries:
        groups[one.group].append(one)
    ranked = []
    for group in groups.values():
        rng.shuffle(group)
        ranked += [(rank, rng.random(), one) for rank, one in enumerate(group)]
    return [one for *_, one in sorted(ranked, key=lambda row: row[:2])]


def attempt(one: Try, stage: Stage, most: int = MOST_SAID) -> tuple[str, str]:
    """Outcome of a try, and a word on it; it may say ``most`` letters."""
    said, shown, code, escaped = io.StringIO(), io.StringIO(), None, ""
    root = str(stage.root)
    one.prepare(stage.root)
    own = Clock()

    def stop(*signal_and_frame: object) -> None:
        if own.seconds() < LONGEST:
            signal.setitimer(signal.ITIMER_REAL, LONGEST - own.seconds() + 0.1)
        else:
            signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LONGEST)
    try:
        with new_process(), contextlib.redirect_stdout(shown), contextlib.redirect_stderr(said):
            code = run_quickly(*(word.replace("@", root) if "@/" in word else word for word in one.words))
    except BaseException as error:
        escaped = f"{type(error).__name__}: {error}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    seconds = own.seconds()
    _forget()
    elsewhere = [name for name in stage.put_back() if not _may_change(name, one)]
    told = said.getvalue() + shown.getvalue()
    last = (said.getvalue().strip().splitlines() or [""])[-1]
    if escaped or code not in KNOWN or "Traceback (most recent call last)" in told:
        bug = next((line for line in told.splitlines() if "a bug in semivox" in line), last)
        return "bug", escaped or f"{code}: {bug}"
    if seconds > LONGEST and one.where not in LONG_WORK and one.line.name != "demo":
        return "slow", f"{seconds:.0f} s: {last}"
    if elsewhere:
        return "elsewhere", ", ".join(elsewhere[:5])
    if (code and not told.strip()) or (len(told) > most and "--json" not in one.words):
        return "words", f"{code}: {len(told)} letters"
    return str(code), last


class Clock:
    """Seconds since it was made, without those for which others had the processor."""

    def __init__(self) -> None:
        self._began = 0.0
        self._began = self.seconds()

    def seconds(self) -> float:
        return time.monotonic() - self._without() - self._began

    def _without(self) -> float:
        """Seconds for which this thread could have worked; Linux counts them."""
        with contextlib.suppress(OSError):
            return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
        return 0.0


def _forget() -> None:
    """What a setting changed in this process."""
    import torch

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(False)


def _may_change(name: str, one: Try) -> bool:
    """The folders of the command, the damaged file, and what an option names."""
    if any(name == top or name.startswith(f"{top}/") for top in ("out", "here", *one.line.writes)):
        return True
    if one.kind == "file":
        return name == one.where
    given = {*one.words} - {*one.line.words.split(" ")} if one.kind == "option" else ()
    return any(_within(name, word) for word in given)


def _within(name: str, given: str) -> bool:
    """Whether the file lies at, in or on the way to what a word of the command line names."""
    inside = os.path.normpath(given.removeprefix("@/") if given.startswith("@/") else f"here/{given}")
    inside, name = f"{inside}/", f"{name}/"
    return inside == "./" or name.startswith(inside) or inside.startswith(name)


def child(root: Path, first: int, last: int, seed: int, kinds: str, damages: str) -> None:
    """Try the tries ``first`` to ``last``, a line of JSON before and after each."""
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**30, 2**30))
    out = os.fdopen(os.dup(1), "w", buffering=1)
    stage = Stage(root)
    stage.put_back()
    os.environ[VARIABLE] = str(root / "raw")
    ordered = in_turn(all_tries(root, kinds, damages), seed)
    for number, one in enumerate(ordered[first:last], first):
        about = {
            "n": number,
            "line": one.line.name,
            "kind": one.kind,
            "where": one.where,
            "damage": one.damage,
        }
        print(json.dumps(about), file=out)
        began = time.monotonic()
        outcome, word = attempt(one, stage)
        seconds = round(time.monotonic() - began, 2)
        print(json.dumps({"n": number, "outcome": outcome, "said": word[:600], "seconds": seconds}), file=out)


def all_tries(root: Path, kinds: str, damages: str) -> list[Try]:
    read = json.loads(root.with_name("read.json").read_text())
    made = {"option": options, "setting": settings, "file": partial(files, root, read)}
    wanted = tuple(f" {damage}" for damage in damages.split(",") if damage)
    tries = (one for kind in kinds.split(",") for one in made[kind]())
    return [one for one in tries if not wanted or one.damage.endswith(wanted)]


def run(root: Path, first: int, last: int, seed: int, *which: str) -> Iterator[dict[str, Any]]:
    """What was found of the tries ``first`` to ``last``."""
    words = [sys.executable, __file__, "--child", str(root)]
    return outcomes(lambda n: [*words, str(n), str(last), str(seed), *which], first, last, SILENCE)


def prepared(root: Path) -> None:
    """Build the stage, and note which files each command reads."""
    build(root)
    stage = Stage(root)
    read = {name: stage.read_by(line) for name, line in LINES.items()}
    root.with_name("read.json").write_text(json.dumps(read, indent=1))


WRONG = ("bug", "hang", "slow", "death", "elsewhere", "words")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tries", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", default="option,setting,file")
    parser.add_argument("--damages", default="")
    parser.add_argument("--out", type=Path)
    parser.add_argument(
        "--stage", type=Path, help="keep what is tried on in this new folder, or use it again"
    )
    parser.add_argument("--child", nargs=6, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        root, first, last, seed, *which = given.child
        child(Path(root), int(first), int(last), int(seed), *which)
        return 0
    before = given.out.read_text().splitlines() if given.out is not None and given.out.is_file() else []
    found = [json.loads(line) for line in before]
    with contextlib.ExitStack() as stack:
        folder = given.stage or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hostile-")))
        root = folder.resolve() / "stage"
        if not root.exists():
            root.parent.mkdir(exist_ok=True)
            with contextlib.redirect_stdout(io.StringIO()):
                prepared(root)
        which = given.kinds, given.damages
        number = len(all_tries(root, *which))
        for one in run(root, len(found), min(given.tries, number), given.seed, *which):
            found.append(one)
            if one["outcome"] in WRONG:
                print(json.dumps(one), file=sys.stderr, flush=True)
            if given.out is not None:
                with given.out.open("a") as file:
                    file.write(json.dumps(one) + "\n")
    print(table(found))
    print(f"{len(found)} of {number} tries")
    return 1 if any(one["outcome"] in WRONG for one in found) else 0


def table(found: list[dict[str, Any]]) -> str:
    """Counts of outcomes, a row a kind."""
    columns = [*map(str, KNOWN), *WRONG]
    counts = Counter((one["kind"], one["outcome"]) for one in found)
    rows = [["tries of", "number", *columns], ["---", *["---:"] * (len(columns) + 1)]]
    for kind in dict.fromkeys(one["kind"] for one in found):
        each = [counts[kind, outcome] for outcome in columns]
        rows.append([kind, str(sum(each)), *map(str, each)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    sys.exit(main())
