"""Numbers show an exponent only where their digits would say nothing."""

from __future__ import annotations

import pytest

from semivox.numerals import show_number, show_percent, whole_number


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0"), (0.01234, "0.0123"), (12.34, "12.3"), (-99.97, "-100"), (999.4, "999"), (999.7, "1,000"),
        (1523.4, "1,523"), (1e300, "1e+300"), (-1.234e18, "-1.23e+18"), (-1e6, "-1,000,000"),
    ],
)  # fmt: skip
def test_three_digits_or_all_before_the_point(number: float, shown: str) -> None:
    assert show_number(number) == shown
    assert show_number(number, sign="+") == (shown if number < 0 else "+" + shown)


def test_four_digits() -> None:
    assert [show_number(x, 4) for x in (1100.0, 9999.4, 9999.7)] == ["1100", "9999", "10,000"]


@pytest.mark.parametrize(
    "text", ["\u00b2", "1e3", "-1", "+1", "1.0", "", "\u0663", 30 * "9", True, None, [1]]
)
def test_no_whole_number(text: object) -> None:
    assert whole_number(text) is None


def test_whole_numbers() -> None:
    assert [whole_number(text) for text in ("0", " 12 ", 7, "007")] == [0, 12, 7, 7]


def test_percent_as_pages_write_it() -> None:
    assert [show_percent(share) for share in (0.8, 5 / 6, 1, 0)] == ["80 %", "83.3 %", "100 %", "0 %"]
