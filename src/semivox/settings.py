"""Settings are frozen dataclasses; this file changes them by dotted names and explains them.

Every settings class documents each field with a string below it. The command line's help, ``config.yaml``
and the reference pages are made from these, so a setting is described in one place.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import difflib
import functools
import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast, get_args, get_type_hints

from semivox.errors import SettingsError
from semivox.trees import LARGEST, yaml_tree

T = TypeVar("T")


def as_dict(settings: object) -> dict[str, Any]:
    """A settings dataclass as nested dicts of plain values (tuples become lists), ready for YAML or JSON."""
    return cast(dict[str, Any], plain(settings))


def plain(value: Any) -> Any:
    """``value`` as it comes back from JSON: dataclasses become dicts, tuples become lists, and what JSON does
    not know becomes text."""
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` -> ``{"a.b": 1}``; empty mappings vanish."""
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def names_of(settings: object, prefix: str = "") -> list[str]:
    """All dotted names of a settings dataclass."""
    names: list[str] = []
    for field in dataclasses.fields(cast(Any, settings)):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            names += names_of(value, f"{prefix}{field.name}.")
        else:
            names.append(f"{prefix}{field.name}")
    return names


def parse_assignment(text: str) -> tuple[str, Any]:
    """``"optimizer.lr=0.01"`` -> ``("optimizer.lr", 0.01)``; the value is read as YAML."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise SettingsError(
            "a setting must be written KEY=VALUE",
            found=repr(text),
            remedy="for example --set optimizer.lr=0.01",
        )
    try:
        return name.strip(), yaml_tree(value) if value.strip() else ""
    except ValueError:  # a text, which may well be one, such as a path
        return name.strip(), value


def override(settings: T, changes: Mapping[str, Any], *, where: str = "--set") -> T:
    """``settings`` with ``changes`` (dotted name -> value) applied and checked against the field types.

    Raises SettingsError on an unknown name (with the nearest known one) or a value of the wrong type.
    """
    for name, value in changes.items():
        settings = _set(settings, name.split("."), value, name, where)
    return settings


def _set(settings: T, path: list[str], value: Any, name: str, where: str, root: object = None) -> T:
    root = settings if root is None else root
    fields = {f.name for f in dataclasses.fields(cast(Any, settings))}
    head, rest = path[0], path[1:]
    inner = getattr(settings, head, None) if head in fields else None
    if head not in fields or bool(rest) != dataclasses.is_dataclass(inner):
        raise unknown_name(name, names_of(root), where)
    if rest:
        new = _set(inner, rest, value, name, where, root)
    else:
        new = _coerce(value, get_type_hints(type(settings), include_extras=True)[head], name, where)
    return cast(T, dataclasses.replace(cast(Any, settings), **{head: new}))


def check_fields(settings: object, name: str) -> None:
    """Raise SettingsError unless every field of a settings dataclass is as its type says."""
    hints = get_type_hints(type(settings), include_extras=True)
    for field in dataclasses.fields(cast(Any, settings)):
        _coerce(getattr(settings, field.name), hints[field.name], f"{name}.{field.name}", "as given")


def unknown_name(name: str, known: Iterable[str], where: str) -> SettingsError:
    """The error for a setting nobody knows, with the nearest known name."""
    known = sorted(known)
    tails = [k for k in known if k.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]]
    near = tails or difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = (
        f"did you mean {near[0]!r}?" if near else "see `semivox methods NAME` and docs/reference/settings.md"
    )
    return SettingsError(f"unknown setting {name!r} ({where})", remedy=hint)


def _coerce(value: Any, annotation: Any, name: str, where: str) -> Any:
    """``value`` as ``annotation`` has it. Beyond what pydantic asks: a truth value is no number, and a number
    is finite and of 64 bits, whatever range its type leaves open."""
    from pydantic import ValidationError

    try:
        made = _adapter(annotation).validate_python(value)
        numbers = [leaf for leaf in _leaves(made) if isinstance(leaf, int | float)]
        if not _mentions(annotation, bool) and any(isinstance(leaf, bool) for leaf in _leaves(value)):
            expected = "a number, not true or false"
        elif any(not abs(number) < LARGEST for number in numbers):
            expected = "a finite number of at most 64 bits"
        else:
            return made
    except ValidationError as error:
        expected = "; ".join(dict.fromkeys(_expected(e["msg"]) for e in error.errors()))
    found = f"{value!r} ({type(value).__name__})"
    raise SettingsError(
        f"setting {name!r} has a value of the wrong kind ({where})", found=found, expected=expected
    )


KINDS = {
    "a valid string": "a text",
    "a valid number": "a number",
    "a valid integer": "a whole number",
    "a valid boolean": "true or false",
}
"""pydantic's words -> ours."""


def _expected(message: str) -> str:
    """What pydantic's message for a fault says that the value should be."""
    said = message.removeprefix("Value error, ").removeprefix("Input should be ")
    return next((ours for theirs, ours in KINDS.items() if said.startswith(theirs)), said)


@functools.cache
def _adapter(annotation: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(annotation)


def _mentions(annotation: Any, kind: type) -> bool:
    return annotation is kind or any(_mentions(inner, kind) for inner in get_args(annotation))


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(each)
    else:
        yield value


def field_docs(cls: type) -> dict[str, str]:
    """Field name -> the string below it in the class's source, or in that of the base it comes from; nothing
    of classes whose source is not there."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if dataclasses.is_dataclass(base):
            with contextlib.suppress(OSError, TypeError):
                docs |= _own_docs(base)
    return docs


def _own_docs(cls: type) -> dict[str, str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(tree, ast.ClassDef)
    return {name: text for name, (text, _) in documented_in(tree).items()}


def documented_in(tree: ast.ClassDef) -> dict[str, tuple[str, Any]]:
    """Field name -> the string below it, and its default where that is a plain value, else None."""
    docs: dict[str, tuple[str, Any]] = {}
    for statement, following in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            text = ""
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                text = " ".join(str(following.value.value).split())
            value = statement.value.value if isinstance(statement.value, ast.Constant) else None
            docs[statement.target.id] = (text, value)
    return docs


def assignments(given: Mapping[str, Any] | Iterable[str]) -> dict[str, Any]:
    """Dotted name -> value, of a mapping, of texts KEY=VALUE, or of one such text."""
    if isinstance(given, Mapping):
        return dict(given)
    texts = [given] if isinstance(given, str) else list(given) if isinstance(given, Iterable) else [given]
    if wrong := [text for text in texts if not isinstance(text, str)]:
        raise SettingsError(
            "settings are texts or a mapping",
            found=repr(wrong[0]),
            expected='{"optimizer.lr": 0.01}, ["optimizer.lr=0.01"], or "optimizer.lr=0.01"',
        )
    return dict(map(parse_assignment, texts))


def complete(name: str, known: Iterable[str]) -> str:
    """A setting's full dotted name among ``known``; a bare name is allowed where one alone ends so.

    Raises SettingsError for a name nobody knows.
    """
    known = list(known)
    if name in known:
        return name
    ends = [k for k in known if k.rsplit(".", 1)[-1] == name]
    if "." not in name and len(ends) == 1:
        return ends[0]
    raise unknown_name(name, known, "--set")
