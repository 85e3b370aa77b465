"""A command that is printed to be copied is taken by a shell as it is meant, whatever folders are called."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

import semivox
from semivox.cli import main
from semivox.commands import train as train_module
from semivox.runs.result import TrainResult
from semivox.testing.displays import Told

Folders = tuple[Path, Path]
SOURCE = Path(semivox.__file__).parent
ODD = "odd dir ü#%/r un's $HOME"
COMMANDS = "|".join(path.stem for path in (SOURCE / "commands").glob("*.py")).replace("import_data", "import")
BEGUN = re.compile(rf"semivox ({COMMANDS})\b[^:;,)]* $")
"""A text that a value is set into as a word of a command."""
NUMBERS = {"training/processes.py"}
"""Files whose values are numbers, which need no quotes."""


def next_command(said: str) -> list[str]:
    (found,) = re.findall(r"next: (semivox .*)", said)
    return shlex.split(found)


def test_a_run_s_next_line_can_be_copied(phantoms: Folders, small: dict[str, Any], tmp_path: Path) -> None:
    display, run = Told(), tmp_path / ODD
    semivox.train(phantoms[0], run, method="supervised", steps=2, settings=small, display=display)
    assert next_command("\n".join(display.said))[:4] == ["semivox", "predict", str(run), "SCANS"]


def test_that_of_folds_can_be_copied(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = tmp_path / ODD
    of_folds = TrainResult(run, "supervised", 2, 1.0, "too few steps", cross_validation={"made": "up"})
    monkeypatch.setattr(train_module.train, "of", lambda _: of_folds)
    monkeypatch.setattr("semivox.evaluation.evaluation_table", lambda _: "a table")
    assert main(["train", "DATA", "--out", str(run), "--folds", "2"]) == 0
    said = capsys.readouterr()
    assert next_command(said.out)[:4] == ["semivox", "predict", str(run), "SCANS"]
    assert "warning: too few steps" in said.err


def test_that_of_an_import_can_be_copied(
    phantoms: Folders, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source, place = tmp_path / "source", tmp_path / ODD
    for ours, theirs, channel in (("imagesTr", "images", "_0000"), ("labelsTr", "labels", "")):
        (source / theirs).mkdir(parents=True)
        for path in (phantoms[1] / ours).iterdir():
            shutil.copy(path, source / theirs / path.name.replace(f"{channel}.", "."))
    place.parent.mkdir()
    assert main(["import", "folders", str(source), str(place)]) == 0
    assert next_command(capsys.readouterr().out) == ["semivox", "check", str(place)]


def unquoted(text: ast.JoinedStr) -> bool:
    """Whether a value is set into a command as it is."""
    said = ""
    for part in text.values:
        if isinstance(part, ast.Constant):
            said += str(part.value)
            continue
        assert isinstance(part, ast.FormattedValue)
        if BEGUN.search(said) and "shlex" not in ast.unparse(part.value):
            return True
        said += "X"
    return False


def test_no_text_sets_a_path_into_a_command_unquoted() -> None:
    found = {
        path.relative_to(SOURCE).as_posix()
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.JoinedStr) and unquoted(node)
    }
    assert found <= NUMBERS, "use shlex.join"
