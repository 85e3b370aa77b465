"""Every setting there is, from the classes that declare them, against values that mean nothing for it."""

from __future__ import annotations

import dataclasses
import math
import re
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic.fields import FieldInfo

from semivox.batches import Augmentation
from semivox.errors import DataError, SettingsError
from semivox.methods import CATALOG, load_method
from semivox.methods.declare import Optimizer
from semivox.settings import field_docs, override, parse_assignment
from semivox.training.config import DistanceSettings, RunSettings, resolve
from semivox.trees import json_tree, yaml_tree

CLASSES: list[type] = [RunSettings, Optimizer, Augmentation, DistanceSettings]
CLASSES += [load_method(name).Settings for name in CATALOG]
SETTINGS = [(cls, field.name) for cls in CLASSES for field in dataclasses.fields(cls)]

NONSENSE = [
    "x", ".nan", "nan", ".inf", "-.inf", "inf", "1e300", "-1e300", "1" + 30 * "0", "1" + 400 * "0",
    "-" + 30 * "9", "true", "[true, true]", "[[1]]", "[[[[[]]]]]", "[1, 2, 3, 4, 5, 6]", "[.nan, .nan]",
    "[-1, -1]", "[1e300, 1e300]", "\u00b2", "{a: 1}", "{}", "&a [*a]", "2024-01-01", "1:30", "!!binary YQ==",
    "!!bool maybe", 300 * "[" + 300 * "]",
]  # fmt: skip


LAUGHS = [f"a{i}: &a{i} [{', '.join(9 * [f'*a{i - 1}'])}]" for i in range(1, 30)]
"""Each line has nine times the values of the one before."""


def numbers_in(hint: Any, bounds: tuple[Any, ...] = ()) -> Iterator[tuple[type, tuple[Any, ...]]]:
    """The number types in a field's type, each with what limits it."""
    if hint in (int, float):
        yield hint, bounds
    more = getattr(hint, "__metadata__", ())
    for inner in typing.get_args(hint)[:1] if more else typing.get_args(hint):
        yield from numbers_in(inner, (*bounds, *more))


@pytest.mark.parametrize(("cls", "name"), SETTINGS, ids=lambda value: getattr(value, "__name__", value))
def test_every_number_has_a_least_and_a_largest_value(cls: type, name: str) -> None:
    for _, bounds in numbers_in(typing.get_type_hints(cls, include_extras=True)[name]):
        marks = [mark for field in bounds if isinstance(field, FieldInfo) for mark in field.metadata]
        limits = {type(mark).__name__ for mark in marks}
        assert limits & {"Ge", "Gt"}, "declare it with a kind of semivox.ranges"
        assert limits & {"Le", "Lt"}, "declare it with a kind of semivox.ranges"


@pytest.mark.parametrize(("cls", "name"), SETTINGS, ids=lambda value: getattr(value, "__name__", value))
def test_nonsense_is_refused_by_name(cls: type, name: str) -> None:
    hint = typing.get_type_hints(cls, include_extras=True)[name]
    kinds = typing.get_args(typing.get_type_hints(cls)[name])  # without what reads them
    plain_text = str in (hint, *kinds)
    for text in NONSENSE:
        value = parse_assignment(f"{name}={text}")[1]
        if isinstance(value, str) and plain_text:
            continue  # a path or a name may be anything
        if bool in (hint, *typing.get_args(hint)) and text in ("true", "1"):
            continue
        with pytest.raises(SettingsError, match=rf"{name}\b.*; found .*; expected ") as refused:
            override(cls(), {name: value})
        assert len(str(refused.value)) < 3000


ZERO = re.compile(r"(?:^|[\s(;])0(?: (?:drops|leaves)|:)")
"""What a setting's 0 means, in the words about it."""


@pytest.mark.parametrize(("cls", "name"), SETTINGS, ids=lambda value: getattr(value, "__name__", value))
def test_a_zero_that_is_explained_is_taken(cls: type, name: str) -> None:
    if ZERO.search(field_docs(cls)[name]):
        assert getattr(override(cls(), {name: 0}), name) == 0


def test_zeros_are_explained_in_words_that_are_looked_for() -> None:
    explained = [name for cls, name in SETTINGS if ZERO.search(field_docs(cls)[name])]
    assert {"passes", "rounds", "pseudo", "queue", "clip", "shares_every", "exclude_window"} <= set(explained)


@pytest.mark.parametrize(
    ("text", "value"),
    [("010", 10), ("0x10", 16), ("-3", -3), ("1e-3", 0.001), ("1_000", 1000), ("1.5", 1.5)],
)
def test_numbers_mean_what_they_look_like(text: str, value: float) -> None:
    @dataclasses.dataclass(frozen=True)
    class Some:
        number: float = 0.0

    changed = override(Some(), dict([parse_assignment(f"number={text}")]))
    assert math.isclose(changed.number, value)


@pytest.mark.parametrize(
    "text",
    ["a: 1\na: 2", "a: &a {b: *a}", "&a [*a]", 'a: "x\\0y"', 'a: "\\ud800"', "a: !!timestamp x",
     "? [a]\n: 1", "a: 2024-01-01: b: c", f"a: [{40_000 * '0, '}0]", "\n".join(["a0: &a0 [x]", *LAUGHS])],
)  # fmt: skip
def test_a_settings_file_is_a_tree_of_plain_values(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        yaml_tree(text)
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(DataError, match=r"config\.yaml: the settings file"):
        resolve(Path("scans"), {}, config_file=tmp_path / "config.yaml")


@pytest.mark.parametrize(
    "text",
    ['{"a": 1, "a": 2}', '{"a": NaN}', "[1e999]", "1" + 25 * "0", '"\\u0000"', '"\\ud800"',
     90 * "[" + 90 * "]", 100_000 * "["],
)  # fmt: skip
def test_a_json_file_is_a_tree_of_plain_values(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        json_tree(text)
