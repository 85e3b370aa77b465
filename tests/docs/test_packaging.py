"""What the package says of itself: its dependencies, their licences, its address."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[\s<>=!~\[;]", name)[0]).lower()


def declared(*extras: str) -> set[str]:
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    return {plain(line) for lines in lists for line in lines}


def test_what_is_imported_is_declared() -> None:
    owners = packages_distributions()
    tops = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                tops |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                tops.add((node.module or "").partition(".")[0])
    outside = tops - set(sys.stdlib_module_names) - {"semivox"}
    assert len(outside) > 10
    known = declared(
        "annotate", "dicom", "export", "monai", "tensorboard", "mlflow", "ray", "remote", "wandb"
    )
    undeclared = {top for top in outside if not {plain(o) for o in owners.get(top, [top])} & known}
    assert undeclared == set()


def test_licences_of_all_direct_dependencies_are_told() -> None:
    page = (ROOT / "docs" / "reference" / "licences.md").read_text(encoding="utf-8")
    rows = [line.replace("*", "") for line in page.splitlines() if line.startswith("|")]
    told = {
        plain(word) for row in rows for cell in row.split("|") for word in cell.split(", ") if word.strip()
    }
    told |= {plain(word.strip()) for row in rows for cell in row.split("|") for word in cell.split(",")}
    assert declared(*PROJECT["optional-dependencies"]) - told == set()


def test_the_project_has_one_address_and_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["repository-code"] == PROJECT["urls"]["Repository"]
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert all(url.startswith(PROJECT["urls"]["Repository"]) for url in PROJECT["urls"].values())


def test_the_readme_leads_somewhere_on_a_package_index_too() -> None:
    """There it stands alone: each link is absolute; one into the repository names a file that is there."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    assert len(links) > 10
    assert [link for link in links if not link.startswith("https://")] == []
    address = PROJECT["urls"]["Repository"]
    inside = [
        re.sub(r"^(blob|raw)/main/|#.*$", "", link[len(address) + 1 :]) for link in links if address in link
    ]
    assert [path for path in inside if path != "issues" and not (ROOT / path).is_file()] == []
    assert len(inside) > 10


def test_pages_for_users_know_no_insiders_words() -> None:
    """Newcomers cannot resolve them."""
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    words = re.compile(r"\b(the|our|honest) house\b|\bhouse's\b", re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in pages
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if words.search(line)
    ]
    assert found == []
    assert not words.search(PROJECT["description"])
