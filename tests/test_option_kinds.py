"""What a Python function is given is held to the types that its signature shows, before anything is done."""

from __future__ import annotations

import dataclasses
import re
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import semivox
from semivox.arguments import command_of
from semivox.commands import COMMANDS
from semivox.errors import SettingsError
from semivox.inference import load_model
from semivox.option_kinds import refuse_other_kind
from semivox.options import hints_of

FUNCTIONS: dict[str, Any] = {name: getattr(semivox, name) for name in COMMANDS if hasattr(semivox, name)} | {
    "import": semivox.import_data,
    "report": semivox.write_report,
}
FUNCTIONS = {name: function for name, function in FUNCTIONS.items() if hasattr(function, "of")}


class Stranger:
    """Of no kind that an option has."""


def kinds(hint: Any) -> tuple[Any, ...]:
    hint = getattr(hint, "__origin__", hint) if hasattr(hint, "__metadata__") else hint
    return (
        typing.get_args(hint)
        if len(typing.get_args(hint)) and type(None) in typing.get_args(hint)
        else (hint,)
    )


def free(hint: Any) -> bool:
    """Whether anything may be given: a display, a function to call."""
    return any(kind is Any or "Callable" in str(kind) for kind in kinds(hint))


FIELDS = [
    (name, field.name)
    for name in FUNCTIONS
    for field in dataclasses.fields(command_of(COMMANDS[name][0]).options)
    if not free(hints_of(command_of(COMMANDS[name][0]).options)[field.name])
]


@pytest.mark.parametrize(("command", "field"), FIELDS)
def test_no_function_takes_what_is_of_another_kind(command: str, field: str, tmp_path: Path) -> None:
    options = FUNCTIONS[command].__signature__.parameters
    if field not in options:  # of the command line alone
        field = next(iter(options))
    words = {"layout": "folders", "to": "onnx", "methods": "supervised"}
    needed = [name for name, option in options.items() if option.default is option.empty]
    given = {name: words.get(name, tmp_path / name) for name in needed} | {field: Stranger()}
    with pytest.raises(
        SettingsError, match=rf"{field} (has no such choice|is of another kind); found .*Stranger"
    ):
        FUNCTIONS[command](**given)
    assert not [*tmp_path.iterdir()]


RIGHT: list[tuple[Any, Any]] = [
    (3, int),
    (np.int64(3), int),
    (np.uint8(3), float),
    (0.5, float),
    (np.float32(0.5), float),
    (3, float),
    (True, bool),
    (np.bool_(False), bool),
    (None, int | None),
    ("a", str | Path),
    (Path("a"), str | Path),
    ("auto", Literal["auto", "all"]),
    (None, Literal["auto"] | None),
    (["a", Path("b")], Sequence[str | Path]),
    (range(3), Sequence[int]),
    (np.arange(3), Sequence[int]),
    ({"a": 1}, typing.Mapping[str, Any]),
    (print, typing.Callable[[], None] | None),
    (Stranger(), Any),
]
WRONG: list[tuple[Any, Any, str]] = [
    (2.0, int, r"name is of another kind; found 2.0 \(float\); expected a whole number"),
    (True, int, r"True \(bool\)"),
    ("3", int | None, "found '3'; expected a whole number, None"),
    ("0.5", float, "expected a number"),
    (np.bool_(True), float, "expected a number"),
    ("no", bool, "expected True or False"),
    (1, bool, "expected True or False"),
    (3, str | Path, "expected text, a path"),
    (b"a", str | Path, "expected text, a path"),
    (None, str | Path, r"found None \(NoneType\)"),
    ("Auto", Literal["auto", "all"], "name has no such choice; found Auto; expected auto, all.*give auto"),
    (True, Literal["auto"], "expected auto"),
    ([1.5], Sequence[int], r"expected a list \(a whole number\)"),
    ("a", Sequence[int], "expected a list"),
    ([None], Sequence[str], r"expected a list \(text\)"),
]


@pytest.mark.parametrize(("value", "hint"), RIGHT)
def test_values_of_a_kind_are_taken(value: Any, hint: Any) -> None:
    refuse_other_kind("name", value, hint)


@pytest.mark.parametrize(("value", "hint", "told"), WRONG)
def test_values_of_no_such_kind_are_told(value: Any, hint: Any, told: str) -> None:
    with pytest.raises(SettingsError, match=re.compile(told)):
        refuse_other_kind("name", value, hint)


@pytest.mark.parametrize(
    "wrong", [{"pieces": "Auto"}, {"tta": "no"}, {"whole": 1}, {"precision": "fp16"}], ids=str
)
def test_a_model_is_not_loaded_in_a_way_that_there_is_not(wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        load_model(tmp_path, **wrong)


def test_a_folder_of_folds_stands_for_a_list_of_one(tmp_path: Path) -> None:
    for given in (str(tmp_path / "folds"), tmp_path / "folds"):
        with pytest.raises(semivox.errors.DataError, match="folds: "):
            semivox.rank(tmp_path / "run", tmp_path, top=1, curve=given, out=tmp_path / "out")
