"""Names of a package that are imported when they are first used.

A package lists what it hands out in ``__all__`` and, for people and type checkers, imports it under
``if TYPE_CHECKING:``. Where each name lives is read from there::

    if TYPE_CHECKING:
        from semivox.cohort.volume import Volume

    __all__ = ["Volume"]
    __getattr__, __dir__ = attach(__name__)
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def attach(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of the package of this name, which is being imported."""
    homes: dict[str, str] = {}

    def get(name: str) -> Any:
        if not homes:
            homes.update(homes_in(source_of(package)))
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if homes[name] == package:
            return import_module(f"{package}.{name}")
        return getattr(import_module(homes[name]), name)

    return get, lambda: sorted(sys.modules[package].__all__)


def source_of(module: str) -> str:
    """The source of an imported module. Raises OSError where it was installed without it."""
    spec = sys.modules[module].__spec__
    get_source = getattr(spec and spec.loader, "get_source", None)
    source = None if get_source is None else get_source(module)
    if not isinstance(source, str):
        raise OSError(f"the source of {module} is not there")
    return source


def homes_in(source: str) -> dict[str, str]:
    """Name -> module, of every ``from module import name`` under ``if TYPE_CHECKING:``."""
    import ast  # slow for `semivox --help`, which needs none of the names

    return {
        alias.name: statement.module
        for block in ast.parse(source).body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        if isinstance(statement, ast.ImportFrom) and statement.module
        for alias in statement.names
    }
