from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from semivox.cli import _parser
from semivox.report.comparison_record import read_comparison
from semivox.report.comparison_words import budget, command, conditions, lead, outcomes, place, subject

HandMade = Callable[..., Path]
SHIFT = {"up": 0.05, "more": 0.06, "down": -0.05, "level": 0.0}


def dice_of(methods: list[str]) -> Callable[[int, str, int, int], float]:
    def dice(method: int, labeled: str, seed: int, case: int) -> float:
        name = methods[method]
        wobble = 0.02 * (-1) ** case if name == "level" else 0.0
        return 0.7 + SHIFT.get(name.split("_")[0], 0.0) + 0.01 * case + wobble

    return dice


@pytest.mark.parametrize(
    ("methods", "said"),
    [
        (["supervised", "down_1"], "no method gains over supervised; 1 trails"),
        (["supervised", "down_1", "down_2", "level"],
         "no method gains over supervised; 2 trail, 1 shows no difference"),
        (["supervised", "up"], "up gains over supervised"),
        (["supervised", "up", "more", "down_1"], "more and up gain over supervised; 1 trails"),
        (["supervised", "up_1", "up_2", "up_3", "more"], "4 methods gain over supervised, more most"),
        (["supervised"], "only supervised is finished, so there is nothing to compare yet"),
    ],
)  # fmt: skip
def test_what_came_out(methods: list[str], said: str, hand_made: HandMade) -> None:
    record = read_comparison(hand_made(methods, dice=dice_of(methods)))
    assert lead(record) == (
        f"{len(methods)} method{'s' * (len(methods) > 1)}, each trained for 1 m 00 s on 8 labelled cases of "
        f"organ/train, measured on 6 cases of organ/dev: {said}."
    )


def test_several_sets_are_told_together_and_one_by_one(hand_made: HandMade) -> None:
    methods = ["supervised", "up"]
    record = read_comparison(
        hand_made(
            methods, labeled=("3p", "16"), seeds=(0, 1), counts={"3p": 6, "16": 16}, budget=None, steps=500,
            dice=lambda m, s, seed, c: 0.7 + (0.05 if s == "16" else -0.05) * m + 0.01 * c,
        )
    )  # fmt: skip
    assert lead(record) == (
        "2 methods, each trained for 500 steps on 6 (of 3 patients) and 16 labelled cases of organ/train "
        "with 2 seeds, measured on 6 cases of organ/dev: up gains over supervised on at least one of the 2 "
        "labelled sets."
    )
    assert outcomes(record) == [
        ("6 labelled cases (of 3 patients)", "no method gains over supervised; 1 trails"),
        ("16 labelled cases", "up gains over supervised"),
    ]


def test_what_is_not_finished_is_said(hand_made: HandMade) -> None:
    states = {(1, "8", "test", 0): "failed", (2, "8", "test", 0): "free", (3, "8", "test", 0): "running"}
    methods = ["supervised", "up", "down", "level"]
    said = lead(read_comparison(hand_made(methods, states=states)))
    assert said.endswith(
        "1 of 4 cells are finished (1 failed, 1 being worked on, 1 not begun or interrupted)."
    )
    nothing = hand_made(["supervised"], states={(0, "8", "test", 0): "free"})
    assert "organ/train: nothing is finished yet, so there is nothing to compare." in lead(
        read_comparison(nothing)
    )
    alone = {(0, "8", "test", 1): "free", (1, "8", "test", 0): "failed"}
    record = read_comparison(hand_made(["supervised", "up"], seeds=(0, 1), states=alone))
    assert "supervised has no seed in common with the others" in lead(record)


def test_folds_are_told(hand_made: HandMade) -> None:
    folder = hand_made(["supervised", "cps"], folds=("fold0", "fold1"), folds_=2)
    content = json.loads((folder / "comparison.json").read_text())
    content["request"].update(test=None, folds=2)
    (folder / "comparison.json").write_text(json.dumps(content))
    record = read_comparison(folder)
    assert "measured on 6 cases in 2-fold cross-validation" in lead(record)
    assert subject(record) == "2 methods on organ/train"


def test_the_budget_is_found_where_it_was_given(hand_made: HandMade) -> None:
    def said(**request: object) -> str:
        return budget(read_comparison(hand_made(["supervised"], **request)))

    assert said(budget=7200.0) == "for 2 h 00 m"
    assert said(budget=None, settings={"run.steps": 12}) == "for 12 steps"
    assert said(budget=None) == "for the default time"
    folder = hand_made(["supervised"], budget=None)
    (folder / "plans/8").mkdir(parents=True)
    (folder / "plans/8/test.json").write_text('{"budget_seconds": 3600.0}')
    assert budget(read_comparison(folder)) == "for 1 h 00 m"


def test_the_command_asks_for_the_same_again(hand_made: HandMade) -> None:
    methods = ["supervised", "simcvd{contrast=0,distill=1}", "my methods/mine.py:Mine"]
    folder = hand_made(
        methods, labeled=("8", "3p"), seeds=(0, 3), budget=1234567.5, recipe="paper", precision="bf16",
        threads=2, settings={"plan.rung": 2},
    )  # fmt: skip
    words = shlex.split(command(read_comparison(folder)))
    assert words[0] == "semivox"
    found = _parser().parse_args(words[1:])
    assert (found.data, found.test, found.out) == ("/scans/organ/train", "/scans/organ/dev", str(folder))
    assert (found.methods, found.labeled, found.seeds) == (",".join(methods), "8,3p", "0,3")
    assert (found.reference, found.budget, found.steps) == ("supervised", 1234567.5, None)
    assert (found.recipe, found.precision, found.threads) == ("paper", "bf16", 2)
    assert found.settings == ["plan.rung=2"]
    folds = hand_made(["supervised"], folds=("fold0", "fold1"), budget=None, steps=9)
    path = folds / "comparison.json"
    content = json.loads(path.read_text())
    content["request"].update(test=None, folds=2)
    path.write_text(json.dumps(content))
    found = _parser().parse_args(shlex.split(command(read_comparison(folds)))[1:])
    assert (found.folds, found.test, found.steps, found.budget) == (2, None, 9, None)


def test_unequal_conditions_are_counted(hand_made: HandMade) -> None:
    folder = hand_made(["supervised", "cps", "bcp"])
    content = json.loads((folder / "comparison.json").read_text())
    content["cells"][1]["precision"] = "bf16"
    (folder / "comparison.json").write_text(json.dumps(content))
    found = dict(conditions(read_comparison(folder)))
    assert found["precision"] == "fp32 (2 cells), bf16 (1 cell)"
    assert found["device"] == "cpu"


def test_places_are_the_last_two_parts() -> None:
    assert place("/a/b/hippocampus/dev/") == "hippocampus/dev"
    assert place("C:\\scans\\dev") == "scans/dev"
    assert place("dev") == "dev"
