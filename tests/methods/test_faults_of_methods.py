"""Errors in a user's method: whose fault they are called, and where they are said to stand."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from semivox.batches import Stream
from semivox.cli import main
from semivox.errors import MethodFailed, SettingsError, fault_of_method, in_words
from semivox.failure import Failure, failure_of
from semivox.methods import Player, Relabel
from semivox.methods.catalog import CATALOG, load_method
from semivox.methods.declare import Pair
from semivox.methods.loading import load_class
from semivox.runs.declared import refuse_declared
from semivox.testing.synthetic import tiny

MINE = """from semivox.methods.supervised import Supervised


class Mine(Supervised):
    def step(self, batch, at):
        {line}
        return super().step(batch, at)
"""
KEY = 'batch["nolabel"]'


def written(folder: Path, line: str) -> str:
    (folder / "mine.py").write_text(MINE.format(line=line))
    return f"{folder / 'mine.py'}:Mine"


def failed(method: Any) -> Exception:
    with pytest.raises(KeyError) as caught:
        method.step(SimpleNamespace(), {}, None)
    return caught.value


def test_an_error_out_of_a_users_method_is_told_with_its_line(tmp_path: Path) -> None:
    error = failed(load_class(written(tmp_path, KEY)))
    told = f"{tmp_path}/mine.py: the method failed; found line 6, in step: KeyError: 'nolabel'"
    assert in_words(error).startswith(told)
    assert isinstance(fault_of_method(error), SettingsError)


def test_an_error_elsewhere_is_none_of_a_method(tmp_path: Path) -> None:
    load_class(written(tmp_path, KEY))
    with pytest.raises(KeyError) as caught:
        {}["other"]
    assert fault_of_method(caught.value) is None
    assert in_words(caught.value) == "KeyError: 'other'"


def test_a_class_that_the_method_is_made_of_counts_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    written(tmp_path, KEY)
    (tmp_path / "mine.py").rename(tmp_path / "base_of_mine.py")
    (tmp_path / "other.py").write_text("from base_of_mine import Mine\n\nclass Other(Mine):\n    pass\n")
    error = failed(load_class(f"{tmp_path / 'other.py'}:Other"))
    sys.modules.pop("base_of_mine")
    assert "base_of_mine.py: the method failed; found line 6, in step" in in_words(error)


def test_it_travels_between_processes_with_its_traceback(tmp_path: Path) -> None:
    error = failed(load_class(written(tmp_path, KEY)))
    came = Failure(**json.loads(json.dumps(asdict(failure_of(error))))).error
    assert isinstance(came, MethodFailed)
    assert str(came) == in_words(error)
    assert 'in step\n    batch["nolabel"]' in came.__notes__[0]


@pytest.mark.parametrize(
    ("text", "of_a_file", "of_a_module"),
    [
        ("x = 1\n\ny = undefined\n", "line 3: NameError: name 'undefined'", "line 3: NameError"),
        ("import broken_helper\n", "line 1: SyntaxError", "line 1: SyntaxError"),
        ("x = 1\ny = (\n", "line 2: SyntaxError", "(mine_broken.py, line 2)"),
    ],
)
def test_a_file_that_cannot_be_run_names_its_line(
    text: str, of_a_file: str, of_a_module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_helper.py").write_text("\n" * 20 + "x = (\n")
    (tmp_path / "mine_broken.py").write_text(text)
    with pytest.raises(SettingsError, match="cannot be run") as caught:
        load_class(f"{tmp_path / 'mine_broken.py'}:Mine")
    assert f"mine_broken.py: the method's file cannot be run; found {of_a_file}" in str(caught.value)
    with pytest.raises(SettingsError, match="cannot import") as caught:
        load_class("mine_broken:Mine")
    assert of_a_module in str(caught.value)


# ---- on the command line


def trained(line: str, folder: Path, data: Path, small: dict[str, Any]) -> list[str]:
    sets = [x for k, v in small.items() for x in ("--set", f"{k}={json.dumps(v)}")]
    return ["train", str(data), "--out", str(folder / "run"), "--method", written(folder, line),
            "--steps", "2", "--cache", str(folder / "cache"), *sets]  # fmt: skip


def test_a_failing_method_is_1_and_its_traceback_goes_into_a_file(
    tmp_path: Path, phantoms: tuple[Path, Path], small: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(trained(KEY, tmp_path, phantoms[0], small)) == 1
    said, log = capsys.readouterr().err, tmp_path / "run/error.log"
    assert said.splitlines()[-1] == (
        f"semivox train: {tmp_path}/mine.py: the method failed; found line 6, in step: KeyError: 'nolabel'. "
        f"Remedy: correct the method there; the full traceback is in {log}"
    )
    assert "a bug" not in said
    assert "Traceback" in log.read_text()


def test_what_a_method_hands_out_may_break_semivox(
    tmp_path: Path, phantoms: tuple[Path, Path], small: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    line = "return {name: type(term)(None) for name, term in super().step(batch, at).items()}"
    assert main(trained(line, tmp_path, phantoms[0], small)) == 70
    said = capsys.readouterr().err
    assert f"semivox train: a bug in the method in {tmp_path}/mine.py, or in semivox: TypeError" in said
    assert "look at what the method hands out" in said


def test_a_predictor_that_is_none_is_refused_before_anything_is_prepared(
    tmp_path: Path, phantoms: tuple[Path, Path], small: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    command = trained("pass", tmp_path, phantoms[0], small)
    mine = tmp_path / "mine.py"
    mine.write_text(mine.read_text() + '\n    predictor = ("techer",)\n')
    assert main(command) == 1
    said = capsys.readouterr().err
    assert "mine.py: Mine: predictor names what the method has not; found techer" in said
    assert "prepare the scans" not in said


# ---- what is declared


@pytest.mark.parametrize("name", CATALOG)
def test_every_method_declares_what_it_has(name: str) -> None:
    method, facts = tiny(load_method(name))
    settings = method.Settings()
    for predictor in (method.predictor, method.paper_predictor):
        refuse_declared(method, facts, settings, predictor)
        refuse_declared(method, replace(facts, sweeps=0), settings, predictor)


ALONE = (Player("segmenter", ("student",)),)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"players": (Player("segmenter", ("studnt",)),)},
            "player 'segmenter' names what the method has not",
        ),
        ({"players": Player("segmenter", ("student",))}, "players; found a Player; expected a list or tuple"),
        ({"players": (Player("segmenter", "student"),)}, "player 'segmenter' is a text"),  # type: ignore[arg-type]
        ({"pairs": (Pair("student", "techer"),)}, "pairs names what the method has not; found techer"),
        ({"fresh": ("head",)}, "fresh names what the method has not; found head"),
        ({"copy": {"teacher": "stdent"}}, "copy names what the method has not; found stdent"),
        ({"relabel": Relabel(by=("all",))}, "relabel by names what the method has not; found all"),
        ({"step": "stepp"}, "step names no function of the method; found stepp"),
        ({"streams": {"labeled": "labeled"}}, "streams; found a str; expected a list or tuple of Stream"),
        ({"streams": [Stream("labeled", 2)]}, "streams; found a list"),
    ],
)
def test_a_stage_of_what_is_not_there_is_refused(change: dict[str, Any], said: str) -> None:
    method, facts = tiny(load_method("mean_teacher"))
    stages = method.stages(facts)
    method.stages = lambda facts: [*stages[:-1], replace(stages[-1], **change)]  # type: ignore[assignment]
    with pytest.raises(SettingsError) as caught:
        refuse_declared(method, facts, method.Settings(), method.predictor)
    assert said in str(caught.value)
    assert f"stage {stages[-1].name!r}" in str(caught.value)


@pytest.mark.parametrize(
    ("stages", "said"),
    [(None, "stages(); found None"), ([], "gives none"), (["train"], "found a str; expected a list")],
)
def test_no_stages_are_refused(stages: Any, said: str) -> None:
    method, facts = tiny(load_method("supervised"))
    method.stages = lambda facts: stages  # type: ignore[assignment]
    with pytest.raises(SettingsError) as caught:
        refuse_declared(method, facts, method.Settings(), method.predictor)
    assert said in str(caught.value)


def test_a_predictor_and_settings_that_cannot_be() -> None:
    method, facts = tiny(load_method("supervised"))
    for predictor, said in (
        ((), "names no network"),
        ("teacher", "is a text"),
        (("techer",), "found techer"),
    ):
        with pytest.raises(SettingsError, match="predictor") as caught:
            refuse_declared(method, facts, method.Settings(), predictor)
        assert said in str(caught.value)
    with pytest.raises(SettingsError, match="no paper_steps"):
        refuse_declared(method, facts, SimpleNamespace(), method.predictor)
