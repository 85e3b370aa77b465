"""``semivox methods``: the table of methods, and one method's settings with what each means."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from semivox.methods.catalog import CATALOG, RECOMMENDED

if TYPE_CHECKING:
    from rich.console import RenderableType


def methods(name: str | None = None) -> dict[str, Any]:
    """Without ``name`` the catalogue; with it one method: paper, settings, their defaults and meaning.

    ``name`` may also be a user's method, FILE.py:Class. Raises SettingsError for an unknown one.
    """
    if name is None:
        rows = {key: dataclasses.asdict(entry) for key, entry in CATALOG.items()}
        return {"format": 1, "recommended": RECOMMENDED, "methods": rows}
    from semivox.methods.catalog import load_method
    from semivox.settings import as_dict, field_docs

    method = load_method(name)
    docs = field_docs(method.Settings)
    settings = {k: {"default": v, "meaning": docs.get(k, "")} for k, v in as_dict(method.Settings()).items()}
    about = dataclasses.asdict(CATALOG[name]) if name in CATALOG else {}
    paper = {k: list(v) if isinstance(v, tuple) else v for k, v in method.paper.items()}
    module = __import__(method.__module__, fromlist=["__doc__"]).__doc__ or ""
    return {"format": 1, "name": name, **about, "about": module, "settings": settings, "paper_recipe": paper}


def render(content: Mapping[str, Any]) -> RenderableType:
    """The result of :func:`methods` for people."""
    from rich.console import Group
    from rich.markup import escape
    from rich.table import Table
    from rich.text import Text

    if "methods" in content:
        table = Table("method", "paper", "year", "idea", "needs")
        for name, row in content["methods"].items():
            shown = f"{name} (auto)" if name == content["recommended"] else name
            table.add_row(shown, *(escape(str(row[k])) for k in ("paper", "year", "idea", "needs")))
        return Group(
            table,
            Text("semivox methods NAME shows a method's settings; FILE.py:Class is a method of your own"),
        )
    table = Table("setting", "default", "meaning")
    for name, row in content["settings"].items():
        table.add_row(f"method.{name}", escape(str(row["default"])), escape(row["meaning"]))
    paper = ", ".join(f"{k}={v}" for k, v in content["paper_recipe"].items()) or "as common"
    return Group(Text(content["about"].strip()), table, Text(f"--recipe paper sets: {paper}"))
