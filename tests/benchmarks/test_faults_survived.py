"""The count of survived faults sees a piece that is lost, one that is done twice, and one that is unlike."""

from __future__ import annotations

import json
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
    masks = {name: name.encode() for name in "abc"}
    wanted = write(tmp_path / "wanted", ["a", "b", "c"], masks, 1.0)
    calls = [
        (["a", "b", "c"], masks),
        (["a", "b", "b"], {**masks, "a": b"other"}),
    ]

    def disturbed(place: Place, words: list[str], most: int) -> Counter[str]:
        write(tmp_path / "out", *calls[2 - most], seconds=2.0)
        return Counter(worker=1)

    monkeypatch.setattr(faults_survived, "disturbed", disturbed)
    place = Place("local:2", lambda asked: [psutil.Process()])
    row = faults_survived.survived("predict", place, tmp_path, lambda out, on: [], wanted, kills=2)
    assert row | {"seconds": 0} == {
        "what": "predict", "killed workers": 2, "killed nodes": 0, "killed drivers": 0,
        "calls": 2, "pieces": 6, "lost": 1, "twice": 1, "unlike": 2, "more files": 0, "seconds": 0,
    }  # fmt: skip
