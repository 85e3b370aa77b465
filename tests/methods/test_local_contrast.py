"""local_contrast: what each stage sees, moves and compares; each fault of the reference code would show."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from semivox.batches import Crops
from semivox.errors import SettingsError
from semivox.losses import class_labels
from semivox.methods.declare import At, Facts, Optimizer, Stage
from semivox.methods.local_contrast import LocalContrast, LocalContrastSettings
from semivox.prepare import ChannelPlan, ClassPlan, NetworkPlan, Plan
from semivox.randomness import Key
from semivox.training.config import resolve
from semivox.training.loop import fit

SHAPES = {2: (32, 16), 3: (16, 8, 8)}


def build(
    dims: int = 3, classes: int = 3, channels: int = 1, steps: int = 10, **settings: Any
) -> tuple[LocalContrast, Facts]:
    one, two = (3,) * dims, (2,) * dims
    plan = Plan(
        dims=dims, axes=tuple(range(dims)), native_spacing=(1.0,) * dims, spacing=(1.0,) * dims,
        spacing_known=True, rung=1.0, shape=SHAPES[dims], patch=SHAPES[dims], batch=(2, 1),
        network=NetworkPlan("unet", (4, 6), (one, one), (two,)),
        channels=tuple(ChannelPlan(str(c), "zscore") for c in range(channels)),
        classes=tuple(ClassPlan(k, str(k), 10.0, 1.0) for k in range(1, classes)),
        budget_seconds=None, step_seconds=1.0, steps=None, assumptions=(),
    )  # fmt: skip
    facts = Facts(plan, steps, 2, 4, Key(0))
    return LocalContrast(facts, LocalContrastSettings(**settings)), facts


def crops(facts: Facts, stage: Stage, seed: int = 0) -> dict[str, Crops]:
    """Blobs of each class and the views a stream asks for."""
    made = {}
    for name, stream in stage.streams.items():
        rng = (Key(seed) / stage.name / name).torch()
        n, shape, k = stream.size, facts.plan.patch, facts.classes - 1
        views = {v: torch.randn(n, facts.channels, *shape, generator=rng) for v in stream.views}
        labels = torch.zeros(n, *shape, dtype=torch.int64)
        labels[:, 2:7, 1:6] = torch.randint(0, k + 1, (n, *labels[:, 2:7, 1:6].shape[1:]), generator=rng)
        target = torch.stack([(labels == c).float() for c in range(1, k + 1)], 1)
        made[name] = Crops(
            views=views,
            target=target if stream.target else None,
            valid=torch.ones(n, 1, *shape),
            annotated=torch.ones(n, k),
            sdm=None,
            case=torch.arange(n),
            box=torch.zeros(n, facts.dims, 2),
        )
    return made


def stage_of(method: LocalContrast, facts: Facts, name: str) -> tuple[dict[str, Crops], At]:
    stage = next(s for s in method.stages(facts) if s.name == name)
    return crops(facts, stage), At(name, 3, 0.5, 0.5, facts.key)


def local(method: LocalContrast, facts: Facts, **changes: Any) -> Tensor:
    batch, at = stage_of(method, facts, "local")
    return method.step({"labeled": replace(batch["labeled"], **changes)}, at)["local"].value


def test_labels_come_from_labelled_cases_alone_and_every_scan_is_seen_once() -> None:
    """The reference's run script trains its local stage on all scans with their labels, test scans too."""
    method, facts = build()
    streams = {stage.name: stage.streams for stage in method.stages(facts)}
    assert {name: set(s) for name, s in streams.items()} == {
        "global": {"all"}, "local": {"labeled"}, "finetune": {"labeled"},
    }  # fmt: skip
    for stage in streams.values():
        for stream in stage.values():
            assert (stream.target == "label") == (stream.cases == "labeled")
    scans = streams["global"]["all"]
    assert (scans.cases, scans.target, scans.where, scans.views) == ("all", None, "body", ("weak", "recrop"))
    assert streams["local"]["labeled"].views == ("weak", "intensity")  # one geometry: labels coincide


@pytest.mark.parametrize(("dims", "least"), [(2, 8), (3, 8)])
def test_a_global_step_has_negatives(dims: int, least: int) -> None:
    method, facts = build(dims)
    assert method.stages(facts)[0].streams["all"].size == least
    large = replace(facts, plan=replace(facts.plan, batch=(6, 6)))
    assert method.stages(large)[0].streams["all"].size == 12
    assert method.stages(large)[1].streams["labeled"].size == 6


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"global": 0.3, "local": 0.2, "finetune": 0.5}),
        ({"global_share": 0.0}, {"local": 0.2, "finetune": 0.8}),
        ({"local_share": 0.0}, {"global": 0.3, "finetune": 0.7}),
        ({"global_share": 0.0, "local_share": 0.0}, {"finetune": 1.0}),
    ],
)
def test_each_pretraining_can_be_left_out(
    settings: Mapping[str, float], expected: Mapping[str, float]
) -> None:
    method, facts = build(**settings)
    stages = method.stages(facts)
    assert {s.name: s.share for s in stages} == pytest.approx(expected)
    assert [bool(s.pairs) for s in stages] == [s.name == "finetune" for s in stages]


@pytest.mark.parametrize("shares", [(0.5, 0.5), (-0.1, 0.2), (1.0, 0.0)])
def test_shares_that_leave_no_fine_tuning_are_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(SettingsError, match="fine-tuning"):
        build(global_share=shares[0], local_share=shares[1])


def slow_nt_xent(z: Tensor, case: list[int], tau: float) -> float:
    n, total = len(case), 0.0
    z, case = z / z.norm(dim=1, keepdim=True), case * 2
    for i in range(2 * n):
        j = (i + n) % (2 * n)
        others = [k for k in range(2 * n) if case[k] != case[i]]
        e = {k: math.exp(float(z[i] @ z[k]) / tau) for k in [j, *others]}
        total -= math.log(e[j] / sum(e.values()))
    return total / (2 * n)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("repeated", [False, True])
def test_global_loss_is_nt_xent_without_the_same_scan_as_negative(dims: int, repeated: bool) -> None:
    method, facts = build(dims, channels=2)
    batch, at = stage_of(method, facts, "global")
    scans = batch["all"]
    case = [5, 7, 5, *range(8, 8 + len(scans.case) - 3)] if repeated else list(range(len(scans.case)))
    found = method.step({"all": replace(scans, case=torch.tensor(case))}, at)["global"].value
    x = torch.cat([scans.views["weak"], scans.views["recrop"]])
    pooled = method.student(x, norm="batch").features["bottleneck"].mean(dim=tuple(range(2, 2 + dims)))
    z = method.global_projection(pooled).detach()
    assert z.shape == (len(x), 256)
    assert found.item() == pytest.approx(slow_nt_xent(z, case, 0.5), rel=1e-4)


def test_crops_of_one_scan_alone_teach_nothing() -> None:
    method, facts = build()
    batch, at = stage_of(method, facts, "global")
    scans = replace(batch["all"], case=torch.zeros_like(batch["all"].case))
    loss = method.step({"all": scans}, at)["global"].value
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    grads = [p.grad for p in method.global_projection.parameters() if p.grad is not None]
    assert all(float(g.abs().max()) < 1e-6 for g in grads)


def slow_local(
    method: LocalContrast, labeled: Crops, pools: list[list[tuple[int, ...]]], tau: float
) -> float:
    """Mean over pools, over foreground anchors and over their positives, written out."""
    x = torch.cat([labeled.views["weak"], labeled.views["intensity"]])
    v = method.local_projection(method.student(x, norm="batch").features["decoder"]).detach()
    v = v / v.norm(dim=1, keepdim=True)
    assert labeled.target is not None
    y = class_labels(labeled.target, labeled.valid, labeled.annotated)
    y = torch.cat([y, y])
    values = []
    for places in pools:
        labels = torch.tensor([int(y[p]) for p in places])
        f = torch.stack([v[(p[0], slice(None), *p[1:])] for p in places])
        s = (f @ f.T / tau).double()
        each = []
        for a in (labels > 0).nonzero().flatten().tolist():
            others = (torch.arange(len(places)) != a) & (labels >= 0)
            positives = others & (labels == labels[a])
            each.append(float((s[a][others].exp().sum().log() - s[a][positives]).mean()))
        if each:
            values.append(sum(each) / len(each))
    return sum(values) / len(values)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("sampling", ["stride", "block"])
def test_local_loss_equals_the_loop(dims: int, sampling: str) -> None:
    method, facts = build(dims, sampling=sampling, anchors=0, blocks=0, stride=2, block=4)
    batch, _ = stage_of(method, facts, "local")
    labeled = batch["labeled"]
    size = labeled.valid.shape[2:]
    grid = torch.cartesian_prod(torch.arange(2 * len(labeled.valid)), *(torch.arange(n) for n in size))
    everything = [tuple(row) for row in grid.tolist()]
    if sampling == "stride":
        pools = [[p for p in everything if all(i % 2 == 0 for i in p[1:])]]
    else:
        blocks: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
        for p in everything:
            blocks.setdefault(tuple(i // 4 for i in p[1:]), []).append(p)
        pools = list(blocks.values())
    expected = slow_local(method, labeled, pools, 0.1)
    assert local(method, facts).item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("dims", "side"), [(2, 16), (3, 8)])
def test_blocks_have_a_default_side_in_2d_and_3d(dims: int, side: int) -> None:
    """The reference's block mode stops at an option that nobody defines."""
    default, facts = build(dims)
    assert default.settings.sampling == "block"
    same, _ = build(dims, block=side)
    other, _ = build(dims, block=4)
    assert torch.equal(local(default, facts), local(same, facts))
    assert not torch.equal(local(default, facts), local(other, facts))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    "settings",
    [
        {"sampling": "stride"}, {"sampling": "stride", "stride": 2}, {"block": 4}, {"block": 4, "blocks": 1},
        {"anchors": 5}, {"form": "in"}, {"form": "pair"}, {"form": "ratio"}, {"background_anchors": True},
        {"background_negatives": False}, {"supervised": False}, {"local_head": "linear"},
        {"local_temperature": 0.5},
    ],
)  # fmt: skip
def test_every_ablation_of_the_local_stage_changes_it(dims: int, settings: Mapping[str, Any]) -> None:
    plain, facts = build(dims)
    other, _ = build(dims, **settings)
    before, after = local(plain, facts), local(other, facts)
    assert after.isfinite()
    assert not torch.equal(before, after)
    after.backward()
    for module in (other.student.trunk, other.local_projection):
        assert any(p.grad is not None and float(p.grad.abs().sum()) > 0 for p in module.parameters())


def test_anchors_are_drawn_from_the_steps_key() -> None:
    method, facts = build(anchors=5)
    batch, at = stage_of(method, facts, "local")
    values = [method.step(batch, replace(at, step=step))["local"].value for step in (3, 3, 4)]
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])


@pytest.mark.parametrize("sampling", ["stride", "block"])
@pytest.mark.parametrize("content", ["no foreground", "one voxel", "not valid"])
def test_crops_with_nothing_to_compare_give_numbers(sampling: str, content: str) -> None:
    method, facts = build(sampling=sampling)
    batch, _ = stage_of(method, facts, "local")
    assert batch["labeled"].target is not None
    target = torch.zeros_like(batch["labeled"].target)
    valid = torch.ones_like(batch["labeled"].valid)
    if content == "one voxel":  # each view has one: its positive is the other
        target[0, 0, 4, 4, 4] = 1
    if content == "not valid":
        valid.zero_()
    loss = local(method, facts, target=target, valid=valid)
    loss.backward()
    assert loss.isfinite()
    assert (loss.item() > 0) == (content == "one voxel")
    assert all(bool(p.grad.isfinite().all()) for p in method.parameters() if p.grad is not None)


def test_similarities_far_too_large_for_exp_stay_finite() -> None:
    method, facts = build(local_temperature=1e-4, global_temperature=1e-4)
    for name, term in (("global", "global"), ("local", "local")):
        batch, at = stage_of(method, facts, name)
        loss = method.step(batch, at)[term].value
        loss.backward()
        assert loss.isfinite()
        assert loss > 10
    assert all(bool(p.grad.isfinite().all()) for p in method.parameters() if p.grad is not None)


def test_voxels_between_classes_belong_to_none() -> None:
    """Half class 1 and half class 3 is no class 2, whatever interpolation made of the label."""
    method, facts = build(classes=4)
    batch, _ = stage_of(method, facts, "local")
    assert batch["labeled"].target is not None
    mixed = torch.zeros_like(batch["labeled"].target)
    mixed[:, 0], mixed[:, 2] = 0.45, 0.45
    assert local(method, facts, target=mixed).item() == 0
    mixed[:, 0, :8] = 0.55
    ones = torch.zeros_like(mixed)
    ones[:, 0, :8] = 1
    valid = torch.zeros_like(batch["labeled"].valid)
    valid[:, :, :8] = 1
    a, b = local(method, facts, target=mixed), local(method, facts, target=ones, valid=valid)
    assert torch.equal(a, b)
    assert a > 0


def test_a_partly_annotated_scan_has_no_background() -> None:
    """Nothing of its features outside the annotated class is compared with anything."""
    method, facts = build(sampling="stride", stride=1, anchors=0)
    batch, _ = stage_of(method, facts, "local")
    labeled = batch["labeled"]
    assert labeled.target is not None
    annotated = labeled.annotated.clone()
    annotated[0, 1] = 0
    valid = labeled.valid.clone()
    valid[0, 0] = labeled.target[0, 0]  # what remains of the first scan if all else were outside of it
    partly, cut = local(method, facts, annotated=annotated), local(method, facts, valid=valid)
    assert torch.equal(partly, cut)
    assert not torch.equal(partly, local(method, facts))


def test_labels_are_not_used_where_the_same_voxel_is_the_positive() -> None:
    method, facts = build(supervised=False)
    batch, _ = stage_of(method, facts, "local")
    assert batch["labeled"].target is not None
    assert torch.equal(local(method, facts), local(method, facts, target=1 - batch["labeled"].target))


def snapshot(method: LocalContrast) -> dict[str, dict[str, Tensor]]:
    """Clones of the state by the parts that stages move."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in method.state_dict().items():
        part = name.split(".")[0]
        if part == "student":
            part = "encoder" if ".encoders." in name else "head" if ".head." in name else "decoder"
        parts.setdefault(part, {})[name] = value.clone()
    return parts


@pytest.mark.parametrize("dims", [2, 3])
def test_each_stage_moves_what_it_trains_and_nothing_else(dims: int) -> None:
    """The reference never trains the projection of its global stage."""
    method, facts = build(dims, classes=4, channels=2)
    seen: list[dict[str, dict[str, Tensor]]] = []
    entered: list[str] = []

    class Source:
        def __init__(self, stage: Stage) -> None:
            self.stage = stage
            entered.append(stage.name)
            seen.append(snapshot(method))

        def batch(self, step: int) -> Mapping[str, Crops]:
            return crops(facts, self.stage, seed=step)

    optimizer = Optimizer(lr=0.05, schedule="constant")
    fit(method, facts, Source, optimizer=optimizer, rebuild=lambda: build(dims, 4, 2)[0], paper_steps=10)
    seen.append(snapshot(method))
    assert entered == ["global", "local", "finetune"]
    moved = [
        {part for part in a if any(not torch.equal(a[part][k], b[part][k]) for k in a[part])}
        for a, b in pairwise(seen)
    ]
    assert moved[0] == {"encoder", "global_projection"}
    # the averaged weights begin on entry of the fine-tuning, which may count to either side of it
    assert moved[1] - {"teacher"} == {"encoder", "decoder", "local_projection"}
    assert moved[2] - {"teacher"} == {"encoder", "decoder", "head"}
    assert "teacher" in moved[1] | moved[2]
    for k, before in seen[0]["global_projection"].items():
        assert not torch.equal(before, seen[1]["global_projection"][k]), k


def test_the_average_begins_with_fine_tuning() -> None:
    """With a long memory it ends beside the fine-tuned student, not beside the network's first weights."""
    method, facts = build(ema_decay=1 - 1e-6)
    first = {k: v.clone() for k, v in method.student.state_dict().items()}
    at_entry: dict[str, Tensor] = {}

    class Source:
        def __init__(self, stage: Stage) -> None:
            self.stage = stage

        def batch(self, step: int) -> Mapping[str, Crops]:
            if self.stage.name == "finetune" and not at_entry:
                at_entry.update({k: v.clone() for k, v in method.student.state_dict().items()})
                for k, v in method.teacher.state_dict().items():
                    assert torch.equal(v, at_entry[k]), k
            return crops(facts, self.stage, seed=step)

    fit(method, facts, Source, optimizer=Optimizer(lr=0.05), rebuild=lambda: build()[0], paper_steps=10)
    assert any(not torch.equal(first[k], at_entry[k]) for k in first)
    assert not any(p.requires_grad for p in method.teacher.parameters())


def test_pre_training_has_its_published_optimizers_and_the_paper_recipe_fine_tuning_too() -> None:
    for recipe, expected in (("common", [3e-4, 1e-4, None]), ("paper", [3e-4, 1e-4, 5e-4])):
        config, _ = resolve(Path("data"), {"method": "local_contrast", "recipe": recipe})
        _, facts = build()
        method = LocalContrast(facts, config.method)
        optimizers = [player.optimizer for stage in method.stages(facts) for player in stage.players]
        assert [o and o.lr for o in optimizers] == expected
        assert all(o is None or o.kind == "adam" for o in optimizers)
