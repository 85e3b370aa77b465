"""The made pages are what their scripts make, and the pages link to what is there."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from semivox.methods.catalog import CATALOG
from semivox.prepare.plan import ChannelPlan, ClassPlan, NetworkPlan, Plan, RegionPlan

DOCS = Path(__file__).resolve().parents[2] / "docs"


def maker(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["commands", "figures", "formats", "metrics", "settings"])
def test_a_made_page_is_up_to_date(name: str) -> None:
    committed = (DOCS / "reference" / f"{name}.md").read_text(encoding="utf-8")
    assert committed == maker(f"make_{name}").page(), f"run: python docs/make_{name}.py"


def test_what_pages_say_of_methods_is_up_to_date() -> None:
    made = maker("make_methods").made()
    assert {path.stem for path in made} == {"README", *CATALOG}
    stale = [path.name for path, text in made.items() if path.read_text(encoding="utf-8") != text]
    assert stale == [], "run: python docs/make_methods.py"


def test_a_page_without_its_marks_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    make_methods = maker("make_methods")
    for text in ("nothing", "<!-- a -->", "<!-- a -->\n<!-- /a -->\n<!-- a -->\n<!-- /a -->\n"):
        page.write_text(text)
        with pytest.raises(ValueError, match="needs one <!-- a -->"):
            make_methods.filled(page, "a", "x")
    page.write_text("by hand\n<!-- a -->\nold\n<!-- /a -->\nby hand")
    assert make_methods.filled(page, "a", "new") == "by hand\n<!-- a -->\n\nnew\n\n<!-- /a -->\nby hand"


def test_every_method_has_a_page() -> None:
    assert {path.stem for path in (DOCS / "methods").glob("*.md")} >= set(CATALOG)


def table_under(heading: str, page: Path) -> list[tuple[str, str]]:
    """The first table below a heading: of each row its first two columns."""
    text = page.read_text(encoding="utf-8").split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [(row[0], row[1]) for row in rows[1:]]


def test_the_table_of_a_plan_has_every_key_of_it() -> None:
    rows = table_under("plan.json", DOCS / "reference/files.md")
    names = [name for first, _ in rows for name in re.findall(r"`(\w+)`", first)]
    assert sorted(names) == sorted(field.name for field in dataclasses.fields(Plan))
    of = {"network": NetworkPlan, "channels": ChannelPlan, "classes": ClassPlan}
    for name, kind in of.items():
        (meaning,) = [text for first, text in rows if first == f"`{name}`"]
        assert [f.name for f in dataclasses.fields(kind) if f"`{f.name}`" not in meaning] == [], name
    (meaning,) = [text for first, text in rows if first == "`regions`"]
    own = {f.name for f in dataclasses.fields(RegionPlan)} - {f.name for f in dataclasses.fields(ClassPlan)}
    assert [name for name in sorted(own) if f"`{name}`" not in meaning] == []


def test_links_lead_somewhere() -> None:
    pages = [*sorted(DOCS.rglob("*.md")), DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md"]
    assert len(pages) > 10
    links = [(p, link) for p in pages for link in re.findall(r"\]\(([^)#]+)", p.read_text(encoding="utf-8"))]
    local = [(p, link) for p, link in links if "://" not in link]
    assert len(local) > 20
    assert [f"{p.name}: {link}" for p, link in local if not (p.parent / link).exists()] == []


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_into_a_page_name_a_heading_of_it() -> None:
    pages = [*sorted(DOCS.rglob("*.md")), DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md"]
    links = [
        (page, (page.parent / name).resolve() if name else page, anchor)
        for page in pages
        for name, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text(encoding="utf-8"))
    ]
    assert len(links) > 10
    assert [
        f"{p.name}: {to.name}#{a}" for p, to, a in links if to.suffix == ".md" and a not in headings(to)
    ] == []


def test_every_page_can_be_found_from_the_first() -> None:
    first = DOCS / "README.md"
    linked = {
        (DOCS / link).resolve() for link in re.findall(r"\]\(([^)#]+)", first.read_text(encoding="utf-8"))
    }
    files = {*DOCS.rglob("*.md"), *(path for path in (DOCS / "examples").iterdir() if path.is_file())}
    assert {str(path.relative_to(DOCS)) for path in files - {first} - linked} == set()
