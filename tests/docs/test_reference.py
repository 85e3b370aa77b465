"""The settings page is what its script makes, and the pages link to what is there."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from semivox.methods.catalog import CATALOG

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def make_settings() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_settings", DOCS / "make_settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_settings_page_is_up_to_date(make_settings: ModuleType) -> None:
    committed = (DOCS / "reference" / "settings.md").read_text(encoding="utf-8")
    assert committed == make_settings.page(), "run: python docs/make_settings.py"


def test_every_method_has_a_page() -> None:
    assert {path.stem for path in (DOCS / "methods").glob("*.md")} >= set(CATALOG)


def test_links_lead_somewhere() -> None:
    pages = [*sorted(DOCS.rglob("*.md")), DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md"]
    assert len(pages) > 10
    links = [(p, link) for p in pages for link in re.findall(r"\]\(([^)#]+)", p.read_text(encoding="utf-8"))]
    local = [(p, link) for p, link in links if "://" not in link]
    assert len(local) > 20
    assert [f"{p.name}: {link}" for p, link in local if not (p.parent / link).exists()] == []
