"""Some of the tries of benchmarks/hostile_commands.py in each run, and what that harness must see."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import hostile_commands
import hostile_damage
from hostile_commands import WRONG, Try, attempt, files, in_turn, options, settings
from hostile_stage import LINES, Stage, dress
from semivox.arguments import command_of
from semivox.commands import COMMANDS
from semivox.options import arguments

QUICK = ("check", "plan", "train", "predict", "import folders", "import msd", "methods", "rank")
"""Commands that need no more than the template, and less than a second."""


@pytest.fixture(scope="module")
def stage(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    root = tmp_path_factory.mktemp("hostile") / "stage"
    shutil.copytree(scenes, root)
    shutil.rmtree(root / "out", ignore_errors=True)
    dress(root)
    with contextlib.chdir(root):
        yield Stage(root)


@pytest.mark.parametrize(("kind", "number"), [("option", 60), ("setting", 30), ("file", 40)])
def test_hostile_options_settings_and_files_are_refused_by_name(kind: str, number: int, stage: Stage) -> None:
    tries: list[Try]
    if kind == "file":
        read = {name: stage.read_by(LINES[name]) for name in ("check", "plan", "predict")}
        tries = list(files(stage.root, read))
    else:
        tries = list({"option": options, "setting": settings}[kind]())
    quick = [one for one in in_turn(tries, 0) if one.line.name in QUICK]
    found = {(*one.group, one.damage): attempt(one, stage) for one in quick[:number]}
    assert {one: told for one, told in found.items() if told[0] in WRONG} == {}
    assert sum(outcome in ("1", "2") for outcome, _ in found.values()) > number // 3


def test_a_value_that_a_record_of_a_run_lacks_is_no_bug(stage: Stage) -> None:
    tries = list(files(stage.root, {"rank": ["model0/cases.json"]}))
    rows = ("0:cases.0.", "0:cases ", "0:parent", "0:learned_before")
    places = [one for one in tries if one.damage.startswith(rows) and one.damage.endswith(" left out")]
    found = {one.damage: attempt(one, stage) for one in places}
    assert {one: told for one, told in found.items() if told[0] in WRONG} == {}
    assert any("patient" in damage for damage in found)


LONG_NAMES = {
    "check": ("check", "check @/phantoms/train"),
    "plan": ("plan", "plan @/phantoms/train --cache @/cache --verbose"),
    "train": ("train", LINES["train"].words + " --verbose"),
    "predict": ("predict", LINES["predict"].words),
    "rank": ("rank", LINES["rank"].words),
}


@pytest.mark.parametrize("command", LONG_NAMES)
@pytest.mark.parametrize("many", [False, True])
def test_names_of_any_length_are_shown_short(command: str, many: bool, stage: Stage) -> None:
    name, words = LONG_NAMES[command]

    def lengthen(root: Path) -> None:
        for folder in ("phantoms/train", "phantoms/test"):
            path = root / folder / "dataset.json"
            about = json.loads(path.read_text())
            about["channel_names"] = ["c"] * 50_000 if many else {"0": "c" * 100_000}
            about["labels"] = {"background": 0, "atrium" + "y" * 100_000: 1}
            path.write_text(json.dumps(about))
        path = root / "phantoms/train/cases.csv"
        path.write_text(path.read_text().replace(",p0,", f",{'p' * 100_000},"))
        path = root / "model0/model.json"
        card = json.loads(path.read_text())
        path.write_text(json.dumps({**card, "undertrained": "u " * 50_000, "channels": ["c" * 100_000]}))

    line = replace(LINES[name], writes=("phantoms", "model0", "cache"))
    one = Try(line, "file", "", "long names", tuple(words.split(" ")), lengthen)
    outcome, told = attempt(one, stage, most=12_000)
    assert outcome in "0123", (outcome, told)


def test_every_option_has_its_turn() -> None:
    tried = {(one.words[0], one.where) for one in options()}
    for name, (module, _) in COMMANDS.items():
        for argument in arguments(command_of(module).options):
            assert (name, argument.flag or argument.name) in tried


def acting(act: Callable[[Path], Any]) -> Callable[..., int]:
    def run(*words: str) -> int:
        act(Path.cwd().parent)
        return 1

    return run


def fail(root: Path) -> None:
    raise KeyError("x")


def say(text: str) -> Callable[[Path], None]:
    return lambda root: print(text, file=sys.stderr)


@pytest.mark.parametrize(
    ("act", "outcome"),
    [
        (fail, "bug"),
        (say("Traceback (most recent call last)"), "bug"),
        (say("a fault and its remedy"), "1"),
        (say(""), "words"),
        (say("x" * 30_000), "words"),
        (lambda root: (root / "precious.txt").unlink(), "elsewhere"),
        (lambda root: (root / "phantoms/more.txt").write_text("x"), "elsewhere"),
        (lambda root: os.replace(root / "plan.json", root / "labeled.txt"), "elsewhere"),
        (lambda root: (root / "a-pipe").open(), "slow"),
    ],
)
def test_the_harness_sees_what_is_wrong_and_puts_it_back(
    act: Callable[[Path], Any], outcome: str, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.put_back()
    monkeypatch.setattr(hostile_commands, "run_quickly", acting(act))
    if outcome == "slow":
        from semivox.stopping import StopSignals

        def waits(root: Path) -> None:
            with contextlib.suppress(KeyboardInterrupt), StopSignals(at_once=True):
                act(root)

        monkeypatch.setattr(hostile_commands, "run_quickly", acting(waits))
        monkeypatch.setattr(hostile_commands, "LONGEST", 0.2)
    assert attempt(Try(LINES["check"], "option", "data", "x", ("check",)), stage)[0] == outcome
    assert stage.put_back() == []
    assert (stage.root / "precious.txt").read_text() == "nobody may touch this\n"


def test_the_clock_stands_while_others_have_the_processor() -> None:
    own, began, cpu = hostile_commands.Clock(), time.monotonic(), time.process_time()
    time.sleep(0.2)
    while time.monotonic() - began < 0.5:
        pass
    worked = 0.2 + time.process_time() - cpu
    assert worked - 0.05 < own.seconds() <= time.monotonic() - began + 0.05


def test_each_damage_is_one(tmp_path: Path) -> None:
    tree = {"a": [1, {"b": None}], "c": "x"}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(tree))
    found = {}
    for number, place, damage in hostile_damage.damages(path):
        path.write_text(json.dumps(tree))
        hostile_damage.apply(path, number, place, damage)
        if place or damage not in hostile_damage.WHOLE:
            found[place, damage] = path.read_text()
        hostile_damage.remove(path)
        path.write_text(json.dumps(tree))
    assert found[("c",), "left out"] == '{"a": [1, {"b": null}]}\n'
    assert found[("c",), "twice"] == '{"a": [1, {"b": null}], "c": "x", "c": "x"}\n'
    assert found[("a", 1, "b"), "1e400"] == '{"a": [1, {"b": 1e400}], "c": "x"}\n'
    assert found[("a", 0), "twice"] == '{"a": [1, 1, {"b": null}], "c": "x"}\n'
    assert found[("a",), "first left out"] == '{"a": [{"b": null}], "c": "x"}\n'
    assert {place for place, _ in found} == {(), ("a",), ("a", 0), ("a", 1), ("a", 1, "b"), ("c",)}
