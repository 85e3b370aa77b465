"""A method whose code has changed is another one, however it was named: for a comparison, and for a run."""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import semivox
from semivox.commands import compare as module
from semivox.commands.compare import Comparison
from semivox.comparison.cell_run import CellRunner, _facts
from semivox.comparison.cells import Cell, write_finished
from semivox.comparison.cross_validation import as_comparison
from semivox.comparison.request import keep, read_request
from semivox.comparison.variants import read_methods
from semivox.errors import SettingsError
from semivox.evaluation import METRICS, summarise
from semivox.files import write_json
from semivox.methods.catalog import CATALOG
from semivox.methods.trust import NAMED
from semivox.runs.environment import recorded_method
from semivox.runs.records import record_environment
from semivox.testing.displays import Told
from semivox.training.config import resolve
from semivox.training.options import TrainOptions
from semivox.training.processes import Processes

CODE = """
from pathlib import Path
from semivox.methods.supervised import Supervised
Path(__file__).with_name("ran.txt").write_text("ran")
class Mine(Supervised):
    presets = {"bold": {"ema_decay": 0.5}}
    version = 1
"""
OTHER = CODE.replace("version = 1", "version = 2")
NAMES = (
    "{folder}/theirs_pack/code.py:Mine", "theirs_pack.code:Mine", "theirs_pack:Mine", "theirs",
    "theirs:bold", "theirs{{ema_decay=0.25}}",
)  # fmt: skip
"""All ways to name one class: its file, its module, where it is imported to, an installed package's name."""


CPU = torch.device("cpu")
CARD = {"method": "m", "predictor": ["student"], "steps": 1, "model_id": "m"}


class Package:
    """An installed package with a method, on the path; ``say`` rewrites its code, as an editor would."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "theirs_pack/code.py"
        self.file.parent.mkdir()
        (folder / "theirs_pack/__init__.py").write_text("from theirs_pack.code import Mine\n")
        record = folder / "theirs-1.0.dist-info"
        record.mkdir()
        (record / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
        (record / "entry_points.txt").write_text("[semivox.methods]\ntheirs = theirs_pack.code:Mine\n")
        self.say(CODE)

    def say(self, code: str) -> None:
        self.file.write_text(code)
        self.forget()

    def forget(self) -> None:
        """As a new process begins."""
        for name in [name for name in sys.modules if name.startswith("theirs_")]:
            del sys.modules[name]
        importlib.invalidate_caches()

    def named(self, name: str) -> str:
        return name.format(folder=self.folder)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    (tmp_path / "site").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "site")
    made = Package(tmp_path / "site")
    yield made
    made.forget()


@pytest.mark.parametrize("name", NAMES)
def test_other_code_is_another_variant_however_it_is_named(name: str, package: Package) -> None:
    def variant() -> str:
        package.forget()
        chosen, _, _ = read_methods(package.named(name), "supervised")
        return chosen[1].name

    first = variant()
    assert variant() == first
    package.say(OTHER)
    assert variant() != first
    package.say(CODE)
    assert variant() == first


@pytest.mark.parametrize("name", NAMES)
def test_a_run_that_goes_on_with_other_code_says_so_however_it_is_named(
    name: str, package: Package, tmp_path: Path
) -> None:
    def recorded(display: Told) -> str | None:
        config, kind = resolve(Path("scans"), {"method": package.named(name)})
        record_environment(tmp_path / "environment.json", config, kind, CPU, display, Processes())
        return recorded_method(tmp_path)

    first, quiet, told = recorded(Told()), Told(), Told()
    assert first is not None
    package.forget()
    assert recorded(quiet) == first
    package.say(OTHER)
    second = recorded(told)
    assert second != first
    assert quiet.said == []
    (line,) = told.said
    assert line.startswith("warning: not bit for bit")
    assert line.endswith(f"method_sha256: {first} -> {second}")


@pytest.mark.parametrize("name", ["supervised", "theirs_pack.code:Mine"])
def test_a_record_of_an_earlier_version_says_nothing_of_the_code(
    name: str, package: Package, tmp_path: Path
) -> None:
    path, display = tmp_path / "environment.json", Told()
    config, kind = resolve(Path("scans"), {"method": name})
    record_environment(path, config, kind, CPU, display, Processes())
    content = json.loads(path.read_text())
    assert ("method_sha256" in content) == (name not in CATALOG)
    content.pop("method_sha256", None)
    path.write_text(json.dumps(content))
    record_environment(path, config, kind, CPU, display, Processes())
    assert display.said == []


def test_what_is_loaded_is_what_is_recorded_though_its_file_was_edited_since(package: Package) -> None:
    """A module is imported once a process: the old code goes on."""
    name = "theirs_pack.code:Mine"
    before = read_methods(name, name)[1]
    package.file.write_text(OTHER)
    assert read_methods(name, name)[1] == before


# ---- a comparison


@pytest.fixture
def compare(
    phantoms: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Comparison]:
    """``compare`` without training, into tmp_path/out: each cell records the code that it ran."""

    def run(self: CellRunner, cell: Cell) -> None:
        rows = {c.name: {"1": dict.fromkeys(METRICS, 0.5)} for c in self.request.group(cell).held_out}
        mean, ci95 = summarise(rows, {name: name for name in rows}, ["1"])
        about = {"classes": {"1": "atrium"}, "policy": {"name": "default", "tolerance_mm": 2.0}}
        write_json(cell.evaluation, {"format": 1, "mean": mean, "ci95": ci95, "cases": rows, **about})
        config, kind = resolve(Path("scans"), {"method": cell.variant.text})
        environment = cell.folder / "environment.json"
        record_environment(environment, config, kind, CPU, Told(), Processes())
        write_json(cell.folder / "model.json", CARD)
        write_json(cell.folder / "status.json", {"state": "done"})
        write_json(cell.folder / "plan.json", {})
        write_finished(cell, _facts(cell))

    monkeypatch.setattr(module, "_draw", lambda out, display: None)
    monkeypatch.setattr(CellRunner, "run", run)

    def call(**options: Any) -> Comparison:
        made = semivox.compare(phantoms[0], tmp_path / "out", test=phantoms[1], steps=1, **options)
        assert [cell.get("error") for cell in made.content["cells"]] == [None] * len(made.content["cells"])
        return made

    return call


@pytest.mark.parametrize("name", NAMES)
def test_no_row_of_a_comparison_has_cells_of_two_codes(
    name: str, package: Package, compare: Callable[..., Comparison]
) -> None:
    compare(methods=package.named(name), seeds="0")
    package.say(OTHER)
    content = compare(methods=package.named(name), seeds="0,1").content
    ran: dict[str, set[str]] = {}
    for cell in content["cells"]:
        ran.setdefault(cell["variant"], set()).add(cell["method_sha256"])
    assert len(ran) == 3  # the reference is ours
    assert all(len(codes) == 1 for codes in ran.values())
    assert content["notes"] == []


def test_a_comparison_of_an_earlier_version_goes_on_and_tells_what_it_cannot_know(
    package: Package, compare: Callable[..., Comparison], tmp_path: Path
) -> None:
    """Variants in packages went by their text alone then, and cells did not record their code."""
    name, old, out = "theirs_pack.code:Mine", "theirs", tmp_path / "out"
    compare(methods="theirs", seeds="0")
    (new,) = {place.name for place in (out / "cells").iterdir()} - {"supervised"}
    assert new != old
    shutil.move(out / "cells" / new, out / "cells" / old)
    request = (out / "request.json").read_text().replace(f'"{new}"', f'"{old}"')
    (out / "request.json").write_text(request)
    cells = list((out / "cells" / old).rglob("cell.json"))
    for path in (*cells, cells[0].with_name("environment.json")):
        content = json.loads(path.read_text())
        del content["method_sha256"]
        path.write_text(json.dumps(content))
    before = cells[0].read_bytes()

    package.say(OTHER)
    content = compare(methods="theirs", seeds="0,1").content
    assert cells[0].read_bytes() == before
    assert {cell["variant"] for cell in content["cells"]} == {"supervised", old}
    (note,) = content["notes"]
    assert note.startswith(f"the cells of {old} differ in method_sha256: None (1), ")
    # what is new there goes by the code
    more = compare(methods=name, seeds="0").content
    assert f"{name.lower().replace(':', '-')}~" in " ".join(cell["variant"] for cell in more["cells"])


def test_cells_that_an_earlier_version_measured_are_known_by_what_their_runs_recorded(
    package: Package, compare: Callable[..., Comparison], tmp_path: Path
) -> None:
    name = f"{package.file}:Mine"
    compare(methods=name, seeds="0")
    for path in (tmp_path / "out/cells").rglob("cell.json"):
        content = json.loads(path.read_text())
        path.write_text(json.dumps({k: v for k, v in content.items() if k != "method_sha256"}))
    assert compare(methods=name, seeds="0,1").content["notes"] == []


# ---- folds go on with the method that their folder tells


@pytest.mark.parametrize("name", ["theirs_pack:Mine", "{folder}/theirs_pack/code.py:Mine"])
def test_folds_do_not_import_what_a_folder_alone_names(
    name: str, package: Package, phantoms: tuple[Path, Path], tmp_path: Path
) -> None:
    text, ran = package.named(name), package.file.with_name("ran.txt")

    def asked(**more: Any) -> Any:
        return as_comparison(TrainOptions(phantoms[0], tmp_path / "runs", folds=2, steps=1, **more))

    keep(read_request(asked(method=text)))
    (tmp_path / "user/semivox" / NAMED).unlink(missing_ok=True)  # somebody else's folder
    package.forget()
    ran.unlink(missing_ok=True)
    with pytest.raises(SettingsError, match=r"request\.json.*--method"):
        asked(resume=True)
    assert not ran.exists()
    resolve(Path("scans"), {"method": text})  # the user's own
    assert asked(resume=True).methods == text
