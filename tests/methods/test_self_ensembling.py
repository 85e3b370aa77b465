"""Self-ensembling contrastive learning: what is compared with what, and what its switches change."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from semivox.batches import Crops
from semivox.errors import SettingsError
from semivox.methods.declare import At, Facts
from semivox.methods.self_ensembling import SelfEnsembling, SelfEnsemblingSettings
from semivox.prepare import ChannelPlan, ClassPlan, NetworkPlan, Plan
from semivox.randomness import Key

SHAPES = {2: (16, 16), 3: (16, 16, 8)}
TAU = 0.5


def build(
    dims: int = 3, classes: int = 3, levels: int = 3, **settings: Any
) -> tuple[SelfEnsembling, Facts, dict[str, Crops]]:
    """The method with a teacher that differs from the student, its facts and a batch."""
    one, two = (3,) * dims, (2,) * dims
    plan = Plan(
        dims=dims, axes=tuple(range(dims)), native_spacing=(1.0,) * dims, spacing=(1.0,) * dims,
        spacing_known=True, rung=1.0, shape=SHAPES[dims], patch=SHAPES[dims], batch=(2, 2),
        network=NetworkPlan("unet", (4, 8, 8)[:levels], (one,) * levels, (two,) * (levels - 1)),
        channels=(ChannelPlan("0", "zscore"),),
        classes=tuple(ClassPlan(k, str(k), 10.0, 1.0) for k in range(1, classes)),
        budget_seconds=None, step_seconds=1.0, steps=None, assumptions=(),
    )  # fmt: skip
    facts = Facts(plan, 100, 2, 4, Key(0))
    defaults = {"threshold": 0.0, "temperature": TAU, "dropout": 0.0}
    method = SelfEnsembling(facts, SelfEnsemblingSettings(**{**defaults, **settings}))
    rng = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for module in (method.teacher, method.teacher_projection):
            for parameter in module.requires_grad_(False).parameters():
                parameter += 0.1 * torch.randn(parameter.shape, generator=rng)
    return method, facts, make_batch(method, facts)


def make_batch(method: SelfEnsembling, facts: Facts, seed: int = 0) -> dict[str, Crops]:
    made, shape, k = {}, facts.plan.patch, facts.classes - 1
    for name, stream in method.stages(facts)[0].streams.items():
        rng = (Key(seed) / name).torch()
        x = torch.randn(2, 1, *shape, generator=rng)
        labels = torch.randint(0, k + 1, (2, *shape), generator=rng)
        target = torch.stack([(labels == c).float() for c in range(1, k + 1)], 1)
        made[name] = Crops(
            views={v: x + 0.3 * i * torch.randn(x.shape, generator=rng) for i, v in enumerate(stream.views)},
            target=target if stream.target else None,
            valid=torch.ones(2, 1, *shape),
            annotated=torch.ones(2, k),
            sdm=None,
            case=torch.arange(2) + (10 if name == "labeled" else 0),
            box=torch.zeros(2, facts.dims, 2),
        )
    return made


def at(facts: Facts, progress: float = 0.9, step: int = 90) -> At:
    return At("train", step, progress, progress, facts.key)


def few_valid(data: dict[str, Crops], count: int = 14) -> dict[str, Crops]:
    """Only so many voxels of each crop are inside the scan: the draws then take all of them."""
    few = {}
    for name, crops in data.items():
        score = torch.rand(crops.valid.shape, generator=(Key(1) / name).torch())
        bar = score.flatten(1).sort(1).values[:, count].reshape(-1, *(1,) * (score.dim() - 1))
        few[name] = replace(crops, valid=(score < bar).float())
    return few


def grid_mean(x: Tensor, size: tuple[int, ...]) -> Tensor:
    kernel = [n // m for n, m in zip(x.shape[2:], size, strict=True)]
    return (functional.avg_pool2d if x.dim() == 4 else functional.avg_pool3d)(x, kernel)


Vectors = list[tuple[Tensor, Tensor, int, int]]  # q, k, class, case


def slow_vectors(method: SelfEnsembling, data: Mapping[str, Crops]) -> Vectors:
    """Every position that may be drawn, one by one, from the description of the method."""
    s, labeled, unlabeled = method.settings, data["labeled"], data["unlabeled"]
    x_s = torch.cat([labeled.views["weak"], unlabeled.views["weak"]])
    compared = [labeled, unlabeled] if s.labeled_in_contrast else [unlabeled]
    x_t = torch.cat([c.views["intensity"] for c in compared])
    network = method.teacher if s.teacher_keys else method.student
    head = (method.teacher_projection if s.teacher_keys else method.projection)["anatomical"]
    out_s, out_t = method.student(x_s, norm="batch"), network(x_t, norm="batch")
    f_s, f_t = out_s.features[s.features][-len(x_t) :], out_t.features[s.features]
    found: Vectors = []
    row = 0
    for crops in compared:
        for b in range(2):
            probs = out_t.logits[row].softmax(0)
            if crops.target is not None:
                foreground = crops.target[b] * crops.annotated[b].reshape(-1, *(1,) * (x_s.dim() - 2))
                background = 1 - foreground.sum(0, keepdim=True)
                probs = torch.cat([background * crops.annotated[b].min(), foreground])
            probs = grid_mean((probs * crops.valid[b])[None], f_s.shape[2:])[0]
            for place in torch.cartesian_prod(*(torch.arange(n) for n in probs.shape[1:])):
                here = (slice(None), *place)
                if probs[here].max() > s.threshold:
                    q = method.projection["anatomical"](f_s[row][here][None])[0]
                    k = head(f_t[row][here][None])[0]
                    found.append((q.detach(), k.detach(), int(probs[here].argmax()), int(crops.case[b])))
            row += 1
    return found


def slow_loss(vectors: Vectors, memory: Vectors | None = None) -> float:
    values = []
    for i, (q, _, c, case) in enumerate(vectors):
        keys = [(k, d) for j, (_, k, d, _) in enumerate(vectors) if j != i]
        keys += [(k, d) for _, k, d, other in memory or [] if other != case]
        own = [torch.cosine_similarity(q, k, dim=0).item() / TAU for k, d in keys if d == c]
        bottom = sum(math.exp(torch.cosine_similarity(q, k, dim=0).item() / TAU) for k, d in keys if d != c)
        if own:
            values.append(sum(-math.log(math.exp(s) / (math.exp(s) + bottom)) for s in own) / len(own))
    return sum(values) / len(values)


def partly(data: dict[str, Crops]) -> dict[str, Crops]:
    """Class 2 was not annotated in the first labelled case."""
    annotated = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    return {**data, "labeled": replace(data["labeled"], annotated=annotated)}


@pytest.mark.parametrize(
    ("dims", "settings"),
    [
        (3, {}), (2, {}), (3, {"threshold": 0.4}), (3, {"teacher_keys": False}),
        (3, {"labeled_in_contrast": True}), (2, {"labeled_in_contrast": True, "features": "decoder_1"}),
        (3, {"features": "decoder_1"}), (3, {"features": "bottleneck", "threshold": 0.003}),
    ],
)  # fmt: skip
def test_the_contrast_is_the_formula(dims: int, settings: Mapping[str, Any]) -> None:
    method, facts, data = build(dims, **settings)
    data = few_valid(partly(data))
    vectors = slow_vectors(method, data)
    assert len({c for _, _, c, _ in vectors}) > 1
    term = method.step(data, at(facts))["contrast"]
    assert term.value.item() == pytest.approx(slow_loss(vectors), rel=1e-4)
    assert term.weight == pytest.approx(0.1 * math.exp(-5 * 0.1**2))


def test_only_so_many_positions_of_a_class_are_drawn() -> None:
    """All classes count alike, however much background there is."""
    sizes = []
    for samples in (2, 5):
        method, facts, data = build(samples=samples)
        method.projection["anatomical"].register_forward_hook(lambda m, x, y: sizes.append(len(x[0])))
        method.step(data, at(facts))
    assert sizes == [2 * 3 * 2, 2 * 3 * 5]  # crops x classes x samples: no dense map is projected


def test_the_queue_holds_keys_of_other_cases() -> None:
    method, facts, data = build(queue=50)
    assert {"queues.0.vectors", "queues.2.case"} <= set(method.state_dict())  # a resumed run has them
    first = few_valid(data)
    second = few_valid(make_batch(method, facts, seed=1))
    second["unlabeled"] = replace(second["unlabeled"], case=torch.tensor([1, 5]))  # case 1 comes again
    memory = slow_vectors(method, first)
    start = method.step(first, at(facts))["contrast"].value.item()
    assert start == pytest.approx(slow_loss(memory), rel=1e-4)  # an empty queue says nothing
    loss = method.step(second, at(facts, step=91))["contrast"].value
    assert loss.item() == pytest.approx(slow_loss(slow_vectors(method, second), memory), rel=1e-4)
    loss.backward()


def test_a_queue_a_class_keeps_the_rare_ones() -> None:
    method, facts, data = build(queue=4, samples=64)
    with torch.no_grad():
        method.teacher.head.weight.zero_()
        method.teacher.head.bias.copy_(torch.tensor([0.0, 9.0, 0.0]))
    for queue in method.queues:
        queue.push(torch.ones(1, 128), torch.tensor([7]))
    method.step(data, at(facts))
    assert [int(queue.filled.sum()) for queue in method.queues] == [1, 4, 1]
    assert method.queues[1].label.tolist() == [1] * 4
    assert method.queues[0].case[0] == method.queues[2].case[0] == 7


def gradients(method: SelfEnsembling, loss: Tensor) -> list[Tensor]:
    learners = [p for p in method.parameters() if p.requires_grad]
    grads = torch.autograd.grad(loss, learners, allow_unused=True, retain_graph=True)
    return [g for g in grads if g is not None]


@pytest.mark.parametrize("sampling", ["anatomical", "region", "both"])
@pytest.mark.parametrize("why", ["unsure", "outside", "one class"])
def test_an_empty_contrast_is_0_and_not_nan(sampling: str, why: str) -> None:
    threshold = 1.0 if why == "unsure" else 0.0
    method, facts, data = build(sampling=sampling, threshold=threshold, queue=3)
    if why == "outside":
        nothing = torch.zeros_like(data["unlabeled"].valid)
        data["unlabeled"] = replace(data["unlabeled"], valid=nothing)
    if why == "one class":
        with torch.no_grad():
            method.teacher.head.bias[1] += 1000
    found = method.step(data, at(facts))
    for name in set(found) - {"segmentation"}:
        grads = gradients(method, found[name].value)
        assert all(bool(torch.isfinite(g).all()) for g in grads)
        empty = name == "contrast" or why == "outside"
        assert (found[name].value.item() == 0) == empty
        assert any(bool(g.any()) for g in grads) != empty


def test_a_class_that_one_crop_lacks() -> None:
    """Its anchors in the other crop still have each other; nothing becomes NaN."""
    method, facts, data = build(samples=6)
    valid = few_valid(data)["unlabeled"].valid
    valid[0] = 0
    data["unlabeled"] = replace(data["unlabeled"], valid=valid)
    vectors = slow_vectors(method, data)
    assert {case for *_, case in vectors} == {1}
    method, facts, _ = build(samples=64)
    loss = method.step(data, at(facts))["contrast"].value
    assert loss.item() == pytest.approx(slow_loss(vectors), rel=1e-4)


def test_pseudo_labels_are_not_heard_at_the_start() -> None:
    method, facts, data = build(sampling="both")
    weights = [{n: t.weight for n, t in method.step(data, at(facts, p)).items()} for p in (0.0, 0.5, 1.0)]
    for name in ("contrast", "contrast_region"):
        assert weights[0][name] < 0.01 * weights[2][name]
        assert weights[0][name] < weights[1][name] < weights[2][name] == 0.1


def test_background_gives_a_single_organ_its_negatives() -> None:
    with pytest.raises(SettingsError, match="no negatives"):
        build(classes=2, background=False)
    build(classes=2, background=False, sampling="region")  # regions need no classes
    method, facts, data = build(classes=2)
    assert method.step(data, at(facts))["contrast"].value > 0
    foreground, _, _ = build(background=False)
    assert list(foreground.classes) == [1, 2]


def test_features_that_the_network_lacks_are_refused() -> None:
    with pytest.raises(SettingsError, match="no such features"):
        build(levels=2, features="decoder_1")


@pytest.mark.parametrize("teacher_keys", [True, False])
def test_who_gives_the_keys(teacher_keys: bool) -> None:
    """Off, the teacher does not matter. Either way no gradient flows through the keys."""
    method, facts, data = build(sampling="both", teacher_keys=teacher_keys)
    before = method.step(data, at(facts))
    seen = []
    for network in (method.teacher, method.student):
        network.register_forward_hook(lambda m, x, y: seen.append((m, y.logits.requires_grad)))
    with torch.no_grad():
        for parameter in [*method.teacher.parameters(), *method.teacher_projection.parameters()]:
            parameter *= 1.5
    after = method.step(data, at(facts))
    assert seen == [(method.student, True), (method.teacher if teacher_keys else method.student, False)]
    for name in ("contrast", "contrast_region"):
        assert torch.equal(before[name].value, after[name].value) is not teacher_keys
    assert not any(p.requires_grad for p in method.teacher.parameters())


def test_the_second_forward_leaves_the_students_statistics_alone() -> None:
    method, facts, data = build(teacher_keys=False)
    plain, _, _ = build(teacher_keys=False, contrast=0.0)
    method.step(data, at(facts))
    plain.step(data, at(facts))
    for name, buffer in plain.student.named_buffers():
        assert torch.equal(buffer, method.student.get_buffer(name)), name


def test_an_organ_nobody_annotated_is_no_class_of_the_contrast() -> None:
    """Painted into the background of a partly annotated case, class 2 changes no term."""
    method, facts, data = build(labeled_in_contrast=True)
    data = partly(data)
    painted = data["labeled"].target.clone()
    painted[0, 1] = 1 - painted[0, 0]
    organ = {**data, "labeled": replace(data["labeled"], target=painted)}
    one, two = (method.step(d, at(facts)) for d in (data, organ))
    assert torch.equal(one["contrast"].value, two["contrast"].value)
    everyone = torch.ones(2, 2)
    known = {**data, "labeled": replace(data["labeled"], annotated=everyone)}
    assert not torch.equal(one["contrast"].value, method.step(known, at(facts))["contrast"].value)


def slow_regions(method: SelfEnsembling, data: Mapping[str, Crops], cross: bool) -> float:
    s, unlabeled = method.settings, data["unlabeled"]
    x = torch.cat([data["labeled"].views["weak"], unlabeled.views["weak"]])
    f_s = method.student(x, norm="batch").features["bottleneck"][2:]
    f_t = method.teacher(unlabeled.views["intensity"], norm="batch").features["bottleneck"]
    grid = tuple(min(s.grid, n) for n in f_s.shape[2:])
    voxels = torch.tensor([n / g for n, g in zip(x.shape[2:], grid, strict=True)])
    share = grid_mean(unlabeled.valid, grid)
    q_all, k_all = grid_mean(f_s, grid), grid_mean(f_t, grid)
    cells = []
    for b in range(2):
        for place in torch.cartesian_prod(*(torch.arange(n) for n in grid)):
            here = (b, slice(None), *place)
            if share[here] > 0.5:
                q = method.projection["region"](q_all[here][None])[0]
                k = method.teacher_projection["region"](k_all[here][None])[0]
                cells.append((q, k, b, unlabeled.box[b, :, 0] / voxels + place))
    values = []
    for q, _, b, place in cells:
        own, bottom = [], 0.0
        for _, k, other, there in cells:
            if b == other or cross:
                distance = (place - there).abs().max().item()
                similarity = torch.cosine_similarity(q, k, dim=0).item() / TAU
                if distance < 0.5:
                    own.append(similarity)
                elif distance > s.exclude_window + 0.5 - 1e-6:
                    bottom += math.exp(similarity)
        values.append(sum(-math.log(math.exp(v) / (math.exp(v) + bottom)) for v in own) / len(own))
    return sum(values) / len(values)


@pytest.mark.parametrize(
    ("dims", "settings"),
    [(3, {}), (2, {}), (3, {"exclude_window": 0}), (3, {"grid": 2}), (2, {"cross_image": True})],
)
def test_the_region_contrast_is_the_formula(dims: int, settings: Mapping[str, Any]) -> None:
    method, facts, data = build(dims, sampling="region", **settings)
    valid = data["unlabeled"].valid.clone()
    valid[0, :, :7] = 0  # the first cells of one crop are mostly outside the scan
    box = torch.zeros(2, dims, 2)
    box[:, 0, 0] = torch.tensor([-3.0, 6.0])
    data["unlabeled"] = replace(data["unlabeled"], valid=valid, box=box)
    found = method.step(data, at(facts))
    assert set(found) == {"segmentation", "contrast_region"}
    expected = slow_regions(method, data, settings.get("cross_image", False))
    assert found["contrast_region"].value.item() == pytest.approx(expected, rel=1e-4)


def test_regions_of_other_crops_are_compared_only_when_asked() -> None:
    """Random crops are not aligned: by default the second crop says nothing about the first."""
    for cross in (False, True):
        method, facts, data = build(sampling="region", cross_image=cross)
        losses = []
        for start in (0.0, 4.0):
            box = torch.zeros(2, 3, 2)
            box[1, 0] = start
            crops = {**data, "unlabeled": replace(data["unlabeled"], box=box)}
            losses.append(method.step(crops, at(facts))["contrast_region"].value)
        assert torch.equal(*losses) is not cross


@pytest.mark.parametrize(
    "settings",
    [
        {"sampling": "anatomical"}, {"sampling": "region"}, {"features": "decoder_1"}, {"dropout": 0.5},
        {"features": "bottleneck"}, {"region_features": "decoder"}, {"samples": 4}, {"threshold": 0.5},
        {"background": False}, {"queue": 8}, {"temperature": 0.1}, {"labeled_in_contrast": True},
        {"teacher_keys": False}, {"grid": 2}, {"exclude_window": 0}, {"cross_image": True},
    ],
)  # fmt: skip
def test_every_ablation_runs_and_changes_the_contrast(settings: Mapping[str, Any]) -> None:
    method, facts, _ = build(sampling="both")
    other, _, _ = build(**{"sampling": "both", **settings})
    values = []
    for m in (method, other):
        for seed in (0, 1):  # the second step meets the queue
            data = make_batch(m, facts, seed)
            data["unlabeled"] = replace(data["unlabeled"], case=torch.arange(2) + 2 * seed)
            found = m.step(data, at(facts, step=seed))
        assert all(bool(torch.isfinite(term.value)) for term in found.values())
        values.append({n: t.value.item() for n, t in found.items() if n != "segmentation"})
    assert values[0] != values[1]


def test_what_it_asks_for() -> None:
    method, facts, _ = build()
    (stage,) = method.stages(facts)
    assert stage.streams["unlabeled"].views == ("weak", "intensity")
    assert stage.streams["labeled"].views == ("weak",)
    assert {(p.student, p.teacher, p.decay) for p in stage.pairs} == {
        ("student", "teacher", 0.99),
        ("projection", "teacher_projection", 0.99),
    }
    assert [p.modules for p in stage.players] == [("student", "projection")]
    assert len(method.queues) == 0
    assert list(method.projection) == ["anatomical"]  # no head that nothing trains
    both, facts, _ = build(sampling="both", labeled_in_contrast=True)
    assert both.stages(facts)[0].streams["labeled"].views == ("weak", "intensity")
    assert list(both.projection) == ["anatomical", "region"]
