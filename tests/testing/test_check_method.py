"""Every method of the catalogue, its presets and the example of the docs pass every check."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from semivox.methods.catalog import CATALOG, load_method, preset_settings
from semivox.testing import CHECKS, check_method

DOCS = Path(__file__).resolve().parents[2] / "docs"
UNTRAINED: dict[str, dict[str, Any]] = {
    "self_ensembling": {"threshold": 0.0},
    "ua_mt": {"limit": "classes"},
    "cps": preset_settings("cps", load_method("cps"), "ssl4mis"),
}
"""Settings without which a method finds nothing to learn from a network that knows nothing yet, or what is
wrong: the common recipe begins with labels alone, this check does not."""


@pytest.mark.parametrize("name", CATALOG)
def test_every_method_passes(name: str) -> None:
    assert check_method(load_method(name), settings=UNTRAINED.get(name)) == tuple(CHECKS)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("cvrl", preset_settings("cvrl", load_method("cvrl"), "miccai")),
        ("cps", {}),
        ("self_ensembling", {**UNTRAINED["self_ensembling"], "sampling": "both"}),
    ],
)
def test_other_forms_of_methods_pass(name: str, settings: Mapping[str, Any]) -> None:
    check_method(load_method(name), settings=settings, learns=False)


def test_the_example_passes() -> None:
    assert check_method(load_method(f"{DOCS / 'examples' / 'mcnet.py'}:MCNet")) == tuple(CHECKS)


def test_the_method_of_the_page_passes(tmp_path: Path) -> None:
    page = (DOCS / "how-to" / "add-a-method.md").read_text(encoding="utf-8")
    mine = tmp_path / "mine.py"
    mine.write_text(page.split("```python\n")[1].split("```\n")[0], encoding="utf-8")
    check_method(load_method(f"{mine}:EntropyMinimisation"), learns=False)


def test_every_method_with_presets_has_them_checked() -> None:
    """v1 is cvrl's defaults, paper those of cps; a new preset needs a row above."""
    presets = {name: set(load_method(name).presets) for name in CATALOG}
    assert {name: found for name, found in presets.items() if found} == {
        "cvrl": {"v1", "miccai"},
        "cps": {"paper", "ssl4mis"},
    }
