"""Writes what the pages say of the methods in many places from the one where each is told, its own file.

python docs/make_methods.py

The table in README.md, the list in docs/README.md and the tables of settings in docs/methods/*.md stand
between ``<!-- NAME -->`` and ``<!-- /NAME -->``; what lies outside of these marks is written by hand.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

from semivox.commands.methods import written
from semivox.methods import CATALOG, entry, load_method
from semivox.methods.origins import ORIGINS, split_origin
from semivox.settings import field_docs

DOCS = Path(__file__).parent


def made() -> dict[Path, str]:
    """Page -> its whole text as it should be.

    Raises ValueError for a page that lacks its marks, FileNotFoundError for a method without a page.
    """
    pages = {
        DOCS.parent / "README.md": ("methods", readme_table()),
        DOCS / "README.md": ("methods", docs_list()),
        **{DOCS / "methods" / f"{name}.md": ("switches", switches(name)) for name in CATALOG},
    }
    return {page: filled(page, *part) for page, part in pages.items()}


def filled(page: Path, mark: str, content: str) -> str:
    """The page's text with ``content`` between its marks."""
    text = page.read_text(encoding="utf-8")
    between = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
    if len(between.findall(text)) != 1:
        raise ValueError(f"{page} needs one <!-- {mark} --> and, below it, <!-- /{mark} -->")
    return between.sub(lambda match: f"{match[1]}\n{content}\n\n{match[2]}", text)


def readme_table() -> str:
    """Every method and its idea."""
    rows = ["| method | idea |", "| --- | --- |"]
    for name in CATALOG:
        row = entry(name)
        cited = f" ({row.paper})" if row.paper else ""
        rows.append(f"| `{name}` | {row.idea}{cited} |")
    return "\n".join(rows)


def docs_list() -> str:
    """Every method's page."""
    return "\n".join(f"* [{name}](methods/{name}.md): {entry(name).idea}." for name in CATALOG)


def switches(name: str) -> str:
    """Settings of a method, what each means, and how sure its default is."""
    method = load_method(name)
    others = [preset for preset, changes in method.presets.items() if changes]
    columns = ["setting", "default", *(f"`{name}:{preset}`" for preset in others), "from", "meaning"]
    docs, used, rows = field_docs(method.Settings), set(), []
    for field in dataclasses.fields(method.Settings):
        meaning, origin = split_origin(docs[field.name])
        used.add(origin)
        values = [f"`{written(field.default)}`"]
        values += [_preset_value(method.presets[preset], field.name) for preset in others]
        rows.append([f"`method.{field.name}`", *values, origin, meaning.replace("|", "\\|")])
    table = [columns, ["---"] * len(columns), *rows]
    origins = "; ".join(f"*{origin}*: {text}" for origin, text in ORIGINS.items() if origin in used)
    return "\n".join(["| " + " | ".join(row) + " |" for row in table] + ["", *_after(name, origins)])


def _after(name: str, origins: str) -> Iterator[str]:
    yield f"*From* says how sure a default is. {origins}."
    if changes := load_method(name).paper:
        yield f"\n`--recipe paper` sets {', '.join(f'`{key}={written(v)}`' for key, v in changes.items())}."


def _preset_value(changes: object, name: str) -> str:
    assert isinstance(changes, dict)
    return f"`{written(changes[name])}`" if name in changes else ""


if __name__ == "__main__":
    for page, text in made().items():
        page.write_text(text, encoding="utf-8")
