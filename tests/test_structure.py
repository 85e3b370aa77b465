"""The house, measured (docs/structure.py): this tree, and that the measures see what they count."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]

AT_MOST = {
    "lines of a function": 73,
    "functions over 80 lines": 0,
    "import circles": 0,
    "imports past a face": 24,
}
"""Each may only shrink: whoever makes one smaller writes the smaller number here."""


@pytest.fixture(scope="module")
def structure() -> ModuleType:
    spec = importlib.util.spec_from_file_location("structure", ROOT / "docs" / "structure.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["structure"] = module
    spec.loader.exec_module(module)
    return module


def test_nothing_gets_worse(structure: ModuleType) -> None:
    house = structure.House(ROOT)
    found = {
        "lines of a function": max(house.functions.values()),
        "functions over 80 lines": sum(lines > 80 for lines in house.functions.values()),
        "import circles": len(house.circles),
        "imports past a face": len(house.past_a_face),
    }
    worse = {name: n for name, n in found.items() if n > AT_MOST[name]}
    assert worse == {}, "python docs/structure.py --names lists what was counted"


FILES = {
    "__init__": "",
    "low/__init__": "from semivox.low.a import shown\n__all__ = ['shown']\n",
    "low/a": "from semivox.low.b import shown, hidden\n",
    "low/b": "def f():\n    from semivox.low import a\n    def g():\n        pass\n",
    "high": (
        "from semivox.low import shown\n"
        "from semivox.low.a import shown\n"
        "from semivox.low.b import hidden\n"
        "from .low.b import shown as other\n"
        "import semivox.low.a\n"
    ),
}


def test_the_measures_see_what_they_count(structure: ModuleType, tmp_path: Path) -> None:
    for name, text in FILES.items():
        path = tmp_path / "src" / "semivox" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    house = structure.House(tmp_path)
    assert [(found.file, found.line) for found in house.past_a_face] == [
        ("semivox/high.py", 2),
        ("semivox/high.py", 4),
    ]
    assert [found.line for found in house.inside] == [2, 3, 4, 5]
    assert house.circles == [["semivox.low.a", "semivox.low.b"]]
    assert house.functions == {"semivox/low/b.py:f:1": 4, "semivox/low/b.py:g:3": 2}
    assert (house.rooms, house.arrows) == ({"low", "high"}, {("high", "low")})
    assert "| largest file | high.py, 5 lines |" in structure.table([house], ["now"])


def test_the_page_has_a_row_for_each_measure(structure: ModuleType) -> None:
    page = (ROOT / "docs" / "explanation" / "structure.md").read_text(encoding="utf-8")
    missing = [name for name, _ in structure.House(ROOT).rows() if f"| {name} |" not in page]
    assert missing == []


def test_the_page_is_written_row_by_row(structure: ModuleType) -> None:
    house = structure.House(ROOT)
    page = "| | before | after |\n|---|---:|---:|\n| files of Python | 266 | |\n| other | 1 | 2 |\n"
    written = structure.with_last_column(page, house)
    assert written == page.replace("| 266 | |", f"| 266 | {len(house.texts)} |")
    assert structure.with_last_column(written, house) == written
