"""What ``semivox methods`` tells: on narrow terminals, of presets and recipes, of methods of others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

import semivox
from semivox.cli import main
from semivox.commands.compare import list_cells
from semivox.commands.methods import methods, render
from semivox.commands.train import train
from semivox.errors import SettingsError
from semivox.methods import catalog
from semivox.methods.catalog import CATALOG
from semivox.methods.origins import ORIGINS

Folders = tuple[Path, Path]
MINE = '''
"""Twice the loss, to be sure."""

from dataclasses import dataclass

from semivox.methods.declare import Term
from semivox.methods.conventions import StudentTeacherSettings
from semivox.methods.supervised import Supervised


@dataclass(frozen=True)
class MySettings(StudentTeacherSettings):
    ema_decay: float = 0.9
    """Decay, in [steps]."""
    factor: float = 2
    secret: tuple[int, int] = (1, 2)
    """A pair. [ours]"""


class Mine(Supervised):
    Settings = MySettings
    presets = {"bold": {"factor": 3.0, "secret": (3, 4)}, "plain": {}}

    def step(self, batch, at):
        return {k: Term(self.settings.factor * t.value) for k, t in super().step(batch, at).items()}
'''


@pytest.fixture
def mine(tmp_path: Path) -> str:
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    return f"{file}:Mine"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same as an installed package, also for child processes; the method's name."""
    folder = tmp_path / "site"
    record = folder / "surely-1.0.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: surely\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text("[semivox.methods]\ntwice = surely_twice:Mine\n")
    (folder / "surely_twice.py").write_text(MINE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.delitem(sys.modules, "surely_twice", raising=False)
    return "twice"


def lines_of(content: dict[str, Any], width: int = 100) -> list[str]:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(render(content))
    return [line.rstrip() for line in capture.get().splitlines()]


# ---- the table


@pytest.mark.parametrize("width", [80, 100])
def test_the_table_fits_its_terminal(width: int) -> None:
    lines = lines_of(methods(), width)
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    assert [line.split()[0] for line in lines if line.startswith(tuple(CATALOG))] == list(CATALOG)
    words = " ".join(" ".join(lines).split())
    for entry in map(catalog.entry, CATALOG):
        facts = " · ".join(filter(None, (entry.paper, entry.needs, entry.dims, entry.basis)))
        assert f"{facts} " in words
    if width == 100:  # the idea in one line, beside the name
        assert [n for n in CATALOG if f"{n:<17}{catalog.entry(n).idea}" not in lines] == []


def test_the_table_needs_no_torch(package: str) -> None:
    code = (
        "import json, sys\n"
        "from semivox.commands.methods import methods, render\n"
        "rows = methods(); render(rows)\n"
        "loaded = [name in sys.modules for name in ('torch', 'surely_twice')]\n"
        "print(json.dumps([list(rows['methods'])[-1], *loaded]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [package, False, False]


def test_installed_methods_stand_below_ours(package: str) -> None:
    content = methods()
    assert list(content["methods"]) == [*CATALOG, package]
    lines = lines_of(content)
    row = next(i for i, line in enumerate(lines) if line.startswith(package))
    assert [line.strip() for line in lines[row : row + 2]] == [
        "twice            surely_twice:Mine",
        "installed: surely",
    ]
    assert lines[row - 2].startswith(list(CATALOG)[-1])


# ---- one method


def test_a_methods_settings_their_defaults_and_how_sure_they_are() -> None:
    content = methods("simcvd")
    assert content["settings"]["temperature"] == {
        "default": 0.5,
        "meaning": "tau of the slice contrast.",
        "from": "notes",
    }
    assert {row["from"] for row in content["settings"].values()} == {"notes", "field"}
    assert content["basis"] == "public notes, no code"
    lines = lines_of(content)
    assert ["method.temperature", "0.5", "notes", "tau", "of", "the", "slice", "contrast."] in [
        line.split() for line in lines
    ]
    words = " ".join(" ".join(lines).split())
    assert "--recipe paper sets run.steps=6000, optimizer.lr=0.01, optimizer.nesterov=false" in words
    assert words.endswith(
        f"from says where a default was taken from. notes: {ORIGINS['notes']}; field: {ORIGINS['field']}"
    )
    assert json.loads(json.dumps(content)) == content


def test_presets_and_what_each_sets() -> None:
    content = methods("cvrl")
    assert content["presets"]["v1"] == {}
    assert content["presets"]["miccai"]["dimension_low"] == 0.1
    words = " ".join(" ".join(lines_of(content)).split())
    assert "cvrl:v1 sets nothing, it is the default" in words
    assert "cvrl:miccai sets volume=0, elastic=0, elastic_unlabeled=0, voxel_low=0.1" in words
    assert methods("cvrl:miccai") == methods("cvrl{voxels=3}") == content
    with pytest.raises(SettingsError, match="cvrl has no preset 'v3'"):
        methods("cvrl:v3")


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("name", ["self_ensembling", "bcp"])
def test_a_methods_page_fits_its_terminal(name: str, width: int) -> None:
    content = methods(name)
    lines = lines_of(content, width)
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    assert [
        s for s in content["settings"] if not any(line.strip().startswith(f"method.{s} ") for line in lines)
    ] == []


def test_paragraphs_flow_and_equations_stay() -> None:
    about = (
        "A title\nin two lines.\n\n    L = a\n        + b\n\n* one\n  goes on\n* two:\n\n      x = y\n\n"
        "  ends\n\nlast\nline\n"
    )
    content = {**methods("supervised"), "about": about, "idea": ""}
    expected = [
        "A title in two lines.", "", "    L = a", "        + b", "",
        "* one goes on", "* two:", "", "      x = y", "", "  ends", "", "last line",
    ]  # fmt: skip
    assert lines_of(content)[: len(expected)] == expected


# ---- methods of others


def test_a_method_from_a_file(mine: str, tmp_path: Path) -> None:
    content = methods(mine)
    assert content["about"].strip() == "Twice the loss, to be sure."
    assert "basis" not in content
    assert content["settings"] == {
        "paper_steps": methods("supervised")["settings"]["paper_steps"],  # told by the class it comes from
        "ema_decay": {"default": 0.9, "meaning": "Decay, in [steps].", "from": ""},
        "dropout": methods("supervised")["settings"]["dropout"],
        "factor": {"default": 2, "meaning": "", "from": ""},
        "secret": {"default": [1, 2], "meaning": "A pair.", "from": "ours"},
    }
    assert content["presets"] == {"bold": {"factor": 3.0, "secret": [3, 4]}, "plain": {}}
    assert f"{mine}:bold sets factor=3, secret=[3, 4]" in "".join(lines_of(content, 300))

    file = tmp_path / "bare.py"
    file.write_text(MINE.replace(" [ours]", "").replace("(StudentTeacherSettings)", ""))
    bare = methods(f"{file}:Mine")
    assert {row["from"] for row in bare["settings"].values()} == {""}
    assert "where a default was taken from" not in " ".join(lines_of(bare))


def test_a_broken_file_is_told_in_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.py").write_text("x = 1\ny = (\n")
    assert main(["methods", f"{tmp_path / 'bad.py'}:Mine"]) == 1
    assert "bad.py: the method's file cannot be run; found line 2: SyntaxError" in capsys.readouterr().err


@pytest.fixture(params=["mine", "package"])
def theirs(request: pytest.FixtureRequest) -> str:
    """A user's method, from a file and from an installed package."""
    name: str = request.getfixturevalue(request.param)
    return name


def test_methods_of_others_train_and_are_compared(
    theirs: str, phantoms: Folders, small: dict[str, Any], tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    run = tmp_path / "run"
    train(phantoms[0], run, method=f"{theirs}:bold", steps=1, settings=small, cache=cache)
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["run"]["method"], config["method"]["factor"]) == (theirs, 3.0)
    packages = json.loads((run / "environment.json").read_text())["packages"]
    assert packages.get("surely") == (None if ".py" in theirs else "1.0")
    train(phantoms[0], run, method=f"{theirs}:bold", resume=True, cache=cache)  # finished: nothing to do

    names = f"{theirs}:bold{{dropout=0}},{theirs}"
    given: dict[str, Any] = {
        "methods": names,
        "test": phantoms[1],
        "steps": 1,
        "settings": small,
        "cache": cache,
    }
    result = semivox.compare(phantoms[0], tmp_path / "out", workers=1, **given)
    assert result.failed == ()
    states = list_cells(phantoms[0], tmp_path / "out", workers=1, **given)
    assert [state.kind for _, state in states] == ["finished"] * 3  # the reference was added
