"""Values that a Python caller gives, held to the types of the fields that they are for."""

from __future__ import annotations

import difflib
import numbers
import operator
import os
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Union

from semivox.errors import SettingsError

WORDS = {bool: "True or False", int: "a whole number", float: "a number", str: "text", Path: "a path"}


def refuse_other_kind(name: str, value: object, hint: Any) -> None:
    """Raise SettingsError if ``value`` is none of what ``hint`` says: a Literal's choices, numbers (also of
    NumPy), text, paths, and sequences of those. A hint of anything else allows everything."""
    if _fits(value, hint):
        return
    kinds = _kinds(hint)
    choices = [str(choice) for kind in kinds for choice in typing.get_args(kind) if _is_literal(kind)]
    expected = [*choices, *(words for kind in kinds if (words := _words(kind)))]
    near = difflib.get_close_matches(str(value).lower(), choices, 1)  # all choices are in small letters
    raise SettingsError(
        f"{name} has no such choice" if choices else f"{name} is of another kind",
        found=_shown(value, plain=bool(choices)),
        expected=", ".join(expected),
        remedy=f"give {near[0]}, if that is meant" if near else None,
    )


def _shown(value: object, plain: bool) -> str:
    if isinstance(value, str):
        return value if plain else repr(value)
    return f"{value!r} ({type(value).__name__})"


def _kinds(hint: Any) -> tuple[Any, ...]:
    """What a union is of, else the hint alone."""
    return typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)


def _is_literal(kind: Any) -> bool:
    return typing.get_origin(kind) is Literal


def _words(kind: Any) -> str:
    """What a person calls it; nothing for a Literal, whose choices are told."""
    if kind is type(None):
        return "None"
    inner = [] if _is_literal(kind) else typing.get_args(kind)[:1]
    items = ", ".join(_words(each) for of in inner for each in _kinds(of))
    return f"a list ({items})" if items else WORDS.get(kind, "")


def _fits(value: object, hint: Any) -> bool:
    return any(_is(value, kind) for kind in _kinds(hint))


def _is(value: object, kind: Any) -> bool:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is type(None):
        return value is None
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in inner)
    if kind is bool:
        return type(value).__name__ in ("bool", "bool_")  # NumPy's too, without loading it
    if kind in (int, float):
        whole = kind is float or _is_whole(value)
        return whole and isinstance(value, numbers.Real) and not _is(value, bool)
    if kind is str:
        return isinstance(value, str)
    if kind is Path:
        return isinstance(value, os.PathLike)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping)
    if isinstance(origin, type) and issubclass(origin, Iterable):
        several = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
        return several and all(_fits(each, inner[0]) for each in typing.cast(Iterable[object], value))
    return True


def _is_whole(value: object) -> bool:
    try:
        operator.index(typing.cast(Any, value))
    except TypeError:
        return False
    return True
