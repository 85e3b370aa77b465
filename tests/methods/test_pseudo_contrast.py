"""Pseudo-label contrast: rounds, pairs, classes; what the published code got wrong must not come back."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from semivox.batches import Batches, Crops
from semivox.batches.annotation import PseudoLabel
from semivox.losses import class_mean_contrast
from semivox.methods.declare import At, Facts, Relabel
from semivox.methods.pseudo_contrast import PseudoContrast, PseudoContrastSettings
from semivox.prepare import ChannelPlan, ClassPlan, NetworkPlan, Plan
from semivox.randomness import Key
from semivox.training.stages import stage_ends

ALL = 10_000  # more anchors than there are voxels: all of them


def build(
    dims: int = 3, classes: int = 3, batch: tuple[int, int] = (2, 4), **settings: Any
) -> tuple[PseudoContrast, Facts]:
    shape = {2: (8, 8), 3: (8, 8, 4)}[dims]
    one, two = (3,) * dims, (2,) * dims
    plan = Plan(
        dims=dims, axes=tuple(range(dims)), native_spacing=(1.0,) * dims, spacing=(1.0,) * dims,
        spacing_known=True, rung=1.0, shape=shape, patch=shape, batch=batch,
        network=NetworkPlan("unet", (4, 8), (one, one), (two,)), channels=(ChannelPlan("0", "zscore"),),
        classes=tuple(ClassPlan(k, str(k), 10.0, 1.0) for k in range(1, classes)),
        budget_seconds=None, step_seconds=1.0, steps=None, assumptions=(),
    )  # fmt: skip
    facts = Facts(plan, 20000, 2, 4, Key(0))
    return PseudoContrast(facts, PseudoContrastSettings(**{"dropout": 0.0, **settings})), facts


def crops(facts: Facts, n: int, seed: int) -> Crops:
    rng = torch.Generator().manual_seed(seed)
    shape, k = facts.plan.patch, facts.classes - 1
    labels = torch.randint(0, k + 1, (n, *shape), generator=rng)
    return Crops(
        views={"weak": torch.randn(n, 1, *shape, generator=rng)},
        target=torch.stack([(labels == c).float() for c in range(1, k + 1)], 1),
        valid=torch.ones(n, 1, *shape),
        annotated=torch.ones(n, k),
        sdm=None,
        case=torch.arange(n),
        box=torch.zeros(n, facts.dims, 2),
    )


def round_batch(method: PseudoContrast, facts: Facts) -> dict[str, Crops]:
    streams = method.stages(facts)[1].streams
    return {name: crops(facts, stream.size, len(name)) for name, stream in streams.items()}


def step(method: PseudoContrast, facts: Facts, batch: Mapping[str, Crops]) -> dict[str, Any]:
    return method.step(batch, At("round1", 7000, 0.35, 0.3, facts.key))


def contrast(method: PseudoContrast, facts: Facts, batch: Mapping[str, Crops]) -> Tensor:
    return step(method, facts, batch)["contrast"].value


def rows(c: Crops, order: list[int]) -> Crops:
    assert c.target is not None
    return replace(
        c,
        views={name: view[order] for name, view in c.views.items()},
        target=c.target[order],
        valid=c.valid[order],
        annotated=c.annotated[order],
        case=c.case[order],
    )


def test_a_baseline_then_rounds_that_label_anew() -> None:
    """At the paper's steps a round has 5000 steps, not the 301 of the published script."""
    method, facts = build()
    stages = method.stages(facts)
    assert [stage.name for stage in stages] == ["labeled", "round1", "round2", "round3"]
    assert stage_ends(stages, 20000) == [5000, 10000, 15000, 20000]
    assert [stage.relabel for stage in stages] == [None] + [Relabel(clean="largest")] * 3
    assert [stage.start for stage in stages] == ["go_on"] * 4
    assert stages[0].players[0].modules == ("student",)
    assert list(stages[0].streams) == ["labeled"]
    assert stages[0].streams["labeled"].size == 6  # as supervised
    for stage in stages[1:]:
        assert stage.players[0].modules == ("student", "projection")
        assert {name: stream.size for name, stream in stage.streams.items()} == {"labeled": 2, "pairs": 4}


@pytest.mark.parametrize(("sweeps", "rounds"), [(None, 3), (5, 3), (2, 2), (1, 1)])
def test_the_budget_limits_the_rounds(sweeps: int | None, rounds: int) -> None:
    method, facts = build()
    stages = method.stages(replace(facts, sweeps=sweeps))
    assert len(stages) == 1 + rounds
    assert sum(stage.share for stage in stages) == pytest.approx(1)
    assert stages[0].share == pytest.approx(0.25)


def test_without_rounds_it_is_the_baseline() -> None:
    method, facts = build(rounds=0)
    (stage,) = method.stages(facts)
    assert stage.share == 1


def test_pairs_are_even() -> None:
    for n_u, size in ((1, 2), (2, 2), (5, 6)):
        method, facts = build(batch=(2, n_u))
        assert method.stages(facts)[1].streams["pairs"].size == size


def slow_contrast(
    method: PseudoContrast, facts: Facts, batch: Mapping[str, Crops], classes: list[int], reach: str
) -> float:
    """The formula, voxel by voxel, with every voxel as an anchor."""
    labeled, pairs = batch["labeled"], batch["pairs"]
    x = torch.cat([labeled.views["weak"], pairs.views["weak"]])
    with torch.no_grad():
        features = method.student(x, norm="batch").features["decoder"][len(labeled.valid) :]
        h = method.projection(features).flatten(2).movedim(1, 2).double()  # (B, P, D)
    assert pairs.target is not None
    foreground = pairs.target.flatten(2)
    label = torch.cat([1 - foreground.sum(1, keepdim=True), foreground], 1).argmax(1)
    label = label.masked_fill(pairs.valid.flatten(1) == 0, -1)
    mean = {
        (i, c): h[i, label[i] == c].mean(0) for i in range(len(h)) for c in classes if (label[i] == c).any()
    }
    losses = []
    for i in range(len(h)):
        seen = [i, i ^ 1] if reach == "inter" else [i]
        for place, c in enumerate(label[i].tolist()):
            keys = {(j, d): m for (j, d), m in mean.items() if j in seen}
            if c not in classes or all(d == c for _, d in keys):
                continue
            s = {k: math.exp(torch.cosine_similarity(h[i, place], m, dim=0) / 0.1) for k, m in keys.items()}
            own = [math.log(s[k] / sum(s.values())) for k in s if k[1] == c]
            losses.append(-sum(own) / len(own))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("reach", ["inter", "intra"])
@pytest.mark.parametrize(
    ("dims", "classes", "background"), [(3, 3, "auto"), (2, 4, "always"), (2, 2, "auto")]
)
def test_equals_the_loop(reach: Any, dims: int, classes: int, background: Any) -> None:
    method, facts = build(dims, classes, anchors=ALL, reach=reach, include_background=background)
    batch = round_batch(method, facts)
    pairs = batch["pairs"]
    pairs.target[1, 0] = 0  # one image lacks a class
    pairs.valid[2, ..., :2] = 0
    compared = list(range(0 if classes == 2 or background == "always" else 1, classes))
    expected = slow_contrast(method, facts, batch, compared, reach)
    assert contrast(method, facts, batch).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("reach", ["inter", "intra"])
def test_the_order_of_pairs_and_within_a_pair_changes_nothing(reach: Any) -> None:
    """The published code divides inside its loop over pairs, so that the last one counts most."""
    method, facts = build(batch=(2, 6), anchors=ALL, reach=reach)
    batch = round_batch(method, facts)
    value = contrast(method, facts, batch)
    for order in ([4, 5, 0, 1, 2, 3], [1, 0, 2, 3, 5, 4]):
        again = contrast(method, facts, {**batch, "pairs": rows(batch["pairs"], order)})
        assert again.item() == pytest.approx(value.item(), rel=1e-5)
    apart = contrast(method, facts, {**batch, "pairs": rows(batch["pairs"], [0, 3, 2, 1, 4, 5])})
    if reach == "inter":
        assert apart.item() != pytest.approx(value.item(), rel=1e-5)


def test_a_pair_may_lack_classes_and_no_step_is_skipped() -> None:
    method, facts = build(anchors=ALL)
    batch = round_batch(method, facts)
    pairs = batch["pairs"]

    def with_planes(keep: list[list[int]]) -> dict[str, Any]:
        mask = torch.tensor(keep, dtype=torch.float32).view(4, 2, 1, 1, 1)
        return step(method, facts, {**batch, "pairs": replace(pairs, target=pairs.target * mask)})

    whole = with_planes([[1, 1]] * 4)
    some = with_planes([[1, 0], [0, 1], [0, 0], [1, 1]])  # nothing shared; one image empty
    none = with_planes([[0, 0]] * 4)
    for terms in (whole, some, none):
        assert torch.equal(terms["segmentation"].value, whole["segmentation"].value)
        assert bool(torch.isfinite(terms["contrast"].value))
    assert some["contrast"].value > 0
    assert none["contrast"].value == 0
    parameters = [*method.student.parameters(), *method.projection.parameters()]
    for terms, moves in ((some, True), (none, False)):
        grads = torch.autograd.grad(terms["contrast"].value, parameters, allow_unused=True, retain_graph=True)
        assert any(g is not None and bool((g != 0).any()) for g in grads) is moves


def test_one_foreground_class_is_told_apart_from_the_background() -> None:
    """Without it, inter has no negative and intra is 0 whatever the network says."""
    for reach in ("inter", "intra"):
        auto, facts = build(classes=2, reach=reach)
        never, _ = build(classes=2, reach=reach, include_background="never")
        batch = round_batch(auto, facts)
        assert auto.compared == [0, 1]
        assert contrast(auto, facts, batch) > 0
        assert contrast(never, facts, batch) == 0
    assert build(classes=3)[0].compared == [1, 2]
    assert build(classes=3, include_background="always")[0].compared == [0, 1, 2]


def test_what_was_not_annotated_takes_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    method, facts = build(include_background="always")
    batch = round_batch(method, facts)
    annotated = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
    pairs = replace(batch["pairs"], annotated=annotated)
    seen: list[tuple[Tensor, Tensor]] = []

    def spy(anchors: Tensor, drawn: Tensor, means: Tensor, present: Tensor, **options: Any) -> Tensor:
        seen.append((drawn.any(2), present))
        return anchors.sum() + means.sum()

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules[class_mean_contrast.__module__], "class_mean_contrast", spy)
        step(method, facts, {**batch, "pairs": pairs})
    # neither the class nor the background that may hide it
    expected = torch.tensor([[0, 1, 0], [1, 1, 1], [0, 0, 0], [1, 1, 1]], dtype=torch.bool)
    assert all(torch.equal(found, expected) for found in seen[0])

    painted = pairs.target.clone()
    painted[0, 1] = 1 - painted[0, 0]
    values = [
        contrast(method, facts, {**batch, "pairs": replace(pairs, target=target)})
        for target in (pairs.target, painted)
    ]
    assert torch.equal(*values)


def test_nothing_outside_the_scan_takes_part() -> None:
    method, facts = build()
    batch = round_batch(method, facts)
    valid = torch.ones_like(batch["pairs"].valid)
    valid[:, :, :4] = 0
    wrong = torch.where(valid > 0, batch["pairs"].target, 1 - batch["pairs"].target)
    values = [
        contrast(method, facts, {**batch, "pairs": replace(batch["pairs"], valid=valid, target=target)})
        for target in (batch["pairs"].target, wrong)
    ]
    assert torch.equal(*values)
    assert not torch.equal(values[0], contrast(method, facts, batch))


def test_pseudo_labels_enter_the_contrast_alone() -> None:
    method, facts = build()
    batch = round_batch(method, facts)
    other = replace(batch["pairs"], target=batch["pairs"].target.flip(1))
    wrong = replace(batch["pairs"], target=batch["pairs"].target.roll(1, 2))
    terms = [step(method, facts, {**batch, "pairs": pairs}) for pairs in (batch["pairs"], other, wrong)]
    assert all(torch.equal(t["segmentation"].value, terms[0]["segmentation"].value) for t in terms)
    assert not torch.equal(terms[0]["contrast"].value, terms[2]["contrast"].value)


@pytest.mark.parametrize(
    "settings",
    [
        {"reach": "intra"}, {"negatives": "voxels"}, {"temperature": 0.5}, {"anchors": 8}, {"embedding": 4},
        {"include_background": "always"},
    ],
    ids=str,
)  # fmt: skip
def test_every_ablation_changes_the_contrast_and_nothing_else(settings: Mapping[str, Any]) -> None:
    method, facts = build()
    other, _ = build(**settings)
    batch = round_batch(method, facts)
    before, after = step(method, facts, batch), step(other, facts, batch)
    assert torch.equal(before["segmentation"].value, after["segmentation"].value)
    assert bool(torch.isfinite(after["contrast"].value))
    assert not torch.equal(before["contrast"].value, after["contrast"].value)


@dataclass(frozen=True)
class Case:
    """A scan whose own label is out of reach where it is unlabelled."""

    index: int
    label: np.ndarray | None
    valid: np.ndarray | None = None
    spacing: tuple[float, ...] = (1.0, 1.0)
    known: None = None

    @property
    def image(self) -> np.ndarray:
        return np.full((1, 12, 12), float(self.index), np.float32)

    @property
    def target(self) -> np.ndarray:
        assert self.label is not None, "an unlabelled case's label was opened"
        return self.label

    @property
    def foreground(self) -> dict[int, np.ndarray]:
        return {k + 1: np.argwhere(plane > 127) for k, plane in enumerate(self.target)}

    @property
    def body(self) -> np.ndarray:
        return np.argwhere(np.ones((12, 12)))

    @property
    def annotated(self) -> np.ndarray:
        return np.full(2, 0.0 if self.label is None else 1.0, np.float32)


def planes(where: int, classes: tuple[int, ...] = (0, 1)) -> np.ndarray:
    label = np.zeros((2, 12, 12), np.uint8)
    for c in classes:
        label[c, 4 * c : 4 * c + 4, where : where + 4] = 255
    return label


@dataclass
class World:
    """Two labelled scans (0, 1), three unlabelled ones with pseudo-labels at another place."""

    labeled: tuple[int, ...] = (0, 1)
    unlabeled: tuple[int, ...] = (2, 3, 4)
    patients: tuple[str, ...] = tuple("abcde")
    asked: set[int] = field(default_factory=set)

    def case(self, index: int, /) -> Case:
        return Case(index, planes(0) if index in self.labeled else None)

    def labels(self, index: int, /) -> PseudoLabel:
        self.asked.add(index)
        label = planes(8)
        found = {k + 1: np.argwhere(plane > 127) for k, plane in enumerate(label)}
        return PseudoLabel(label, np.full((1, 12, 12), 200, np.uint8), found)

    def agreement(self, index: int, /) -> float:
        return 1.0


@pytest.mark.parametrize("contrast_on", ["both", "labeled", "unlabeled"])
def test_pairs_take_labels_where_there_are_some_and_pseudo_labels_elsewhere(contrast_on: Any) -> None:
    """The published lists of unlabelled scans hold the labelled ones too; here nobody is both."""
    method, facts = build(2, contrast_on=contrast_on, confidence=0.5)
    stage, world = method.stages(facts)[1], World()
    assert (stage.relabel is None) is (contrast_on == "labeled")
    pseudo = None if contrast_on == "labeled" else world
    batches = Batches(world, stage.streams, (12, 12), facts.key, stage.name, pseudo=pseudo)
    drawn = set()
    for i in range(10):
        batch = batches.batch(i)
        pairs = batch["pairs"]
        drawn |= set(pairs.case.tolist())
        assert bool((pairs.case[::2] != pairs.case[1::2]).all())
        assert bool((pairs.annotated == 1).all())
        assert pairs.target is not None
        for case, target in zip(pairs.case.tolist(), pairs.target, strict=True):
            expected = planes(0 if case in world.labeled else 8)
            assert torch.equal(target, torch.from_numpy(expected / 255).float())
        assert set(batch["labeled"].case.tolist()) <= {0, 1}
        assert bool(torch.isfinite(contrast(method, facts, batch)))
    expected_cases = {"both": {0, 1, 2, 3, 4}, "labeled": {0, 1}, "unlabeled": {2, 3, 4}}[contrast_on]
    assert drawn == expected_cases
    assert world.asked == expected_cases - {0, 1}
