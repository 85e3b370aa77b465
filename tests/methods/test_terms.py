"""Every method: what each term reaches, what switching it off changes, partly annotated cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch

from semivox.batches import Crops
from semivox.methods.catalog import CATALOG, load_method
from semivox.methods.cleanup import largest_components
from semivox.methods.declare import At, Facts, Method, Term
from semivox.networks import Output
from semivox.prepare import ChannelPlan, ClassPlan, NetworkPlan, Plan
from semivox.randomness import Key

SHAPES = {2: (16, 16), 3: (16, 16, 8)}


def plan(dims: int, classes: int, channels: int) -> Plan:
    one, two = (3,) * dims, (2,) * dims
    return Plan(
        dims=dims, axes=tuple(range(dims)), native_spacing=(1.0,) * dims, spacing=(1.0,) * dims,
        spacing_known=True, rung=1.0, shape=SHAPES[dims], patch=SHAPES[dims], batch=(2, 2),
        network=NetworkPlan("unet", (4, 8, 8), (one, one, one), (two, two)),
        channels=tuple(ChannelPlan(str(c), "zscore") for c in range(channels)),
        classes=tuple(ClassPlan(k, str(k), 10.0, 1.0) for k in range(1, classes)),
        budget_seconds=None, step_seconds=1.0, steps=None, assumptions=(),
    )  # fmt: skip


def build(
    name: str, dims: int = 3, classes: int = 3, channels: int = 1, **settings: Any
) -> tuple[Method, Facts]:
    facts = Facts(plan(dims, classes, channels), 100, 2, 4, Key(0))
    method_class = load_method(name)
    method = method_class(facts, method_class.Settings(**settings))
    for stage in method.stages(facts):
        for pair in stage.pairs:
            getattr(method, pair.teacher).requires_grad_(False)
    return method, facts


def batch(method: Method, facts: Facts, seed: int = 0, stage: int = 0) -> dict[str, Crops]:
    """A batch as the declared streams ask for it, of random blobs."""
    made = {}
    shape, k = facts.plan.patch, facts.classes - 1
    for name, stream in method.stages(facts)[stage].streams.items():
        rng = (Key(seed) / name).torch()
        n = stream.size
        x = torch.randn(n, facts.channels, *shape, generator=rng)
        labels = torch.randint(0, k + 1, (n, *shape), generator=rng)
        target = torch.stack([(labels == c).float() for c in range(1, k + 1)], 1)
        made[name] = Crops(
            views={view: x + 0.1 * i for i, view in enumerate(stream.views)},
            target=target if stream.target else None,
            valid=torch.ones(n, 1, *shape),
            annotated=torch.ones(n, k),
            sdm=1 - 2 * target if stream.sdm else None,
            case=torch.arange(n),
            box=torch.zeros(n, facts.dims, 2),
        )
    return made


def at(method: Method, facts: Facts, progress: float = 0.9, stage: int = 0) -> At:
    return At(method.stages(facts)[stage].name, 90, progress, progress, facts.key)


def every_stage(method: Method, facts: Facts) -> dict[tuple[str, str], Term]:
    """(stage, term) -> the terms of one step of each stage."""
    found = {}
    for i, stage in enumerate(method.stages(facts)):
        terms = method.step(batch(method, facts, stage=i), at(method, facts, stage=i))
        found |= {(stage.name, name): term for name, term in terms.items()}
    return found


def gradients(method: Method, loss: torch.Tensor) -> dict[str, bool]:
    """Child module -> whether ``loss`` has a gradient in it that is not zero."""
    names, parameters = zip(*((n, p) for n, p in method.named_parameters() if p.requires_grad), strict=True)
    grads = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
    reached: dict[str, bool] = {}
    for name, grad in zip(names, grads, strict=True):
        child = name.split(".")[0]
        reached[child] = reached.get(child, False) or (grad is not None and bool(grad.abs().sum() > 0))
    return reached


@pytest.mark.parametrize("name", CATALOG)
@pytest.mark.parametrize(("dims", "classes", "channels"), [(3, 2, 1), (3, 3, 2), (2, 4, 3)])
def test_every_term_trains_and_no_teacher_does(name: str, dims: int, classes: int, channels: int) -> None:
    method, facts = build(name, dims, classes, channels)
    players = {p.name: p.modules for stage in method.stages(facts) for p in stage.players}
    for term_name, term in every_stage(method, facts).items():
        assert bool(torch.isfinite(term.value)), term_name
        assert term.weight > 0, term_name
        reached = gradients(method, term.value)
        assert any(reached[m] for m in players[term.player]), f"{term_name} trains nothing"
    assert not any(p.requires_grad for p in method.teacher.parameters())


REACH = {
    "supervised": {"segmentation": {"student"}},
    "mean_teacher": {"segmentation": {"student"}, "consistency": {"student"}},
    "ua_mt": {"segmentation": {"student"}, "consistency": {"student"}},
    "entropy_min": {"segmentation": {"student"}, "entropy": {"student"}},
    "cps": {
        "segmentation": {"student"},
        "segmentation_second": {"second"},
        "cross": {"student"},
        "cross_second": {"second"},
    },
    "dtc": {"segmentation": {"student"}, "distance": {"student"}, "consistency": {"student"}},
    "urpc": {"segmentation": {"student"}, "consistency": {"student"}},
    "bcp": {"segmentation": {"student"}, "pseudo": {"student"}},
    "simcvd": {
        "segmentation": {"student"},
        "distance": {"student"},
        "contrast": {"student", "projection"},
        "distillation": {"student"},
        "consistency": {"student"},
    },
}


@pytest.mark.parametrize("name", CATALOG)
def test_each_term_reaches_what_it_should_and_nothing_else(name: str) -> None:
    method, facts = build(name)
    for (_, term_name), term in every_stage(method, facts).items():
        reached = {m for m, hit in gradients(method, term.value).items() if hit}
        assert reached == REACH[name][term_name], term_name


SWITCHES = [
    ("mean_teacher", {"consistency": 0.0}, {"consistency"}),
    ("ua_mt", {"consistency": 0.0}, {"consistency"}),
    ("entropy_min", {"entropy": 0.0}, {"entropy"}),
    ("cps", {"cross": 0.0}, {"cross", "cross_second"}),
    ("urpc", {"consistency": 0.0}, {"consistency"}),
    ("dtc", {"distance": 0.0}, {"distance"}),
    ("dtc", {"consistency": 0.0}, {"consistency"}),
    ("bcp", {"pseudo": 0.0}, {"pseudo"}),
    ("simcvd", {"distance": 0.0}, {"distance"}),
    ("simcvd", {"contrast": 0.0}, {"contrast"}),
    ("simcvd", {"distillation": 0.0}, {"distillation"}),
    ("simcvd", {"consistency": 0.0}, {"consistency"}),
]


@pytest.mark.parametrize(("name", "settings", "gone"), SWITCHES)
def test_switching_a_term_off_changes_no_other(
    name: str, settings: Mapping[str, Any], gone: set[str]
) -> None:
    whole, facts = build(name)
    part, _ = build(name, **settings)
    all_terms, left = every_stage(whole, facts), every_stage(part, facts)
    assert {name for _, name in set(all_terms) - set(left)} == gone
    for term in left:
        assert torch.equal(left[term].value, all_terms[term].value), term
        assert left[term].weight == all_terms[term].weight


@pytest.mark.parametrize(
    "settings",
    [
        {"view": "inpaint"}, {"view": "local_shuffle"}, {"view": "none"}, {"projection": False},
        {"use_sdm_in_contrast": False}, {"exclude_window": 2}, {"dropout": 0.1}, {"temperature": 0.1},
    ],
)  # fmt: skip
def test_every_ablation_of_simcvd_runs_and_changes_its_terms(settings: Mapping[str, Any]) -> None:
    method, facts = build("simcvd")
    other, _ = build("simcvd", **settings)
    data = batch(method, facts)
    before, after = method.step(data, at(method, facts)), other.step(data, at(other, facts))
    assert all(bool(torch.isfinite(term.value)) for term in after.values())
    assert any(not torch.equal(before[t].value, after[t].value) for t in before)


def test_dropout_makes_simcvds_views_differ() -> None:
    """Equal weights and inputs: without dropout the two views are one, with it they are not."""
    for view, same in (("none", True), ("dropout", False)):
        method, facts = build("simcvd", view=view)
        data = batch(method, facts)
        x = data["unlabeled"].views["weak"]
        one = method.student(x, drop=method._dropout(at(method, facts), "student"), norm="batch")
        two = method.teacher(x, drop=method._dropout(at(method, facts), "teacher"), norm="batch")
        assert torch.equal(one.logits, two.logits) is same


@pytest.mark.parametrize("name", CATALOG)
def test_an_organ_nobody_annotated_does_not_matter(name: str) -> None:
    """Class 2 painted into the background of a case where only class 1 was annotated: nothing changes."""
    method, facts = build(name)
    data = batch(method, facts)
    labeled = data["labeled"]
    assert labeled.target is not None
    annotated = labeled.annotated.clone()
    annotated[:, 1] = 0
    painted = labeled.target.clone()
    painted[:, 1] = 1 - painted[:, 0]
    plain = replace(labeled, annotated=annotated)
    organ = replace(plain, target=painted)
    losses = [
        method.step({**data, "labeled": crops}, at(method, facts))["segmentation"].value
        for crops in (plain, organ)
    ]
    assert torch.equal(*losses)


@pytest.mark.parametrize("name", CATALOG)
def test_nothing_outside_the_scan_is_compared(name: str) -> None:
    """What a target says where valid is 0 changes no term."""
    method, facts = build(name)
    data = batch(method, facts)
    valid = torch.ones_like(data["labeled"].valid)
    valid[..., :4] = 0
    changed = data["labeled"].target.clone()
    changed[..., :4] = 1 - changed[..., :4]
    sdm = data["labeled"].sdm
    wrong = None if sdm is None else torch.where(valid > 0, sdm, -sdm)
    one = replace(data["labeled"], valid=valid)
    two = replace(one, target=changed, sdm=wrong)
    first, second = (method.step({**data, "labeled": crops}, at(method, facts)) for crops in (one, two))
    for term in first:
        assert torch.equal(first[term].value, second[term].value), term


@pytest.mark.parametrize("name", [n for n in CATALOG if n not in ("supervised", "bcp")])
def test_unsupervised_weights_warm_up(name: str) -> None:
    method, facts = build(name)
    data = batch(method, facts)
    weights = [
        {t: term.weight for t, term in method.step(data, at(method, facts, p)).items()}
        for p in (0.0, 0.5, 1.0)
    ]
    supervised = {"segmentation", "segmentation_second", "distance"}
    for term in set(weights[0]) - supervised:
        assert (
            weights[0][term]
            < weights[1][term]
            < weights[2][term]
            == pytest.approx(getattr(method.settings, term.removesuffix("_second")))
        )
    assert weights[0]["segmentation"] == weights[2]["segmentation"] == 1


def test_ua_mt_listens_only_where_its_teacher_is_sure() -> None:
    method, facts = build("ua_mt", threshold=0.0)  # at the start nobody is sure
    data = batch(method, facts)
    early = method.step(data, at(method, facts, 0.0))["consistency"].value
    late = method.step(data, at(method, facts, 1.0))["consistency"].value
    assert 0 <= early < late
    assert early == 0
    ungated, _ = build("ua_mt", passes=0)
    plain, _ = build("mean_teacher")
    sure = method._sure(data["unlabeled"].views["weak"], at(method, facts, 1.0))
    assert sure.shape == (2, 1, *facts.plan.patch)
    assert sure.mean() > 0.99  # below ln K everywhere but where all classes are equal
    assert ungated.step(data, at(ungated, facts))["consistency"].value > 0
    assert plain.step(data, at(plain, facts))["consistency"].value > 0


def test_cps_networks_differ_and_learn_from_each_other() -> None:
    method, facts = build("cps", dropout=0.0)
    pairs = zip(method.student.parameters(), method.second.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)
    data = batch(method, facts)
    terms = method.step(data, at(method, facts))
    x = torch.cat([data["labeled"].views["weak"], data["unlabeled"].views["weak"]])
    one, two = (net(x, norm="batch").logits[2:].detach() for net in (method.student, method.second))
    expected = torch.nn.functional.cross_entropy(one, two.argmax(1))
    assert terms["cross"].value.item() == pytest.approx(expected.item(), rel=1e-5)


def test_urpcs_scales_are_all_trained_on_labels() -> None:
    method, facts = build("urpc")
    loss = method.step(batch(method, facts), at(method, facts))["segmentation"].value
    loss.backward()
    heads = [p for n, p in method.student.named_parameters() if "scale_heads" in n]
    assert heads
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in heads)


def test_dtc_asks_for_the_literatures_distances() -> None:
    method, facts = build("dtc")
    assert method.stages(facts)[0].streams["labeled"].sdm == "crop_minmax"


def test_dtc_compares_its_two_answers() -> None:
    method, facts = build("dtc", dropout=0.0, steepness=3.0)
    data = batch(method, facts)
    found = method.step(data, at(method, facts))["consistency"].value.item()
    x = torch.cat([data["labeled"].views["weak"], data["unlabeled"].views["weak"]])
    output = method.student(x, norm="batch")
    gap = 1 / (1 + torch.exp(3.0 * output.sdm)) - output.logits.softmax(1)[:, 1:]
    assert found == pytest.approx(gap.square().mean().item(), rel=1e-5)


def test_bcp_exchanges_boxes_and_labels_alike() -> None:
    """With the image equal to its label everywhere, every mixed image equals its mixed label."""
    method, facts = build("bcp", classes=2)
    data = batch(method, facts, stage=1)
    seen: list[torch.Tensor] = []

    class Shows(torch.nn.Module):
        def forward(self, x: torch.Tensor, **options: object) -> Output:
            seen.append(x)
            return Output(torch.cat([-10 * x, 10 * x], 1))

    method.student = Shows()
    method.teacher = Shows()
    ones, zeros = (torch.full_like(data["labeled"].views["weak"], v) for v in (1.0, -1.0))
    data["labeled"] = replace(
        data["labeled"], views={"weak": ones}, target=torch.ones_like(data["labeled"].target)
    )
    data["unlabeled"] = replace(data["unlabeled"], views={"weak": zeros})
    terms = method.step(data, at(method, facts, stage=1))
    mixed = seen[1]
    share = (mixed < 0).float().mean(dim=(1, 2, 3, 4))
    box = (11 / 16) * (11 / 16) * (5 / 8)  # two thirds of each side, rounded
    assert torch.allclose(share, torch.tensor([box, box, 1 - box, 1 - box]), atol=1e-6)
    assert all(term.value.item() < 1e-3 for term in terms.values())


def test_bcp_begins_its_second_stage_with_the_student_as_teacher() -> None:
    method, facts = build("bcp")
    first, second = method.stages(facts)
    assert first.share + second.share == pytest.approx(1)
    assert second.copy == {"teacher": "student"}


def test_largest_components_stay() -> None:
    labels = torch.zeros(1, 8, 8, 4, dtype=torch.int64)
    labels[0, :3, :3, :] = 1
    labels[0, 6, 6, 0] = 1
    labels[0, 4:6, :2, :] = 2
    labels[0, 5, 2, 0] = 2  # touches by a corner only: still one component
    expected = labels.clone()
    expected[0, 6, 6, 0] = 0
    assert torch.equal(largest_components(labels, 4), expected)
    flat = labels[..., 0]
    assert torch.equal(largest_components(flat, 4), expected[..., 0])
