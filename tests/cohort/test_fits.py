"""Names that nobody declared contradict no name; numbers of channels and label values count all the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from semivox.cohort import Task, channels_differ, classes_differ, refuse_other_task
from semivox.errors import DataError

BOTH, CLASSES = frozenset({"channels", "classes"}), frozenset({"classes"})
DECLARED = Task(("MRI",), {1: "atrium", 2: "wall"})
RENAMED = Task(("CT",), {1: "liver", 2: "wall"})
PLAIN = Task(("channel_0",), {1: "class_1", 2: "class_2"}, BOTH)
PART = Task(("channel_0",), {1: "class_1"}, BOTH)
MORE = Task(("channel_0",), {1: "class_1", 3: "class_3"}, BOTH)
TWO = Task(("channel_0", "channel_1"), {1: "class_1", 2: "class_2"}, BOTH)
NAMED_CHANNEL = Task(("CT",), {1: "class_1", 2: "class_2"}, CLASSES)


@pytest.mark.parametrize(
    ("folder", "model", "fits"),
    [
        (DECLARED, DECLARED, True), (PLAIN, PLAIN, True), (PLAIN, DECLARED, True), (DECLARED, PLAIN, True),
        (PART, DECLARED, True), (PART, PLAIN, True), (DECLARED, PART, False), (RENAMED, DECLARED, False),
        (RENAMED, PLAIN, True), (MORE, DECLARED, False), (MORE, PLAIN, False), (TWO, PLAIN, False),
        (TWO, DECLARED, False), (NAMED_CHANNEL, DECLARED, False), (NAMED_CHANNEL, PLAIN, True),
        (Task(("MRI",), {1: "atrium"}), DECLARED, False),
    ],
)  # fmt: skip
def test_the_rule(folder: Task, model: Task, fits: bool) -> None:
    assert (not channels_differ(folder, model) and not classes_differ(folder, model)) is fits
    if fits:
        refuse_other_task(folder, model, Path("data"))
    else:
        with pytest.raises(DataError, match="has other channels or classes than the model"):
            refuse_other_task(folder, model, Path("data"))


def test_what_is_not_measured_needs_the_number_of_channels_only() -> None:
    for folder in (RENAMED, MORE, PART):
        refuse_other_task(folder, DECLARED, Path("data"), measured=False)
    with pytest.raises(DataError, match=r"found 2 channels; label values 1, 2; expected 1 channel \(MRI\)"):
        refuse_other_task(TWO, DECLARED, Path("data"), measured=False)


def test_a_network_of_the_same_outputs_needs_all_classes() -> None:
    assert classes_differ(PART, DECLARED, all_of_them=True)
    assert not classes_differ(PLAIN, DECLARED, all_of_them=True)


def test_a_card_of_an_earlier_version_shows_by_its_names_what_was_inferred() -> None:
    card = {"channels": ["channel_0"], "labels": {"1": "class_1", "2": "class_2"}}
    assert Task.of_card(card) == PLAIN
    assert Task.of_card({**card, "labels": {"1": "atrium", "2": "class_2"}}).inferred == {"channels"}
    assert Task.of_card({**card, "inferred": []}).inferred == frozenset()
