from __future__ import annotations

import typing
from dataclasses import dataclass, field

import pytest

from semivox.duration import parse_duration, show_duration
from semivox.errors import SettingsError
from semivox.methods import CATALOG, load_method
from semivox.settings import as_dict, assignments, field_docs, flatten, names_of, override, parse_assignment


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    """How fast."""
    sides: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Outer:
    name: str = "a"
    """A name
    in two lines."""
    inner: Inner = field(default_factory=Inner)


def test_override_reaches_nested_fields_and_keeps_the_rest() -> None:
    changed = override(Outer(), {"inner.rate": "0.5", "name": "b"})
    assert changed == Outer("b", Inner(0.5))
    assert override(Outer(), {"inner.sides": [3]}).inner.sides == (3,)


@pytest.mark.parametrize("name", ["inner.rte", "rate", "inner", "name.x", "nonsense"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="unknown setting"):
        override(Outer(), {name: 1})


def test_the_nearest_name_is_offered() -> None:
    with pytest.raises(SettingsError, match=r"did you mean 'inner\.rate'"):
        override(Outer(), {"inner.rte": 1})
    with pytest.raises(SettingsError, match=r"did you mean 'inner\.rate'"):
        override(Outer(), {"optimizer.rate": 1})


def test_a_wrong_kind_names_setting_and_value() -> None:
    with pytest.raises(SettingsError, match=r"inner\.rate.*found 'fast'.*expected a number$"):
        override(Outer(), {"inner.rate": "fast"})


def test_assignments_are_read_as_yaml() -> None:
    assert parse_assignment("a.b=[1, 2]") == ("a.b", [1, 2])
    assert parse_assignment("a=b=c") == ("a", "b=c")
    with pytest.raises(SettingsError, match="KEY=VALUE"):
        parse_assignment("alone")


def test_dict_names_and_docs_tell_of_every_field() -> None:
    assert flatten(as_dict(Outer())) == {"name": "a", "inner.rate": 0.1, "inner.sides": [1, 2]}
    assert names_of(Outer()) == ["name", "inner.rate", "inner.sides"]
    assert field_docs(Outer) == {"name": "A name in two lines.", "inner": ""}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("30m", 1800), ("1h30m", 5400), ("2 h", 7200)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-3", "soon", "3x", "m"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="time"):
        parse_duration(text)


def test_durations_are_shown_short() -> None:
    assert [show_duration(s) for s in (4.6, 65, 7260)] == ["5 s", "1 m 05 s", "2 h 01 m"]


def test_what_is_compared_pairwise_or_kept_as_vectors_is_bounded() -> None:
    """A million of them would take minutes a step, or all memory."""
    bounds = {}
    for name in CATALOG:
        settings = load_method(name).Settings
        for each, hint in typing.get_type_hints(settings, include_extras=True).items():
            if each in ("queue", "samples", "voxels", "anchors", "blocks", "embedding"):
                marks = [mark for part in hint.__metadata__ for mark in part.metadata]
                bounds[name, each] = min(mark.le for mark in marks if hasattr(mark, "le"))
    assert len(bounds) >= 8
    assert max(bounds.values()) <= 2**16
    for (name, each), most in bounds.items():
        settings = load_method(name).Settings()
        assert getattr(override(settings, {each: most}), each) == most
        with pytest.raises(SettingsError, match=each):
            override(settings, {each: most + 1})


@pytest.mark.parametrize(
    "given",
    [
        "inner.rate=0.5", ["inner.rate=0.5"], ("inner.rate=0.5",), {"inner.rate": 0.5},
        iter(["inner.rate=0.5"]),
    ],
)  # fmt: skip
def test_a_text_is_one_setting(given: typing.Any) -> None:
    assert assignments(given) == {"inner.rate": 0.5}


@pytest.mark.parametrize("given", [3, None, [3], [("inner.rate", 0.5)], b"inner.rate=0.5"])
def test_what_are_no_settings(given: typing.Any) -> None:
    with pytest.raises(SettingsError, match="texts or a mapping; found .*; expected .*optimizer.lr=0.01"):
        assignments(given)
