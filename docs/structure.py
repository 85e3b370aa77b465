"""Measures the house: prints docs/explanation/structure.md's table for one source tree or several.

python docs/structure.py [--tree CHECKOUT]... [--names] [--write]
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "explanation" / "structure.md"


@dataclass(frozen=True)
class Import:
    """``name`` of ``module`` is imported in ``file``; ``module`` is a dotted name below ``semivox``."""

    file: str
    line: int
    importer: str
    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} from {self.module} import {self.name}"


class House:
    """The source below ``checkout``, read and not imported."""

    def __init__(self, checkout: Path) -> None:
        source = checkout / "src"
        self.texts = {
            path.relative_to(source).as_posix(): path.read_text(encoding="utf-8")
            for path in sorted((source / "semivox").rglob("*.py"))
        }
        self.trees = {file: ast.parse(text, file) for file, text in self.texts.items()}
        self.modules = {dotted(file): file for file in self.texts}

    @cached_property
    def lengths(self) -> dict[str, int]:
        """File -> its lines."""
        return {file: len(text.splitlines()) for file, text in self.texts.items()}

    @cached_property
    def functions(self) -> dict[str, int]:
        """``file:name`` of each function -> its lines, with its docstring and the functions inside of it."""
        return {
            f"{file}:{node.name}:{node.lineno}": (node.end_lineno or node.lineno) - node.lineno + 1
            for file, tree in self.trees.items()
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }

    @cached_property
    def imports(self) -> list[Import]:
        """All imports of semivox's own names, in functions and for type checkers too."""
        return [found for file, tree in self.trees.items() for found in self._imports_of(file, tree)]

    def _imports_of(self, file: str, tree: ast.AST) -> Iterator[Import]:
        importer = dotted(file)
        package = importer if file.endswith("__init__.py") else importer.rpartition(".")[0]
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found = [(alias.name, "") for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1])
                module = ".".join(filter(None, [base if node.level else "", node.module]))
                found = [(module, alias.name) for alias in node.names]
            else:
                continue
            for module, name in found:
                if f"{module}.{name}" in self.modules:  # from semivox.cohort import formats
                    module, name = f"{module}.{name}", ""
                if module in self.modules:
                    yield Import(file, node.lineno, importer, module, name)

    @cached_property
    def faces(self) -> dict[str, set[str]]:
        """Package -> the names that it exports."""
        return {
            module: exported(self.trees[file])
            for module, file in self.modules.items()
            if file.endswith("__init__.py")
        }

    @cached_property
    def past_a_face(self) -> list[Import]:
        """Imports from inside a package, made outside of it, of a name that its face exports too."""
        return [
            found
            for found in self.imports
            if any(found.name in self.faces[package] for package in self._faces_passed(found))
        ]

    @cached_property
    def inside(self) -> list[Import]:
        """Imports from inside a package, made outside of it, of any name."""
        return [found for found in self.imports if self._faces_passed(found)]

    def _faces_passed(self, found: Import) -> list[str]:
        parts = found.module.split(".")
        packages = (".".join(parts[:n]) for n in range(2, len(parts)))
        return [p for p in packages if p in self.faces and not f"{found.importer}.".startswith(f"{p}.")]

    @cached_property
    def circles(self) -> list[list[str]]:
        """Groups of modules that import one another, directly or not; types count."""
        arrows: dict[str, set[str]] = {module: set() for module in self.modules}
        for found in self.imports:
            arrows[found.importer].add(found.module)
        reached = {module: reach(module, arrows) for module in arrows}
        groups = {tuple(sorted(b for b in reached[a] if a in reached[b])) for a in arrows if a in reached[a]}
        return [list(group) for group in sorted(groups)]

    @cached_property
    def rooms(self) -> set[str]:
        """The files and folders directly below semivox."""
        return {room_of(module) for module in self.modules} - {""}

    @cached_property
    def arrows(self) -> set[tuple[str, str]]:
        """(room, a room that it imports)."""
        pairs = {(room_of(found.importer), room_of(found.module)) for found in self.imports}
        return {(a, b) for a, b in pairs if a and b and a != b}

    def rows(self) -> list[tuple[str, str]]:
        """The table: what is measured, and what was found."""
        longest = max(self.functions, key=lambda name: self.functions[name])
        largest = max(self.lengths, key=lambda file: self.lengths[file])
        over = {limit: sum(lines > limit for lines in self.functions.values()) for limit in (60, 80)}
        return [
            ("files of Python", str(len(self.texts))),
            ("lines", str(sum(self.lengths.values()))),
            ("largest file", f"{bare(largest)}, {self.lengths[largest]} lines"),
            ("longest function", f"`{longest.split(':')[1]}`, {self.functions[longest]} lines"),
            ("functions over 80 lines", str(over[80])),
            ("functions over 60 lines", str(over[60])),
            ("files under 60 lines", str(sum(lines < 60 for lines in self.lengths.values()))),
            ("import circles between files", str(len(self.circles))),
            ("imports past a face, of a name that it exports", str(len(self.past_a_face))),
            ("imports past a face, of any name", str(len(self.inside))),
            ("rooms, and arrows between them", f"{len(self.rooms)}, {len(self.arrows)}"),
        ]


def dotted(file: str) -> str:
    """``semivox/cohort/case.py`` -> ``semivox.cohort.case``."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def bare(file: str) -> str:
    """``semivox/cohort/case.py`` -> ``cohort/case.py``."""
    return file.removeprefix("semivox/")


def room_of(module: str) -> str:
    """``semivox.cohort.case`` -> ``cohort``; of semivox itself ``""``."""
    return [*module.split("."), ""][1]


def exported(tree: ast.Module) -> set[str]:
    """The names of ``__all__``, as it is written."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return {name.value for name in ast.walk(node.value) if isinstance(name, ast.Constant)}  # type: ignore[misc]
    return set()


def reach(start: str, arrows: dict[str, set[str]]) -> set[str]:
    """All that ``start`` leads to, itself only if a way leads back."""
    found: set[str] = set()
    left = list(arrows[start])
    while left:
        module = left.pop()
        if module not in found:
            found.add(module)
            left.extend(arrows[module])
    return found


def table(houses: Sequence[House], titles: Iterable[str]) -> str:
    """Markdown: a row a measure, a column a house."""
    columns = [house.rows() for house in houses]
    lines = [f"| | {' | '.join(titles)} |", "|---|" + "---:|" * len(houses)]
    for row in zip(*columns, strict=True):
        lines.append(f"| {row[0][0]} | {' | '.join(value for _, value in row)} |")
    return "\n".join(lines)


def with_last_column(page: str, house: House) -> str:
    """``page`` with what ``house`` has in the last column of the table's rows."""
    values = dict(house.rows())
    lines = []
    for line in page.splitlines():
        cells = line.split(" |")
        name = cells[0].removeprefix("| ")
        lines.append(" |".join([*cells[:2], f" {values[name]}", ""]) if name in values else line)
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the house.")
    parser.add_argument("--tree", type=Path, action="append", help="a checkout; again for another column")
    parser.add_argument("--names", action="store_true", help="also list what the last tree's numbers count")
    parser.add_argument("--write", action="store_true", help="write this checkout's column of the page")
    asked = parser.parse_args()
    trees = asked.tree or [ROOT]
    houses = [House(tree) for tree in trees]
    print(table(houses, [tree.resolve().name for tree in trees]))
    if asked.write:
        page = with_last_column(PAGE.read_text(encoding="utf-8"), House(ROOT))
        PAGE.write_text(page, encoding="utf-8")
    if asked.names:
        last = houses[-1]
        long = sorted(last.functions.items(), key=lambda item: -item[1])
        print("\nFunctions over 60 lines:", *(f"{name} {n}" for name, n in long if n > 60), sep="\n  ")
        print("\nCircles:", *(" ".join(group) for group in last.circles), sep="\n  ")
        print("\nPast a face, of a name that it exports:", *last.past_a_face, sep="\n  ")


if __name__ == "__main__":
    main()
