"""``semivox methods``: the table of methods, and one method's settings with what each means."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

from semivox.methods.origins import ORIGINS, split_origin
from semivox.options import Command, Json, Positional, from_options
from semivox.settings import as_dict, field_docs, plain
from semivox.terminal import show

if TYPE_CHECKING:
    from rich.console import RenderableType


@dataclass(frozen=True)
class MethodsOptions:
    """What to list."""

    name: Annotated[str | None, Positional("NAME")] = None
    """A method of the list or one of your own, FILE.py:Class; without it, all of the list."""


@from_options(MethodsOptions)
def methods(options: MethodsOptions) -> dict[str, Any]:
    """Without ``name`` the catalogue and what installed packages add; with it one method: paper, settings,
    their defaults, meaning and where each default comes from, and its presets.

    ``name`` may have a preset behind it, which must be one of the method's and changes nothing. Raises
    SettingsError for an unknown name.
    """
    from semivox.methods.catalog import (
        CATALOG,
        RECOMMENDED,
        described,
        listed,
        load_method,
        parse_method,
        preset_settings,
    )
    from semivox.methods.words import split_words

    name = options.name
    if name is None:
        rows = {key: dataclasses.asdict(entry) for key, entry in listed().items()}
        return {"format": 1, "recommended": RECOMMENDED, "methods": rows}
    name, preset, _ = parse_method(name)
    method = load_method(name)
    preset_settings(name, method, preset)
    settings = _settings(method.Settings)
    recipe = plain(method.paper)
    if "paper_steps" in settings:
        recipe = {"run.steps": settings["paper_steps"]["default"], **recipe}
    words, about = split_words(sys.modules[method.__module__].__doc__)
    row = listed().get(name)
    if words and name not in CATALOG:  # a file's, or an installed method's, which the list does not import
        basis = "; ".join(filter(None, (words.basis, row.basis if row else "")))
        row = described(row.where if row else name, replace(words, basis=basis))
    return {
        "format": 1,
        "name": name,
        **(dataclasses.asdict(row) if row else {}),
        "about": about,
        "settings": settings,
        "presets": {key: plain(changes) for key, changes in method.presets.items()},
        "paper_recipe": recipe,
    }


def _settings(cls: type) -> dict[str, dict[str, Any]]:
    """Name -> default, meaning, from; fields that a base class documents included."""
    docs, found = field_docs(cls), {}
    for name, default in as_dict(cls()).items():
        meaning, origin = split_origin(docs.get(name, ""))
        found[name] = {"default": default, "meaning": meaning, "from": origin}
    return found


def written(value: Any) -> str:
    """A setting's value as it is written in YAML."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return "[" + ", ".join(written(v) for v in value) + "]"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def render(content: Mapping[str, Any]) -> RenderableType:
    """The result of :func:`methods` for people."""
    return _catalogue(content) if "methods" in content else _method(content)


def _catalogue(content: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    heading = Text("idea\npaper · needs · 2D/3D · where its settings are from\n", style="bold")
    table.add_row(Text("method", style="bold"), heading)
    for name, row in content["methods"].items():
        shown = f"{name}\n(auto)" if name == content["recommended"] else name
        table.add_row(Text(shown), Text.assemble(row["idea"] or row["where"], "\n", (_facts(row), "dim")))
    last = "semivox methods NAME shows a method's settings; FILE.py:Class is a method of your own"
    return Group(
        table, Text(f"\nauto: taken when no method is named, with unlabelled scans and time for them\n{last}")
    )


def _facts(row: Mapping[str, Any]) -> str:
    """Paper, what it needs, where its settings are from, in one line."""
    return " · ".join(row[key] for key in ("paper", "needs", "dims", "basis") if row.get(key))


def _method(content: Mapping[str, Any]) -> RenderableType:
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table("setting", "default", "from", "meaning", box=SIMPLE_HEAD, pad_edge=False)
    for name, row in content["settings"].items():
        cells = (f"method.{name}", written(row["default"]), row["from"], row["meaning"])
        table.add_row(*map(Text, cells))
    lines = [f"{content['name']}:{key} sets {_sets(changes)}" for key, changes in content["presets"].items()]
    lines.append(f"--recipe paper sets {_sets(content['paper_recipe'])}")
    used = {row["from"] for row in content["settings"].values()}
    meaning = "; ".join(f"{origin}: {text}" for origin, text in ORIGINS.items() if origin in used)
    if meaning:
        lines.append(f"from says where a default was taken from. {meaning}")
    about = _flowing(content["about"].strip())
    if content.get("idea"):
        title, _, rest = about.partition("\n")
        about = "\n".join([title, content["idea"], _facts(content), rest])
    return Group(Text(about), table, *map(Text, lines))


def _flowing(text: str) -> str:
    """Its paragraphs and points as one line each, which the terminal breaks; indented equations stay."""
    lines: list[str] = []
    for line in text.splitlines():
        before = lines[-1] if lines else ""
        indent = 2 if before.startswith("* ") else 0
        goes_on = before[:1] not in ("", " ") and line[:indent].isspace() == bool(indent)
        if goes_on and line[indent : indent + 1] not in ("", " ") and not line.startswith("* "):
            lines[-1] += " " + line.strip()
        else:
            lines.append(line)
    return "\n".join(lines)


def _sets(changes: Mapping[str, Any]) -> str:
    return (
        ", ".join(f"{key}={written(value)}" for key, value in changes.items()) or "nothing, it is the default"
    )


@dataclass(frozen=True)
class MethodsArguments(MethodsOptions, Json):
    """What the command line takes."""


def main(given: MethodsArguments) -> int:
    """Show the catalogue, or one method."""
    table = methods.of(given)
    show(table if given.json else render(table))
    return 0


COMMAND = Command(MethodsArguments, main, ("semivox methods", "semivox methods mean_teacher"))
