"""The command that writes generated scans, of which ``tests/pretraining`` knows more."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from generated_scans import main
from semivox.pretraining.anatomy import LABEL


def test_the_command_writes_the_folder_and_its_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    given = [
        "--scans",
        "2",
        "--shape",
        "16",
        "16",
        "12",
        "--seed",
        "1",
        "--pictures",
        str(tmp_path / "look.png"),
    ]
    monkeypatch.setattr(sys, "argv", ["generated_scans.py", str(tmp_path / "data"), *given])
    main()
    assert "2 scans" in capsys.readouterr().out
    declared = json.loads((tmp_path / "data" / "dataset.json").read_text())
    assert declared["labels"] == {"background": 0, **LABEL}
    assert Image.open(tmp_path / "look.png").width > 200
