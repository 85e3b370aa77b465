"""The class of a method from ``FILE.py:Class`` or ``package.module:Class``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from traceback import walk_tb
from types import CodeType
from typing import TYPE_CHECKING, Any

from semivox.errors import METHOD_FILES, SettingsError, place_in
from semivox.files import real_path

if TYPE_CHECKING:
    from semivox.methods.declare import Method


def load_class(where: str) -> type[Method]:
    """Import the file or module and take the class.

    Raises SettingsError where it cannot be imported, has no such class, or the class is no method.
    """
    module_name, _, class_name = where.rpartition(":")
    if not module_name or not class_name:
        raise SettingsError(
            "this names no class", found=repr(where), expected="FILE.py:Class or package.module:Class"
        )
    module = _load_file(Path(module_name)) if module_name.endswith(".py") else _load_module(module_name)
    if not hasattr(module, class_name):
        raise SettingsError(
            f"{module_name} has no class {class_name!r}", remedy="check the name after the colon"
        )
    found: type[Method] = getattr(module, class_name)
    if not (isinstance(found, type) and all(hasattr(found, name) for name in ("Settings", "stages", "step"))):
        raise SettingsError(
            f"{where!r} is no method", expected="a subclass of semivox.methods.declare.Method with Settings"
        )
    METHOD_FILES.update(_files_of(found))
    return found


def _files_of(found: type) -> set[str]:
    """The files in which the class, and those that it is made of, are written, but semivox's and torch's."""
    others = {"semivox", "torch", *sys.stdlib_module_names}
    modules = [each.__module__ for each in found.__mro__ if each.__module__.partition(".")[0] not in others]
    files = [getattr(sys.modules.get(name), "__file__", None) for name in modules]
    return {file for file in files if file is not None}


def _load_module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"cannot import {name!r}", found=str(error), remedy="install it, or give FILE.py:Class"
        ) from None
    except Exception as error:
        if name.startswith("semivox."):
            raise
        of_it = [f for f, _ in walk_tb(error.__traceback__) if f.f_globals.get("__name__") == name]
        file = of_it[-1].f_code.co_filename if of_it else None
        where = "" if file is None else _line_of(error, file)
        raise SettingsError(
            f"cannot import {name!r}", path=file, found=f"{where}{type(error).__name__}: {error}"
        ) from error


class _Source(SourceFileLoader):
    """Runs the text that stands in the file, not a compiled form that may lie beside it."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _load_file(path: Path) -> Any:
    if not path.is_file():
        raise SettingsError("the method's file is missing", path=path)
    refuse_in_run(path)
    name = f"semivox_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_Source(name, str(path)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise SettingsError(
            "the method's file cannot be run",
            path=path,
            found=f"{_line_of(error, str(path))}{type(error).__name__}: {error}",
            remedy="correct the file there",
        ) from error
    return module


def _line_of(error: Exception, file: str) -> str:
    """The line of ``file`` that an error of importing it came from, as the beginning of a sentence."""
    if isinstance(error, SyntaxError) and error.filename == file and error.lineno is not None:
        return f"line {error.lineno}: "
    place = place_in(error, {file})
    return "" if place is None else f"line {place[1]}: "


def refuse_in_run(file: Path) -> None:
    """Raise SettingsError for a file that lies in a run folder."""
    for folder in real_path(file).parents:
        marks = ("status.json", "model.json", "checkpoints", "environment.json")
        if (folder / "config.yaml").is_file() and any((folder / mark).exists() for mark in marks):
            raise SettingsError(
                "a method is never imported from a run folder",
                path=file,
                found=f"the run {folder}",
                remedy="copy the file out of it, read it, and name the copy",
            )
