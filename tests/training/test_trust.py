"""Code runs only where the user has named it: never because a settings file or a run folder does."""

from __future__ import annotations

import json
import os
import py_compile
from pathlib import Path
from typing import Any

import pytest
import yaml

from semivox.errors import SettingsError
from semivox.methods.trust import NAMED, method_sha256
from semivox.runs.environment import recorded_method
from semivox.training.config import read_config, resolve

CODE = """
from pathlib import Path
from semivox.methods.supervised import Supervised
Path(__file__).with_name("ran.txt").write_text("ran")
class Mine(Supervised):
    weight = 1
"""


class Place:
    def __init__(self, folder: Path) -> None:
        self.file, self.ran, self.run = folder / "mine.py", folder / "ran.txt", folder / "run"
        self.run.mkdir(parents=True)
        self.file.write_text(CODE)
        self.name = f"{self.file}:Mine"
        self.config = self.run / "config.yaml"
        self.says(self.name, method_sha256(self.name))

    def says(self, name: str, sha256: str | None) -> None:
        """What the run folder claims."""
        self.config.write_text(yaml.safe_dump({"format": 1, "data": "scans", "run": {"method": name}}))
        (self.run / "environment.json").write_text(json.dumps({"format": 1, "method_sha256": sha256}))

    def resume(self, named: str | None = None) -> str:
        config, found = read_config(self.config, named, recorded_method(self.run))
        assert found.__name__ == "Mine"
        return config.run.method

    def refuses(self, named: str | None = None, match: str = "--method") -> None:
        with pytest.raises(SettingsError, match=match):
            self.resume(named)
        assert not self.ran.exists()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    return Place(tmp_path / "work")


def test_a_run_of_ones_own_goes_on_until_its_file_changes(place: Place) -> None:
    resolve(Path("scans"), {"method": place.name})  # the user names it
    assert place.resume() == place.name
    place.ran.unlink()
    place.file.write_text(CODE + "other = 1")
    place.refuses(match="not the file that the run began with.*--method")
    assert place.resume(place.name) == place.name  # confirmed by name


def test_a_strangers_run_is_not_believed(place: Place) -> None:
    place.refuses()  # it names the right hash, but the user never named that file
    place.says(place.name, None)
    place.refuses()
    resolve(Path("scans"), {"method": place.name})
    place.ran.unlink()
    place.refuses()  # as of runs that were made before hashes were recorded


def test_a_settings_file_is_not_believed(place: Place) -> None:
    resolve(Path("scans"), {"method": place.name})
    place.ran.unlink()
    for given in ({}, {"labeled": "3"}):
        with pytest.raises(SettingsError, match=f"--method {place.name}"):
            resolve(Path("scans"), given, config_file=place.config)
    assert not place.ran.exists()
    assert resolve(Path("scans"), {"method": place.name}, config_file=place.config)[1].__name__ == "Mine"


@pytest.mark.parametrize("name", ["json.tool:Mine", "no_such_package_here:Mine", "mine.PY:Mine"])
def test_nor_is_a_module_imported(place: Place, name: str) -> None:
    place.says(name, None)
    place.refuses()


@pytest.mark.parametrize("inner", ["mine.py", "source/mine.py", "source/deep/mine.py"])
def test_nothing_is_imported_from_a_run_folder_even_by_name(place: Place, inner: str) -> None:
    place.ran = place.run / Path(inner).with_name("ran.txt")
    file = place.run / inner
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(CODE)
    name = f"{file}:Mine"
    place.says(name, method_sha256(name))
    place.refuses()
    place.refuses(name, "never imported from a run folder")
    link = place.run.parent / "linked.py"
    link.symlink_to(file)
    place.refuses(f"{link}:Mine", "never imported from a run folder")


def test_a_file_that_was_moved_is_known_by_its_hash(place: Place, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere.py"
    moved.write_text(CODE)
    place.file.unlink()
    assert place.resume(f"{moved}:Mine") == f"{moved}:Mine"
    moved.write_text(CODE + "other = 1")
    place.refuses(f"{moved}:Mine")


def test_what_runs_is_the_text_and_no_compiled_form(place: Place, tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    other.write_text(CODE.replace("weight = 1", "weight = 2"))
    times: Any = place.file.stat()
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    cached = place.file.parent / "__pycache__" / "mine.cpython-311.pyc"
    py_compile.compile(str(other), cfile=str(cached), dfile=str(place.file))
    assert resolve(Path("scans"), {"method": place.name})[1].weight == 1  # type: ignore[attr-defined]


def test_without_a_list_of_the_user_the_name_is_asked_for(place: Place, tmp_path: Path) -> None:
    (tmp_path / "user").write_text("a file where the folder should be")
    resolve(Path("scans"), {"method": place.name})
    place.ran.unlink()
    place.refuses()
    assert NAMED not in str(list(tmp_path.rglob("*")))
