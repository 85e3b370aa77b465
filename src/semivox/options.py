"""The options of a command, written once: a frozen dataclass with a string below each field.

From it come the command line and its help (``semivox/arguments.py``), the Python function
(:func:`from_options`) and ``docs/reference/commands.md``. ``Annotated[type, Positional(...)]`` or
``Annotated[type, Flag(...)]`` puts a field on the command line; a field without is for Python alone.
"""

from __future__ import annotations

import ast
import builtins
import dataclasses
import functools
import importlib.util
import inspect
import re
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, ParamSpec, TypeVar, cast

from semivox.errors import SettingsError
from semivox.nnunet_raw import folder_taken
from semivox.option_kinds import refuse_other_kind
from semivox.output_places import refuse_among_scans
from semivox.remote.address import is_url
from semivox.settings import documented_in, field_docs

P = ParamSpec("P")
O = TypeVar("O")  # noqa: E741
R = TypeVar("R")


@dataclass(frozen=True)
class Positional:
    """An argument without a flag; ``many``: one or more of them; the rest as of :class:`Flag`."""

    metavar: str
    many: bool = False
    data: bool = False
    writes: Literal["", "folder", "file"] = ""
    url: Literal["", "read", "written"] = ""


@dataclass(frozen=True)
class Flag:
    """An option of the command line, ``--name`` after the field.

    ``group`` is the heading it stands under; ``flag`` another name than the field's; ``default`` says in a
    few words what holds where it is not given; ``parse`` turns its text into the value and raises ValueError.
    Of flags with the same ``one_of`` at most one may be given. ``repeat``: each time it is given adds to a
    list. ``same_as``: ``module:Class`` of the settings whose field of this name explains it. ``data``: a
    data folder, for which nnU-Net's name may stand (:mod:`semivox.nnunet_raw`). ``writes``: the place of
    outputs, which is none among scans (:mod:`semivox.output_places`). ``url``: what may lie on a store
    (:mod:`semivox.remote`); ``written`` there by the command itself.
    """

    metavar: str = ""
    group: str = ""
    flag: str = ""
    default: str = ""
    parse: Callable[[str], Any] | None = None
    choices: tuple[str, ...] = ()
    one_of: str = ""
    repeat: bool = False
    same_as: str = ""
    data: bool = False
    writes: Literal["", "folder", "file"] = ""
    url: Literal["", "read", "written"] = ""


@dataclass(frozen=True)
class Argument:
    """A field as the command line has it. ``kind``: what its text becomes; ``path``: names a file or folder;
    ``required``: has no default, else ``value`` is it; ``default`` says it in words."""

    name: str
    mark: Positional | Flag
    kind: Callable[[str], Any]
    switch: bool
    path: bool
    choices: tuple[str, ...]
    required: bool
    value: Any
    default: str
    meaning: str

    @property
    def flag(self) -> str:
        """``--tolerance-mm``; empty for a positional one."""
        if isinstance(self.mark, Positional):
            return ""
        return self.mark.flag or "--" + self.name.replace("_", "-")


@dataclass(frozen=True)
class Command(Generic[O]):
    """A command, as its file in ``commands/`` brings it: its options (with what only the command line takes),
    what runs it and shows the result (returns the exit code), and lines to start from."""

    options: type[O]
    run: Callable[[O], int]
    examples: tuple[str, ...]
    groups: tuple[str, ...] = ()
    """The order of the headings of the help; others follow."""
    one_of_required: tuple[str, ...] = ()
    """The ``one_of`` groups of which exactly one flag must be given."""
    again: str = ""
    """The flag with which the same command goes on where it was stopped; without one it does so by itself, or
    begins anew."""
    arranged: Callable[[O], O] | None = None
    """Makes of the words as they were given what they mean, before names and URLs are looked up."""


class Function(Generic[P, O, R]):
    """What :func:`from_options` makes, for type checkers: called with the fields, or ``of`` the options."""

    of: Callable[[O], R]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Json:
    """For commands that can print their result as JSON."""

    json: typing.Annotated[bool, Flag()] = False
    """Print JSON."""


def from_options(options: Callable[P, O]) -> Callable[[Callable[[O], R]], Function[P, O, R]]:
    """Makes a function of an options object into one that takes the fields as its arguments.

    Signature and the ``Parameters`` of its docstring are those of the dataclass; ``function.of(object)``
    calls it with an object that is there. When the body begins, values are of their fields' types, names of
    data folders and URLs are paths (:func:`with_data_folders`), and no place of outputs is among scans.
    """

    def decorate(body: Callable[[O], R]) -> Function[P, O, R]:
        def of(given: O) -> R:
            _refuse_other_kinds(given)
            _refuse_among_scans(given)
            return body(with_data_folders(given)[0])

        @functools.wraps(body)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            return of(options(*args, **kwargs))

        made = cast(Any, call)
        made.of = of
        made.__signature__ = _signature(cast(type, options), body)
        made.__doc__ = _docstring(cast(type, options), body.__doc__ or "")
        return cast(Function[P, O, R], call)

    return decorate


def _refuse_other_kinds(options: object) -> None:
    hints = hints_of(type(options))
    for name in (field.name for field in dataclasses.fields(cast(Any, options))):
        hint = hints[name]
        refuse_other_kind(
            name, getattr(options, name), hint.__origin__ if hasattr(hint, "__metadata__") else hint
        )


def with_data_folders(options: O) -> tuple[O, list[str]]:
    """The same options with paths where nnU-Net's names stood for data folders, or URLs for what lies on a
    store, and lines that tell so.

    Raises DataError as :func:`semivox.nnunet_raw.folder_taken` and :func:`semivox.remote.mirrored` do, and
    SettingsError for a URL of what is read or written on this machine alone.
    """
    changed: dict[str, Any] = {}
    lines: list[str] = []
    kind = cast(type, type(options))
    for name, mark in _on_this_machine(kind).items():
        for given in filter(is_url, _several(options, name)):
            raise SettingsError(
                f"{_shown(name, mark)} is a place on this machine, and no URL",
                found=f"{str(given).partition(':')[0]}:...",  # the rest may hold a login
                remedy="give a path; copy there what is to be read, or from there what is written",
            )  # fmt: skip
    for name, mark in {**_marked(kind, "data"), **_marked(kind, "url")}.items():
        value, several = getattr(options, name), _several(options, name)
        taken = [_taken(given, mark) for given in several]
        lines += [line for _, line in taken if line]
        if any(folder is not given for (folder, _), given in zip(taken, several, strict=True)):
            folders = [folder for folder, _ in taken]
            changed[name] = folders if several is value else folders[0]
    return (dataclasses.replace(cast(Any, options), **changed) if changed else options), lines


def _taken(given: str | Path, mark: Positional | Flag) -> tuple[str | Path, str]:
    if mark.url == "read" and is_url(given):
        from semivox.remote import mirrored

        return mirrored(given)
    return folder_taken(given) if mark.data else (given, "")


def _several(options: object, name: str) -> Sequence[Any]:
    value = getattr(options, name)
    return value if isinstance(value, list | tuple) else [] if value is None else [value]


def _refuse_among_scans(options: object) -> None:
    for name, mark in _marked(cast(type, type(options)), "writes").items():
        place = getattr(options, name)
        if place is not None and not is_url(place):
            refuse_among_scans(place, f"choose another {_shown(name, mark)}", file=mark.writes == "file")


def _shown(name: str, mark: Positional | Flag) -> str:
    return mark.metavar if isinstance(mark, Positional) else mark.flag or f"--{name}"


@functools.cache
def _marked(options: type, word: str) -> Mapping[str, Positional | Flag]:
    """The fields whose mark says ``word``, with it."""
    marks = {name: getattr(hint, "__metadata__", ()) for name, hint in hints_of(options).items()}
    return {name: mark for name, own in marks.items() for mark in own if getattr(mark, word, "")}


@functools.cache
def _on_this_machine(options: type) -> Mapping[str, Positional | Flag]:
    """The fields for paths that cannot lie on a store, with their marks."""
    hints = hints_of(options)
    return {
        name: mark
        for name, hint in hints.items()
        for mark in getattr(hint, "__metadata__", ())
        if Path in typing.get_args(hint.__origin__) and not mark.url
    }


def arguments(options: type) -> list[Argument]:
    """The fields of ``options`` that are on the command line, its own before those of its bases."""
    found, meanings, hints = [], meanings_of(options), hints_of(options)
    distance = _distance(options)
    for field in sorted(dataclasses.fields(options), key=lambda f: distance[f.name]):
        hint = hints[field.name]
        mark = next((m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Positional | Flag)), None)
        if mark is None:
            continue
        found.append(_argument(field, mark, hint.__origin__, meanings[field.name]))
    return found


def _distance(options: type) -> dict[str, int]:
    """Field -> how many classes up it is defined: a class's own come before those of its bases."""
    return {
        name: steps
        for steps, base in enumerate(options.__mro__)
        for name in getattr(base, "__dataclass_fields__", {})
    }


def _argument(
    field: dataclasses.Field[Any], mark: Positional | Flag, hint: Any, meaning: tuple[str, Any]
) -> Argument:
    kinds = [hint] if typing.get_origin(hint) is typing.Literal else typing.get_args(hint) or (hint,)
    literals = [kind for kind in kinds if typing.get_origin(kind) is typing.Literal]
    kind: Callable[[str], Any] = str
    if isinstance(mark, Flag) and mark.parse is not None:
        kind = mark.parse
    elif str not in kinds and not literals:
        kind = next((k for k in (int, float) if k in kinds), str)
    choices = mark.choices if isinstance(mark, Flag) else ()
    text, default = meaning
    said = mark.default if isinstance(mark, Flag) else ""
    if not said and isinstance(default, str | int | float) and not isinstance(default, bool):
        said = str(default)
    return Argument(
        name=field.name,
        mark=mark,
        kind=kind,
        switch=hint is bool,
        path=Path in kinds,
        choices=choices or tuple(str(v) for each in literals for v in typing.get_args(each)),
        required=field.default is dataclasses.MISSING,
        value=None if field.default is dataclasses.MISSING else field.default,
        default=said,
        meaning=text,
    )


def meanings_of(options: type) -> dict[str, tuple[str, Any]]:
    """Field -> what it means, and its default; both from the settings it is the ``same_as``, if any."""
    docs = field_docs(options)
    found: dict[str, tuple[str, Any]] = {}
    hints = hints_of(options)
    for field in dataclasses.fields(options):
        marks = [m for m in getattr(hints[field.name], "__metadata__", ()) if isinstance(m, Flag)]
        same_as = marks[0].same_as if marks else ""
        text, default = docs.get(field.name, ""), field.default
        if same_as:
            explained, default = settings_docs(same_as)[field.name]
            text = " ".join(part for part in (explained.replace("; empty: ", "; without it, "), text) if part)
        found[field.name] = (text, None if default is dataclasses.MISSING else default)
    return found


@functools.cache
def settings_docs(place: str) -> Mapping[str, tuple[str, Any]]:
    """Field -> meaning and default of the settings class ``module:Class``, read from its source: importing it
    would take as long as a command."""
    module, _, name = place.partition(":")
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    return documented_in(next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name))


def hints_of(options: type) -> dict[str, Any]:
    """The type of each field. What a module imports for type checkers only counts as Any."""
    names = _Names()
    for base in reversed(options.__mro__):
        names.update(vars(sys.modules[base.__module__]))
    return typing.get_type_hints(options, localns=names, include_extras=True)


class _Names(dict[str, Any]):
    """Names of modules, Any for those they do not have."""

    def __missing__(self, name: str) -> Any:
        if hasattr(builtins, name):
            raise KeyError(name)
        return Any


def _signature(options: type, body: Callable[..., Any]) -> inspect.Signature:
    hints, distance = hints_of(options), _distance(options)
    parameters = [
        p.replace(annotation=getattr(hints[name], "__origin__", hints[name]))
        if hasattr(hints[name], "__metadata__")
        else p
        for name, p in inspect.signature(options).parameters.items()
    ]
    parameters.sort(key=lambda p: (p.kind, distance[p.name] * (p.kind is p.KEYWORD_ONLY)))
    return inspect.Signature(parameters, return_annotation=inspect.signature(body).return_annotation)


def _docstring(options: type, written: str) -> str:
    """``written`` with the section ``Parameters`` before ``Returns`` or ``Raises``."""
    distance = _distance(options)
    meanings = dict(sorted(meanings_of(options).items(), key=lambda item: distance[item[0]]))
    head, *rest = re.split(r"\n\n(?=(?:Returns|Raises)\n-)", inspect.cleandoc(written), maxsplit=1)
    lines = [line for name, (text, _) in meanings.items() for line in (name, f"    {text}")]
    return "\n\n".join([head, "\n".join(["Parameters", "-" * 10, *lines]), *rest])
