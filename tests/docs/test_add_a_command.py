"""The command of the how-to page is one that works."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from semivox.cli import main
from semivox.commands import COMMANDS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "add-a-command.md"


def test_the_command_of_the_page_counts(
    tmp_path: Path,
    phantoms: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = PAGE.read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.S)
    row = re.search(r'    "(count)": \("([\w.]+)", "([^"]+)"\)', text)
    assert code is not None
    assert row is not None
    name, module, line = row.groups()
    (tmp_path / "count.py").write_text(code[1], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    imported: ModuleType = __import__("count")
    monkeypatch.setitem(sys.modules, module, imported)
    monkeypatch.setitem(COMMANDS, name, (module, line))
    assert imported.count(phantoms[0], kind="labeled") < imported.count(phantoms[0])
    assert main(["count", str(phantoms[0]), "--json"]) == 0
    assert '"cases": ' in capsys.readouterr().out
    assert main(["count", str(tmp_path / "nowhere")]) == 1
    assert "semivox count: " in capsys.readouterr().err
    assert main(["count", str(phantoms[0]), "--kind", "few"]) == 2
