"""Whose code may run: a method that is not ours or an installed package's is named on the command line.

A settings file or a run folder may come from anybody, so what it names is not imported for that. A run of
one's own goes on without the name, as long as its method's file is the one it began with: that file's hash
stands in the run, and in a list of the user's own of what was named on this machine.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
from functools import cache
from pathlib import Path

from semivox.errors import SemivoxError, SettingsError
from semivox.files import append_text, make_folder
from semivox.machine import user_cache
from semivox.methods.catalog import CATALOG
from semivox.methods.installed import installed

NAMED = "named_methods.txt"


def is_foreign(name: str) -> bool:
    """Whether ``name`` means code that is neither ours nor what an installed package offers as a method."""
    return name not in CATALOG and ":" in name and all(name != found.where for found in installed())


def is_file(name: str) -> bool:
    """Whether ``name`` is written FILE.py:Class."""
    return name.rpartition(":")[0].endswith(".py")


def method_sha256(name: str) -> str | None:
    """The hash of the file of ``FILE.py:Class``; None for any other name, and where it cannot be read.

    It imports nothing; where the method is loaded, :func:`code_sha256` knows more.
    """
    return _sha256(name.rpartition(":")[0]) if is_file(name) else None


def code_sha256(name: str, loaded: type) -> str | None:
    """The hash of the file that the method ``name``, ``loaded`` by now, is written in: FILE.py, or its part
    of a package. None for the catalogue's, which go by the commit, and where there is no such file."""
    return None if name in CATALOG else method_sha256(name) or _written_sha256(loaded)


@cache
def _written_sha256(loaded: type) -> str | None:
    """Asked for once a class: a module is imported once, so an edit of its file is of no effect here."""
    try:
        return _sha256(inspect.getsourcefile(loaded) or inspect.getfile(loaded))
    except (OSError, TypeError):  # it was made by no file
        return None


def _sha256(file: str) -> str | None:
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError:
        return None


def permitted(name: str, command: str | None, where: Path | None, recorded: str | None = None) -> str:
    """The method to load: ``name``, which the file ``where`` may have said, or the same one in the place that
    the command line says. Raises SettingsError for foreign code that only ``where`` names.

    ``recorded``: the hash that the run says its method's file had.
    """
    if command is not None and is_moved(command, name, recorded):
        name = command
    if command == name:
        remember(name)
    elif where is not None:
        refuse_unnamed(name, where, recorded)
    return name


def is_moved(named: str, name: str, recorded: str | None) -> bool:
    """Whether the user names, in another place, the file of ``name`` that a run began with."""
    classes = [each.rpartition(":")[2] for each in (named, name)]
    return recorded is not None and classes[0] == classes[1] and method_sha256(named) == recorded


def remember(name: str) -> None:
    """The user has named this method. Where the list cannot be written, a resumed run asks for the name."""
    key = method_sha256(name) or name
    if is_foreign(name) and key not in _named():
        with contextlib.suppress(SemivoxError, OSError):
            make_folder(_list().parent)
            append_text(_list(), key + "\n")


def refuse_unnamed(name: str, where: Path, recorded: str | None = None) -> None:
    """Raise SettingsError if ``where`` alone names foreign code. ``recorded``: the hash that the run says its
    method's file had."""
    if not is_foreign(name):
        return
    sha256 = method_sha256(name)
    if (sha256 or name) in _named() and (not is_file(name) or (sha256 is not None and sha256 == recorded)):
        return
    found = name
    if sha256 is not None and recorded is not None and sha256 != recorded:
        found += ", which is not the file that the run began with"
    raise SettingsError(
        "names a method whose code is not ours, and that is not run for a file's sake",
        path=where,
        found=found,
        expected="the same method on the command line",
        remedy=f"if you trust that code, add --method {name}",
    )


def _list() -> Path:
    return user_cache() / "semivox" / NAMED


def _named() -> set[str]:
    try:
        return set(_list().read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError):
        return set()
