"""How a method is written on the command line, and where it is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from semivox.errors import SettingsError
from semivox.methods import catalog
from semivox.methods.catalog import load_method, parse_method, preset_settings
from semivox.methods.declare import Method
from semivox.training.config import resolve

MINE = "mine.py:Mine"


@dataclass(frozen=True)
class MySettings:
    paper_steps: int = 10
    weight: float = 1.0
    form: str = "plain"


class Mine(Method):
    Settings = MySettings
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"bold": {"weight": 3.0, "form": "round"}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("simcvd", ("simcvd", None, {})),
        ("simcvd{contrast=0, view=none}", ("simcvd", None, {"contrast": 0, "view": "none"})),
        ("simcvd:v1{contrast=0}", ("simcvd", "v1", {"contrast": 0})),
        ("mine.py:Mine", ("mine.py:Mine", None, {})),
        ("a/b mine.py:Mine:bold{x=[1,2],y=3}", ("a/b mine.py:Mine", "bold", {"x": [1, 2], "y": 3})),
        ("package.module:Class", ("package.module:Class", None, {})),
        ("package.module:Class:bold", ("package.module:Class", "bold", {})),
        ("C:\\work\\mine.py:Mine", ("C:\\work\\mine.py:Mine", None, {})),
    ],
)
def test_a_methods_name_preset_and_settings(text: str, expected: tuple[Any, ...]) -> None:
    assert parse_method(text) == expected


def test_a_preset_ranks_below_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semivox.training.config.load_method", lambda name: Mine)

    def settings(method: str, **assignments: Any) -> MySettings:
        given = {f"method.{k}": v for k, v in assignments.items()}
        config, _ = resolve(Path("data"), {"method": method}, assignments=given)
        assert config.run.method == MINE
        assert isinstance(config.method, MySettings)
        return config.method

    assert settings(MINE) == MySettings()
    assert settings(f"{MINE}:bold") == MySettings(weight=3.0, form="round")
    assert settings(f"{MINE}:bold{{weight=2}}") == MySettings(weight=2.0, form="round")
    assert settings(f"{MINE}:bold", form="flat") == MySettings(weight=3.0, form="flat")


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    assert preset_settings("mine", Mine, None) == {}
    with pytest.raises(SettingsError, match="no preset 'shy'") as caught:
        preset_settings("mine", Mine, "shy")
    assert "bold" in str(caught.value)


@pytest.mark.parametrize("name", ["simcdv", "simcvd:v1:v2", "nowhere.py", "no_package.module:Class", ":x"])
def test_an_unknown_method_is_refused(name: str) -> None:
    with pytest.raises(SettingsError):
        load_method(name)


def test_every_entry_of_the_catalogue_is_a_method() -> None:
    for name in catalog.CATALOG:
        method = load_method(name)
        for preset in method.presets:
            method.Settings(**preset_settings(name, method, preset))
