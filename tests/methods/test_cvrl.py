"""CVRL: its two presets, what is contrasted with what, and the memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn.functional import adaptive_avg_pool3d

from semivox.batches import Crops
from semivox.losses import dimension_contrast, elastic_energy, softmax_mse
from semivox.methods.catalog import parse_method, preset_settings
from semivox.methods.cvrl import CVRL, CVRLSettings
from semivox.methods.declare import At, Facts, Term
from semivox.prepare import ChannelPlan, ClassPlan, NetworkPlan, Plan
from semivox.randomness import Key

SPACING = (0.8, 0.8, 2.5)
MICCAI = CVRL.presets["miccai"]


def build(dims: int = 3, **settings: Any) -> tuple[CVRL, Facts]:
    one, two, shape = (3,) * dims, (2,) * dims, (16, 16, 8)[:dims]
    plan = Plan(
        dims=dims, axes=tuple(range(dims)), native_spacing=SPACING[:dims], spacing=SPACING[:dims],
        spacing_known=True, rung=1.0, shape=shape, patch=shape, batch=(2, 2),
        network=NetworkPlan("unet", (4, 8, 8), (one, one, one), (two, two)),
        channels=(ChannelPlan("c", "zscore"),),
        classes=(ClassPlan(1, "a", 10.0, 1.0), ClassPlan(2, "b", 10.0, 1.0)),
        budget_seconds=None, step_seconds=1.0, steps=None, assumptions=(),
    )  # fmt: skip
    facts = Facts(plan, 100, 2, 4, Key(0))
    method = CVRL(facts, CVRLSettings(**settings))
    rng = torch.Generator().manual_seed(9)
    with torch.no_grad():  # a teacher of its own, so that a swap of the two would show
        for parameter in [*method.teacher.parameters(), *method.teacher_heads.parameters()]:
            parameter.requires_grad_(False).add_(torch.randn(parameter.shape, generator=rng), alpha=0.1)
    return method, facts


def batch(facts: Facts, case: tuple[int, ...] = (3, 4)) -> dict[str, Crops]:
    made, shape = {}, facts.plan.patch
    for i, name in enumerate(("labeled", "unlabeled")):
        rng = torch.Generator().manual_seed(i)
        x, other = torch.randn(2, 2, 1, *shape, generator=rng)
        labels = torch.randint(0, 3, (2, *shape), generator=rng)
        target = torch.stack([(labels == c).float() for c in (1, 2)], 1)
        made[name] = Crops(
            views={"weak": x, "intensity": x + 0.1 * other},
            target=target if name == "labeled" else None,
            valid=torch.ones(2, 1, *shape),
            annotated=torch.ones(2, 2),
            sdm=None,
            case=torch.tensor(case),
            box=torch.zeros(2, facts.dims, 2),
        )
    return made


def at(facts: Facts, step: int = 90) -> At:
    return At("train", step, 1.0, 1.0, facts.key)


def values(terms: dict[str, Term]) -> dict[str, float]:
    return {name: term.value.item() for name, term in terms.items()}


def test_presets_choose_their_terms() -> None:
    name, preset, settings = parse_method("cvrl:miccai{temperature=0.1}")
    chosen = {**preset_settings(name, CVRL, preset), **settings}
    assert CVRLSettings(**chosen) == CVRLSettings(**MICCAI, temperature=0.1)
    assert CVRLSettings(**preset_settings("cvrl", CVRL, "v1")) == CVRLSettings()
    expected = {
        "v1": {"segmentation", "elastic", "elastic_unlabeled", "volume", "voxel_high"},
        "miccai": {
            *("segmentation", "voxel_high", "voxel_low", "dimension_high", "dimension_low", "consistency")
        },
    }
    for preset, terms in expected.items():
        method, facts = build(**CVRL.presets[preset])
        found = method.step(batch(facts), at(facts))
        assert set(found) == terms
        contrasts = set(found) - {"segmentation", "elastic", "elastic_unlabeled"}
        assert all(found[name].weight == pytest.approx(0.1) for name in contrasts)


@pytest.mark.parametrize("dims", [2, 3])
def test_every_term_of_miccai_trains_the_student_and_its_own_head(dims: int) -> None:
    method, facts = build(dims, **MICCAI)
    terms = method.step(batch(facts), at(facts))
    for name, term in terms.items():
        method.zero_grad()
        term.value.backward(retain_graph=True)
        reached = {n for n, p in method.named_parameters() if p.grad is not None and bool(p.grad.any())}
        assert any(n.startswith("student.") for n in reached), name
        heads = {n.split(".")[1] for n in reached if n.startswith("heads.")}
        assert heads == ({name.split("_")[1]} if "_" in name else set()), name
        assert not any(n.startswith("teacher") for n in reached)


@pytest.mark.parametrize("gone", [name for name, weight in MICCAI.items() if weight] + ["voxel_high"])
def test_switching_off_a_term_of_miccai_changes_no_other(gone: str) -> None:
    whole, facts = build(**MICCAI)
    part, _ = build(**{**MICCAI, gone: 0.0})
    all_terms, left = (values(m.step(batch(facts), at(facts))) for m in (whole, part))
    assert all_terms.pop(gone) > 0
    assert left == all_terms


def embedded(method: CVRL, facts: Facts, level: str, tap: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Every voxel's vector (B P, D) by student and teacher, in the plain way. Needs dropout 0."""
    data = batch(facts)
    x_u, seen = data["unlabeled"].views["weak"], data["unlabeled"].views["intensity"]
    features_s = method.student(torch.cat([data["labeled"].views["weak"], x_u])).features[tap][2:]
    features_t = method.teacher(seen, norm="batch").features[tap]
    pairs = ((method.heads, features_s), (method.teacher_heads, features_t))
    z_s, z_t = (heads[level](f.flatten(2).movedim(1, 2).flatten(0, 1)) for heads, f in pairs)
    return z_s.detach(), z_t.detach()


def test_the_contrasts_are_their_formulas() -> None:
    """All voxels of the bottleneck are taken, so the result depends on no draw."""
    method, facts = build(**MICCAI, dropout=0.0)
    found = values(method.step(batch(facts), at(facts)))
    z_s, z_t = embedded(method, facts, "low", "bottleneck")
    likeness = torch.nn.functional.cosine_similarity(z_s[:, None], z_t[None], dim=2) / 0.5
    rows = -(likeness.diagonal() - likeness.logsumexp(1)).mean()
    assert found["voxel_low"] == pytest.approx(rows.item(), rel=1e-4)
    columns = dimension_contrast(z_s, z_t, temperature=0.5)
    assert found["dimension_low"] == pytest.approx(columns.item(), rel=1e-4)


def test_voxels_are_contrasted_with_the_summaries_of_other_cases() -> None:
    method, facts = build(dropout=0.0, voxels=16 * 16 * 8)
    past = torch.randn(3, 128, generator=torch.Generator().manual_seed(5))
    method.queue.push(past, torch.tensor([3, 4, 9]))
    data = batch(facts)
    found = values(method.step(data, at(facts)))["volume"]
    z_s, _ = embedded(method, facts, "volume", "decoder")
    seen = method.teacher(data["unlabeled"].views["intensity"], norm="batch").features["decoder"]
    g = method.teacher_heads["volume"](adaptive_avg_pool3d(seen, 1).flatten(1)).detach()
    losses = []
    for crop, z in enumerate(z_s.unflatten(0, (2, -1))):
        others = torch.stack([g[crop], g[1 - crop], past[1 - crop], past[2]])  # never past[crop]: own case
        likeness = torch.nn.functional.cosine_similarity(z[:, None], others[None], dim=2) / 0.5
        losses.append(likeness.logsumexp(1) - likeness[:, 0])
    assert found == pytest.approx(torch.cat(losses).mean().item(), rel=1e-4)


def test_the_queue_keeps_the_teachers_summaries_and_no_case_meets_its_own() -> None:
    method, facts = build(queue=5)
    first = values(method.step(batch(facts, (7, 7)), at(facts)))
    assert first["volume"] == pytest.approx(0, abs=1e-6)  # one case: no negative, whatever the crops
    assert method.queue.case.tolist() == [7, 7, -1, -1, -1]
    assert values(method.step(batch(facts, (7, 7)), at(facts)))["volume"] == pytest.approx(0, abs=1e-6)
    assert values(method.step(batch(facts, (8, 9)), at(facts)))["volume"] > 0.1
    assert method.queue.case.tolist() == [9, 7, 7, 7, 8]
    assert not method.queue.vectors.requires_grad
    assert {name for name in method.state_dict() if name.startswith("queue.")} >= {"queue.vectors"}


def test_a_crop_without_a_valid_voxel_takes_no_part() -> None:
    method, facts = build(**{**MICCAI, "volume": 0.1})
    data = batch(facts)
    valid = data["unlabeled"].valid.clone()
    valid[1] = 0
    data["unlabeled"] = replace(data["unlabeled"], valid=valid)
    terms = method.step(data, at(facts))
    assert all(bool(torch.isfinite(term.value)) for term in terms.values())
    assert method.queue.case[:2].tolist() == [3, -1]
    assert terms["volume"].value.item() == pytest.approx(0, abs=1e-6)  # nobody else to compare with


def test_elastic_energies_are_of_prediction_and_label_or_teacher_in_mm() -> None:
    method, facts = build(dropout=0.0, elastic_dims="volume")
    data = batch(facts)
    labeled, unlabeled = data["labeled"], data["unlabeled"]
    annotated = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    data["labeled"] = replace(labeled, annotated=annotated)
    found = values(method.step(data, at(facts)))
    logits = method.student(torch.cat([labeled.views["weak"], unlabeled.views["weak"]])).logits
    probs = logits.softmax(1)[:, 1:]
    expected = elastic_energy(probs[:2], labeled.target, SPACING, dims="volume", annotated=annotated)
    assert found["elastic"] == pytest.approx(expected.item(), rel=1e-5)
    logits_t = method.teacher(unlabeled.views["intensity"], norm="batch").logits
    expected = elastic_energy(probs[2:], logits_t.softmax(1)[:, 1:], SPACING, dims="volume")
    assert found["elastic_unlabeled"] == pytest.approx(expected.item(), rel=1e-5)
    both, _ = build(**MICCAI, dropout=0.0)
    agreement = softmax_mse(logits[2:], logits_t).item()
    assert values(both.step(batch(facts), at(facts)))["consistency"] == pytest.approx(agreement, rel=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"view": "dropout"}, {"momentum": False}, {"temperature": 0.1}, {"voxels": 16}, {"dropout": 0.1},
        {"elastic_alpha": 0.35}, {"elastic_dims": "volume"}, {"queue": 2},
    ],
)  # fmt: skip
def test_every_ablation_runs_and_changes_its_terms(settings: dict[str, Any]) -> None:
    (plain, facts), (other, _) = build(), build(**settings)
    for method in (plain, other):
        method.queue.push(torch.randn(9, 128, generator=torch.Generator().manual_seed(0)), torch.arange(9))
    before, after = (values(m.step(batch(facts), at(facts))) for m in (plain, other))
    assert set(before) == set(after)
    assert all(torch.isfinite(torch.tensor(list(after.values()))))
    assert before != after
    assert before["segmentation"] == after["segmentation"] or "dropout" in settings


def test_views() -> None:
    """The student sees the weak view; the teacher the other draw, or under ``dropout`` the same image."""
    for view, needed in (("intensity", ("weak", "intensity")), ("dropout", ("weak",))):
        method, facts = build(view=view)
        stream = method.stages(facts)[0].streams["unlabeled"]
        assert stream.views == needed
        data = batch(facts)
        views = dict(data["unlabeled"].views)
        views["intensity"] = views["intensity"] + torch.randn(views["weak"].shape)
        other = {**data, "unlabeled": replace(data["unlabeled"], views=views)}
        one, two = (values(build(view=view)[0].step(d, at(facts))) for d in (data, other))
        assert (one == two) is (view == "dropout")
        assert all(one[name] == two[name] for name in ("segmentation", "elastic"))


def test_without_momentum_the_teacher_only_predicts() -> None:
    method, facts = build(momentum=False)
    before = values(method.step(batch(facts), at(facts)))
    method, _ = build(momentum=False)
    with torch.no_grad():
        for parameter in [*method.teacher.parameters(), *method.teacher_heads.parameters()]:
            parameter.add_(torch.randn_like(parameter))
    terms = method.step(batch(facts), at(facts))
    assert values(terms) == before
    terms["voxel_high"].value.backward()  # the key side of the shared head learns nothing of its own
    assert not method.queue.vectors.requires_grad


def test_with_everything_off_it_is_the_supervised_method_and_runs_no_teacher() -> None:
    off = dict.fromkeys(("volume", "voxel_high", "elastic", "elastic_unlabeled"), 0.0)
    method, facts = build(**off)
    method.teacher.forward = None  # type: ignore[assignment]
    assert set(method.step(batch(facts), at(facts))) == {"segmentation"}
    assert [pair.teacher for pair in method.stages(facts)[0].pairs] == ["teacher"]
    assert not list(method.heads.parameters())


def test_a_step_is_a_function_of_its_key_and_state() -> None:
    (one, facts), (two, _) = build(), build()
    first = values(one.step(batch(facts), at(facts)))
    assert values(two.step(batch(facts), at(facts))) == first
    resumed, _ = build()
    resumed.load_state_dict(one.state_dict())
    following = values(one.step(batch(facts, (5, 6)), at(facts, 91)))
    assert values(resumed.step(batch(facts, (5, 6)), at(facts, 91))) == following
    fresh, _ = build()
    assert values(fresh.step(batch(facts, (5, 6)), at(facts, 91)))["volume"] != following["volume"]
