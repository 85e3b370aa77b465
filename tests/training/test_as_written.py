"""A setting means the same by whichever way it was given, and a path the same from every folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from semivox.errors import SettingsError
from semivox.settings import parse_assignment
from semivox.training.config import Config, read_config, refuse_changes, resolve, write_config


def by_config(name: str, text: str, folder: Path) -> Config:
    file = folder / "settings.yaml"
    file.write_text(f"run:\n  {name}: {text}\n")
    return resolve(Path("scans"), {}, config_file=file)[0]


def by_set(name: str, text: str) -> Config:
    return resolve(Path("scans"), {}, assignments=dict([parse_assignment(f"run.{name}={text}")]))[0]


@pytest.mark.parametrize(
    ("name", "text", "meant"),
    [
        ("labeled", "2", "2"), ("labeled", "2p@3", "2p@3"), ("labeled", "null", None),
        ("budget", "1h", 3600.0), ("budget", "1h30m", 5400.0), ("budget", "90", 90.0),
        ("budget", "1.5m", 90.0), ("init", "2024", "2024"),
    ],
)  # fmt: skip
def test_a_flag_a_setting_and_a_file_say_the_same(name: str, text: str, meant: Any, tmp_path: Path) -> None:
    flag = resolve(Path("scans"), {name: None if text == "null" else text})[0]
    plain = resolve(Path("scans"), {name: yaml.safe_load(text)})[0]
    for config in (flag, plain, by_set(name, text), by_config(name, text, tmp_path)):
        assert getattr(config.run, name) == meant


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("run.labeled=1.5", "8, 7p, 8@3"), ("run.labeled=true", "8, 7p, 8@3"),
        ("run.labeled=[2]", "8, 7p, 8@3"), ("run.budget=soon", "30m, 2h"), ("run.budget=0", "greater than 0"),
        ("run.budget=0s", "30m, 2h"), ("run.budget=-3", "greater than 0"), ("run.budget=true", "a number"),
        ("run.steps=1e3", "a whole number"), ("run.guard=7", "true or false"), ("run.init=[1]", "a text"),
    ],
)  # fmt: skip
def test_other_values_are_refused_in_our_words(text: str, expected: str, tmp_path: Path) -> None:
    name, _, value = text.removeprefix("run.").partition("=")
    for told in (lambda: by_set(name, value), lambda: by_config(name, value, tmp_path)):
        with pytest.raises(SettingsError, match=f"run.{name}.*expected.*({expected})") as error:
            told()
        assert "Input should" not in str(error.value)
        assert "unable to parse" not in str(error.value)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    (folder / "first").mkdir(parents=True)
    (folder / "names.txt").write_text("a\n")
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(folder)
    return folder


PATHS = {"labeled": "names.txt", "init": "first", "mlflow": "tracking"}


@pytest.mark.parametrize("name", PATHS)
def test_a_path_is_written_down_as_one_of_every_folder(name: str, work: Path) -> None:
    text = PATHS[name]
    for config in (resolve(Path("scans"), {name: text})[0], by_set(name, text), by_config(name, text, work)):
        assert getattr(config.run, name) == str(work / text)


@pytest.mark.parametrize("name", PATHS)
def test_a_run_goes_on_from_every_folder(name: str, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PATHS[name]
    write_config(work / "config.yaml", by_set(name, text))
    ways = {
        work: (text, f"./{text}", f"../work/{text}", str(work / text)),
        work.parent: (f"work/{text}", f"link/{text}", str(work.parent / "link" / text)),
        work.parent / "elsewhere": (None, f"../work/{text}", str(work / text)),
    }
    for folder, texts in ways.items():
        monkeypatch.chdir(folder)
        saved, _ = read_config(work / "config.yaml")
        for each in texts:
            assert refuse_changes(saved, {name: each}, {}) == saved
            assert refuse_changes(saved, {}, {} if each is None else {f"run.{name}": each}) == saved
        for other in (f"other/{text}", "7@2"):
            with pytest.raises(SettingsError, match=f"changed settings.*run.{name}"):
                refuse_changes(saved, {name: other}, {})


@pytest.mark.parametrize("name", PATHS)
def test_a_relative_path_of_an_earlier_version_holds_in_its_folder(name: str, work: Path) -> None:
    text = PATHS[name]
    (work / "config.yaml").write_text(f"format: 1\ndata: scans\nrun:\n  {name}: {text}\n")
    saved, _ = read_config(work / "config.yaml")
    for each in (None, text, str(work / text)):
        assert refuse_changes(saved, {name: each}, {}) == saved


def test_a_number_is_no_file_that_is_called_so(work: Path) -> None:
    (work / "8").write_text("a\n")
    config = by_set("labeled", "8")
    assert config.run.labeled == "8"
    with pytest.raises(SettingsError, match="changed settings"):
        refuse_changes(config, {"labeled": str(work / "8")}, {})


@pytest.mark.parametrize("name", ["generated", "scratch", "auto"])
def test_words_for_weights_are_no_folders(name: str, work: Path) -> None:
    (work / name).mkdir()
    assert by_set("init", name).run.init == name
