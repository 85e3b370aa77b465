from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from semivox.evaluation.metrics import COMPARED
from semivox.report.comparison_export import (
    BOLD,
    ESCAPES,
    bold_rows,
    comparison_csv,
    comparison_latex,
    latex_text,
)
from semivox.report.comparison_record import Cost, Estimate, MethodResult, read_comparison

HandMade = Callable[..., Path]


def result(variant: str, dice: float, gain: tuple[float, float] | None, hd95: float = 5.0) -> MethodResult:
    """A row; ``gain``: the interval of its difference; None for the reference. HD95 mirrors it."""
    difference = {}
    if gain is not None:
        low, high = gain
        difference = {
            "foreground": {
                "dice": Estimate((low + high) / 2, low, high),
                "hd95_mm": Estimate(-(low + high) / 2, -high, -low),
            }
        }
    mean = {"foreground": {"dice": Estimate(dice), "hd95_mm": Estimate(hd95)}}
    verdict = "reference" if gain is None else "open"
    return MethodResult(variant, variant, "8", verdict, (0,), (), Cost(), mean=mean, difference=difference)


def test_every_number_of_the_csv_is_that_of_the_file(hand_made: HandMade) -> None:
    folder = hand_made(
        ["supervised", "cps,{ \"x\"\n", "bcp"], labeled=("4", "8"), seeds=(0, 1), classes=("a", "b")
    )  # fmt: skip
    content = json.loads((folder / "comparison.json").read_text())
    rows = list(csv.DictReader(io.StringIO(comparison_csv(read_comparison(folder).results))))
    assert len(rows) == len(content["results"]) == 6

    def number(text: str) -> float | None:
        return None if text == "" else float(text)

    for row, expected in zip(rows, content["results"], strict=True):
        assert (row["labeled"], row["variant"], row["verdict"]) == (
            expected["labeled"], expected["variant"], expected["verdict"],
        )  # fmt: skip
        named = {m: ("foreground", m) for m in COMPARED} | {f"dice_class_{c}": (c, "dice") for c in "12"}
        for name, (class_, metric) in named.items():
            for kind, of in ((name, expected), (f"{name}_difference", expected["difference"])):
                found = [number(row[f"{kind}{end}"]) for end in ("", "_low", "_high")]
                mean = None if of is None else of["mean"][class_][metric]
                interval = None if of is None else of["ci95"][class_][metric]
                assert found == [mean, *(interval or (None, None))]
        assert row["seeds"] == "0 1"
    assert rows[1]["method"] == 'cps,{ "x"\n'
    assert float(rows[1]["seconds"]) == 51.5
    assert rows[1]["patients_worse"] == "6"


def test_the_latex_table_has_a_row_a_method_and_the_same_numbers(hand_made: HandMade) -> None:
    record = read_comparison(hand_made(["supervised", "50%_{a&b}", "bcp"], labeled=("4", "8")))
    text = comparison_latex(record.results)
    assert BOLD in text
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    columns = {len(re.split(r"(?<!\\)&", line)) for line in body}
    assert columns == {6}
    assert len(body) == 1 + 6
    assert text.count(r"\midrule") == 2
    assert r"8 & 50\%\_\{a\&b\} & " in text
    for r in record.results:
        dice = r.of("dice")
        assert f"{dice.mean:.3f}" in text
        assert f"[{dice.low:.3f}, {dice.high:.3f}]" in text
    assert "minus supervised" in text
    depth = re.sub(r"\\[{}]", "", text)
    assert depth.count("{") == depth.count("}")


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40))
def test_escaping_keeps_every_letter(text: str) -> None:
    escaped = latex_text(text)
    back = {command: letter for letter, command in ESCAPES.items()}
    pattern = "|".join(re.escape(command) for command in sorted(back, key=len, reverse=True))
    assert re.sub(pattern, lambda m: back[m[0]], escaped) == text
    rest = re.sub(pattern, "", escaped)
    assert not set(rest) & set("\\{}$&#%_^~")


def test_bold_is_the_best_of_those_that_gain() -> None:
    rows = [
        result("supervised", 0.80, None),
        result("gains", 0.84, (0.02, 0.06)),
        result("gains_more", 0.86, (0.01, 0.10)),
        result("best_but_open", 0.90, (-0.05, 0.25)),
        result("trails", 0.70, (-0.2, -0.1)),
    ]
    assert bold_rows(rows, "dice") == {"gains_more"}


def test_without_a_gain_bold_is_what_cannot_be_told_from_the_reference() -> None:
    rows = [
        result("supervised", 0.80, None),
        result("open", 0.85, (-0.01, 0.09)),
        result("trails", 0.70, (-0.2, -0.1)),
    ]
    assert bold_rows(rows, "dice") == {"supervised", "open"}
    assert bold_rows([rows[0], rows[2]], "dice") == {"supervised"}
    assert bold_rows([rows[0]], "dice") == set(), "nothing was compared"


def test_a_smaller_distance_is_better() -> None:
    rows = [
        result("supervised", 0.8, None, hd95=5.0),
        result("nearer", 0.8, (0.5, 1.5), hd95=4.0),
        result("nearest", 0.8, (1.0, 3.0), hd95=3.0),
        result("further", 0.8, (-3.0, -1.0), hd95=7.0),
    ]
    assert bold_rows(rows, "hd95_mm") == {"nearest"}


def test_without_intervals_nothing_is_bold(hand_made: HandMade) -> None:
    record = read_comparison(hand_made(["supervised", "cps"], cases=1))
    assert record.results[1].gain("dice").low is None
    assert "mathbf" not in comparison_latex(record.results)


def test_unfinished_rows_have_no_numbers(hand_made: HandMade) -> None:
    folder = hand_made(["supervised", "cps"], seeds=(0, 1), folds=("fold0", "fold1"), states={
        (1, "8", "fold1", s): "free" for s in (0, 1)
    })  # fmt: skip
    record = read_comparison(folder)
    rows = list(csv.DictReader(io.StringIO(comparison_csv(record.results))))
    assert [row["verdict"] for row in rows] == ["reference", "unfinished"]
    assert rows[1]["dice"] == ""
    assert "cps" not in comparison_latex(record.results)
