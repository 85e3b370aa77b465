"""The count of survived faults sees a piece that is lost, one that is done twice, and one that is unlike."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import psutil
import pytest

import faults_survived
from engine_places import Place


def write(out: Path, names: list[str], masks: dict[str, bytes], seconds: float) -> Path:
    out.mkdir()
    rows = [{"case": name, "flag": "ok", "seconds": seconds} for name in names]
    (out / "predictions.json").write_text(json.dumps({"cases": rows}))
    for name, mask in masks.items():
        (out / f"{name}.nii.gz").write_bytes(mask)
    return out


def test_what_a_fault_does_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third call gives a piece up and says so; given again, it makes what was missing."""
    masks = {name: name.encode() for name in "abc"}
    wanted = write(tmp_path / "wanted", ["a", "b", "c"], masks, 1.0)
    calls = iter(
        [
            (["a", "b", "c"], masks, False),
            (["a", "b", "b"], {**masks, "a": b"other"}, False),
            (["a", "b"], {"a": b"a", "b": b"b"}, True),
            (["a", "b", "c"], masks, False),
        ]
    )
    most_asked = []

    def disturbed(place: Place, words: list[str], most: int) -> tuple[Counter[str], bool]:
        most_asked.append(most)
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        names, made, failed = next(calls)
        write(tmp_path / "out", names, made, seconds=2.0)
        return Counter(worker=1 if most else 0), failed

    monkeypatch.setattr(faults_survived, "disturbed", disturbed)
    place = Place("local:2", lambda asked: [psutil.Process()])
    row = faults_survived.survived("predict", place, tmp_path, lambda out, on: [], wanted, kills=3)
    assert most_asked == [3, 2, 1, 0]
    assert row | {"seconds": 0} == {
        "what": "predict", "killed workers": 3, "killed nodes": 0, "killed drivers": 0, "calls": 3,
        "pieces": 9, "given up": 1, "lost": 1, "twice": 1, "unlike": 2, "more files": 0, "seconds": 0,
    }  # fmt: skip
