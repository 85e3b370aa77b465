"""Lengths of time: each word of what is refused stands where it belongs."""

from __future__ import annotations

import pytest

from semivox.duration import budget_seconds
from semivox.errors import SettingsError


@pytest.mark.parametrize("budget", ["soon", "0s", -1, "", "1y"])
def test_what_is_no_budget_is_shown_beside_what_is(budget: str | float) -> None:
    with pytest.raises(SettingsError) as error:
        budget_seconds(budget)
    assert error.value.found == repr(budget)
    assert "90s, 30m, 2h or 1h30m" in str(error.value.expected)
    assert repr(budget) not in str(error.value.expected)
