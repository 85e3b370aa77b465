"""A mask that holds values that are no class: the remedy, followed to the letter, gives an evaluation."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from semivox.errors import DataError
from semivox.evaluation import evaluate_folders

SHAPE = (8, 9)


def masks(folder: Path, values: Sequence[int]) -> Path:
    """Three masks of two rows for each of the values."""
    folder.mkdir(parents=True)
    for case in "abc":
        mask = np.zeros(SHAPE, np.uint8)
        for i, value in enumerate(values):
            mask[2 * i : 2 * i + 2] = value
        Image.fromarray(mask).save(folder / f"{case}.png")
    return folder


def described(folder: Path, values: Sequence[int]) -> None:
    content = {
        "channel_names": {"0": "grey"},
        "labels": {"background": 0, **{f"class_{v}": v for v in values}},
        "file_ending": ".png",
    }
    (folder / "dataset.json").write_text(json.dumps(content))


def follow(refused: DataError, folder: Path) -> None:
    """Write values as the remedy says."""
    changes = [
        (int(old), int(new)) for new, old in re.findall(r"(\d+) in place of (\d+)", refused.remedy or "")
    ]
    assert changes
    for path in folder.glob("*.png"):
        before = np.asarray(Image.open(path))
        after = before.copy()
        for old, new in changes:
            after[before == old] = new
        Image.fromarray(after).save(path)


@pytest.mark.parametrize(("found", "wanted"), [((255,), (1,)), ((1,), (255,)), ((128,), (7,)), ((2,), (1,))])
@pytest.mark.parametrize("side", ["prediction", "reference"])
def test_one_class_of_another_value(
    found: tuple[int, ...], wanted: tuple[int, ...], side: str, tmp_path: Path
) -> None:
    strange = side == "prediction"
    predictions = masks(tmp_path / "p", found if strange else wanted)
    references = masks(tmp_path / "r", wanted if strange else found)
    if not strange:  # what the predictions call a class
        described(predictions, wanted)
    with pytest.raises(DataError, match=f"the {side} holds values that are no class") as refused:
        evaluate_folders(predictions, references)
    follow(refused.value, predictions if strange else references)
    evaluation = evaluate_folders(predictions, references)
    assert evaluation["mean"]["foreground"]["dice"] == 1


@pytest.mark.parametrize("side", ["prediction", "reference"])
def test_of_several_values_it_says_where_they_are_declared(side: str, tmp_path: Path) -> None:
    predictions = masks(tmp_path / "p", (1, 2, 3) if side == "prediction" else (1, 2))
    references = masks(tmp_path / "r", (1, 2, 3) if side == "reference" else (1, 2))
    described(references, (1, 2))
    with pytest.raises(DataError, match="no class; found 3; expected 0") as refused:
        evaluate_folders(predictions, references)
    assert "dataset.json" in (refused.value.remedy or "")
    described(references, (1, 2, 3))  # declared
    assert set(evaluate_folders(predictions, references)["classes"]) == {"1", "2", "3"}
