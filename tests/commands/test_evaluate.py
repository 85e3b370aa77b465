"""The command writes what it returns, whole or not at all."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from semivox import engines
from semivox.cohort.formats import write_mask
from semivox.cohort.volume import Volume
from semivox.commands.evaluate import evaluate, render
from semivox.elsewhere import bundles
from semivox.engines import Engine, Needs, Tell
from semivox.errors import DataError, SettingsError


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for i in range(3):
        mask = np.zeros((9, 9, 6), np.uint8)
        mask[2:6, 3:7, 1:4] = 1
        like = Volume(mask[None], np.diag([1.0, 1.0, 2.0, 1.0]))
        write_mask(tmp_path / "labels" / f"c{i}.nii.gz", mask, like)
        write_mask(tmp_path / "out" / f"c{i}.nii.gz", np.roll(mask, i, 0), like)
    return tmp_path / "out", tmp_path / "labels"


def test_writes_what_it_returns(folders: tuple[Path, Path], tmp_path: Path) -> None:
    found = evaluate(*folders)
    assert json.loads((folders[0] / "evaluation.json").read_text()) == found
    assert [found["cases"][f"c{i}"]["1"]["dice"] for i in range(3)] == [1, 0.75, 0.5]
    elsewhere = evaluate(*folders, out=tmp_path / "deep" / "e.json", tolerance_mm=0.5)
    assert json.loads((tmp_path / "deep" / "e.json").read_text()) == elsewhere
    assert elsewhere["mean"]["1"]["nsd"] < found["mean"]["1"]["nsd"]
    assert evaluate(*folders) == found  # its own file is no mask


def test_a_failure_leaves_the_old_file(folders: tuple[Path, Path]) -> None:
    evaluate(*folders)
    before = (folders[0] / "evaluation.json").read_bytes()
    (folders[0] / "c1.nii.gz").unlink()
    with pytest.raises(DataError):
        evaluate(*folders)
    with pytest.raises(SettingsError):
        evaluate(*folders, missing_as_empty=True, policy="best")  # type: ignore[arg-type]
    assert (folders[0] / "evaluation.json").read_bytes() == before
    assert sorted(p.name for p in folders[0].iterdir()) == ["c0.nii.gz", "c2.nii.gz", "evaluation.json"]


def test_processes_measure_what_one_measures(
    folders: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[tuple[int, int]] = []

    def engine_on(on: str, needs: Needs, tell: Tell, folder: Path) -> Engine:
        tell("it waits: 100 % busy")
        return engines.engine_on(on, needs, tell, folder)

    monkeypatch.setattr(bundles, "engine_on", engine_on)
    evaluate(*folders, out=tmp_path / "here.json")
    evaluate(*folders, out=tmp_path / "there.json", on="local:2", progress=lambda *at: seen.append(at))
    assert (tmp_path / "there.json").read_bytes() == (tmp_path / "here.json").read_bytes()
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert caplog.messages == ["it waits: 100 % busy"]
    (folders[0] / "c1.nii.gz").write_bytes(b"no mask")
    with pytest.raises(DataError, match=r"c1\.nii\.gz: unreadable"):
        evaluate(*folders, on="local:1")


def test_render(folders: tuple[Path, Path]) -> None:
    console = Console(width=120, file=io.StringIO())
    console.print(render(evaluate(*folders)))
    text = console.file.getvalue()
    assert "3 cases" in text
    assert "0.750 [0.500, 1.000]" in text


def test_imports_no_torch() -> None:
    names = "{'torch', 'monai', 'lightning', 'medpy'}"
    code = f"import sys, semivox.commands.evaluate; print(sorted({names} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
