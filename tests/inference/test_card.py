"""A model's card is believed only as a whole: what contradicts itself or the tensors is refused by name."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from semivox.cohort import sha256_file
from semivox.errors import DataError, SemivoxError
from semivox.inference import load_model

from .conftest import MakeRun

Change = Callable[[dict[str, Any]], object]
WRONG: dict[str, Change] = {
    "negative": lambda c: c.update(labels={"-1": "a", "2": "b"}),
    "zero": lambda c: c.update(labels={"0": "a", "2": "b"}),
    "superscript": lambda c: c.update(labels={"\u00b2": "a", "1": "b"}),
    "same value twice": lambda c: c.update(labels={"1": "a", "01": "b"}),
    "same name twice": lambda c: c.update(labels={"1": "a", "2": "a"}),
    "fewer labels": lambda c: c["labels"].popitem(),
    "more labels": lambda c: c["labels"].update({"9": "more"}),
    "no labels": lambda c: c.update(labels={}),
    "a list of labels": lambda c: c.update(labels=["a", "b"]),
    "huge label": lambda c: c.update(labels={"1": "a", str(10**30): "b"}),
    "other value": lambda c: c.update(labels={"1": "class1", "3": "class2"}),
    "ignore is a class": lambda c: c.update(ignore=1),
    "empty is no class": lambda c: c.update(may_be_empty=[7]),
    "no plan": lambda c: c.pop("plan"),
    "a plan of other classes": lambda c: c["plan"]["classes"].pop(),
    "a plan of other axes": lambda c: c["plan"].update(dims=2),
    "a plan of other patches": lambda c: c["plan"].update(patch=[17, 16, 16]),
    "more channels": lambda c: c["channels"].append("more"),
    "no channels": lambda c: c.update(channels=[]),
    "no network": lambda c: c.update(networks={}),
    "no predictor": lambda c: c.update(predictor=[]),
    "another predictor": lambda c: c.update(predictor=["teacher", "nobody"]),
    "predictor twice": lambda c: c.update(predictor=["teacher", "teacher"]),
    "predictor a text": lambda c: c.update(predictor="teacher"),
    "a network is left out": lambda c: c["networks"].pop("student"),
    "classes of the network": lambda c: c["networks"]["teacher"].update(classes=7),
    "channels of the network": lambda c: c["networks"]["teacher"].update(channels=3),
    "width a text": lambda c: c["networks"]["teacher"].update(features=["6", "8"]),
    "width negative": lambda c: c["networks"]["teacher"].update(features=[-6, 8]),
    "wider than its weights": lambda c: c["networks"]["teacher"].update(features=[6, 10**9]),
    "one level": lambda c: c["networks"]["teacher"].update(features=[6], strides=[]),
    "stride a fraction": lambda c: c["networks"]["teacher"].update(strides=[[2, 2.5, 2]]),
    "dropout 1": lambda c: c["networks"]["teacher"].update(dropout=1),
    "unknown kind": lambda c: c["networks"]["teacher"].update(kind="swin"),
    "norm a number": lambda c: c["networks"]["teacher"].update(norm=1),
    "training of other axes": lambda c: c.update(training={**RANGES, "spacing_mm": [[1.0, 1.0]]}),
    "training a text": lambda c: c.update(training="ranges"),
    "no ending": lambda c: c.update(file_ending=".exe"),
    "ending a list": lambda c: c.update(file_ending=[".nii.gz"]),
    "steps a text": lambda c: c.update(steps="ten"),
    "spacing a text": lambda c: c.update(spacing_known="yes"),
    "naming a number": lambda c: c.update(naming=3),
    "naming of other words": lambda c: c.update(naming={"x": 1}),
    "naming half": lambda c: c["naming"].pop("files_per_case"),
    "naming a text": lambda c: c["naming"].update(files_per_case="all"),
    "colours a number": lambda c: c.update(colours=3),
}
RANGES: dict[str, Any] = {"cases": 2, "spacing_mm": [], "intensity": [], "classes": {}}


@pytest.fixture
def run(make_run: MakeRun) -> Path:
    return make_run(values=(1, 2))


def rewritten(run: Path, change: Change) -> None:
    card = json.loads((run / "model.json").read_text())
    change(card)
    (run / "model.json").write_text(json.dumps(card))


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_card_is_refused_with_file_and_remedy(run: Path, fault: str) -> None:
    load_model(run, device="cpu")
    rewritten(run, WRONG[fault])
    with pytest.raises(SemivoxError) as caught:
        load_model(run, device="cpu")
    assert str(run) in str(caught.value) or fault in ("unknown kind",)
    assert caught.value.found is not None


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda t: t.to(torch.int32), "no weights"),
        (lambda t: torch.full_like(t, torch.nan), "not finite"),
        (lambda t: torch.full_like(t, torch.inf), "not finite"),
        (lambda t: t[..., :1].contiguous(), "cannot be read|larger than its weights"),
    ],
)
def test_tensors_that_are_no_weights(
    run: Path, change: Callable[[torch.Tensor], torch.Tensor], match: str
) -> None:
    path = run / "model.safetensors"
    tensors = load_file(path)
    name = max((n for n in tensors if n.startswith("teacher.")), key=lambda n: tensors[n].numel())
    save_file({**tensors, name: change(tensors[name])}, path)
    rewritten(run, lambda card: card.update(model_id=sha256_file(path)))
    with pytest.raises(DataError, match=match):
        load_model(run, device="cpu")


def test_a_card_with_anything_in_any_place_is_read_or_refused(run: Path) -> None:
    """Each field in turn gets what does not belong there; nothing but our own errors comes of it."""
    whole = json.loads((run / "model.json").read_text())
    rng = np.random.default_rng(0)
    strange = [None, -1, 0, 1e20, "", "\u00b2", [], {}, True, [[[]]], {"a": 1}, 10**30, "../x"]
    places = list(paths_in(whole))
    refused = 0
    for path in places:
        card = copy.deepcopy(whole)
        replace_at(card, path, strange[rng.integers(len(strange))])
        (run / "model.json").write_text(json.dumps(card))
        try:
            load_model(run, device="cpu")
        except SemivoxError:
            refused += 1
    assert len(places) > 80
    assert refused > len(places) / 2


def paths_in(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [before] if before else []
    for key, each in inner:
        found += paths_in(each, (*before, key))
    return found


def replace_at(value: Any, path: tuple[Any, ...], new: Any) -> None:
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new
