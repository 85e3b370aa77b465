"""While modules are imported Python looks for no garbage, and afterwards as before."""

from __future__ import annotations

import gc

import pytest

from semivox.heavy_imports import heavy_imports


def rounds() -> int:
    """How often Python has looked for garbage."""
    return sum(generation["collections"] for generation in gc.get_stats())


def litter() -> None:
    kept: list[object] = []
    for _ in range(20_000):
        kept = [kept, {}]


def test_nothing_is_looked_through_while_modules_load() -> None:
    before = rounds()
    litter()
    assert rounds() > before
    with heavy_imports():
        before = rounds()
        litter()
        assert rounds() == before
    assert gc.isenabled()


def test_the_search_goes_on_after_a_module_that_is_missing_and_stays_off_where_it_was_off() -> None:
    with pytest.raises(ModuleNotFoundError), heavy_imports():
        import semivox.no_such_room  # type: ignore[import-not-found] # noqa: F401
    assert gc.isenabled()
    gc.disable()
    try:
        with heavy_imports():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
