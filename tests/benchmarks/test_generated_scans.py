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
    assert declared["labels"].items() <= {"background": 0, **LABEL}.items()
    assert len(declared["labels"]) > 2
    assert Image.open(tmp_path / "look.png").width > 200


def test_what_is_wrong_is_said_without_a_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "mine").write_text("mine")
    for out, shape, told in ((tmp_path, "16", "not empty"), (tmp_path / "new", "2", "no such shape")):
        line = ["generated_scans.py", str(out), "--scans", "1", "--shape", shape, shape, "--seed", "1"]
        monkeypatch.setattr(sys, "argv", line)
        with pytest.raises(SystemExit, match=told) as ended:  # Python prints a text and exits with 1
            main()
        assert ended.value.__suppress_context__
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
