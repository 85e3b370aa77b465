"""Duo-SegNet: what its published code lost (gradients, a learning critic, disjoint halves) is here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from semivox.batches import Batches, Crops
from semivox.errors import SettingsError
from semivox.losses import cross_entropy, dice_loss
from semivox.methods.declare import At, Facts, Optimizer, Stage, Term
from semivox.methods.duo_segnet import DuoSegNet, DuoSegNetSettings
from semivox.prepare import ChannelPlan, ClassPlan, NetworkPlan, Plan
from semivox.randomness import Key
from semivox.training.config import resolve
from semivox.training.loop import Hooks, fit

STILL = Optimizer(lr=0.0, momentum=0.0, nesterov=False, weight_decay=0.0, schedule="constant")
MOVING = replace(STILL, lr=0.1)


def facts(dims: int = 2, classes: int = 3, batch: tuple[int, int] = (2, 2), steps: int = 20) -> Facts:
    one, two, patch = (3,) * dims, (2,) * dims, (16, 16, 8)[:dims]
    plan = Plan(
        dims=dims, axes=tuple(range(dims)), native_spacing=(1.0,) * dims, spacing=(1.0,) * dims,
        spacing_known=True, rung=1.0, shape=patch, patch=patch, batch=batch,
        network=NetworkPlan("unet", (4, 8), (one, one), (two,)),
        channels=(ChannelPlan("0", "zscore"),),
        classes=tuple(ClassPlan(k, str(k), 10.0, 1.0) for k in range(1, classes)),
        budget_seconds=None, step_seconds=1.0, steps=None, assumptions=(),
    )  # fmt: skip
    return Facts(plan, steps, 4, 6, Key(0))


def build(known: Facts, **settings: Any) -> DuoSegNet:
    method = DuoSegNet(known, DuoSegNetSettings(**settings))
    for pair in method.stages(known)[0].pairs:
        getattr(method, pair.teacher).requires_grad_(False)
    return method


def batch(method: DuoSegNet, known: Facts) -> dict[str, Crops]:
    """Smooth images, whose label is where they are bright."""
    made = {}
    shape, k = known.plan.patch, known.classes - 1
    for name, stream in method.stages(known)[0].streams.items():
        n = stream.size
        x = torch.randn(n, 1, *shape, generator=Key(name).torch())
        levels = torch.linspace(0, 1, k + 1)
        target = torch.cat([(x > levels[c]) & (x <= levels[c + 1]) for c in range(k)], 1).float()
        made[name] = Crops(
            views={"weak": x},
            target=target if stream.target else None,
            valid=torch.ones(n, 1, *shape),
            annotated=torch.ones(n, k),
            sdm=None,
            case=torch.arange(n),
            box=torch.zeros(n, known.dims, 2),
        )
    return made


def terms_of(method: DuoSegNet, known: Facts, data: Mapping[str, Crops]) -> dict[str, Term]:
    return method.step(data, At("train", 3, 0.5, 0.5, known.key))


def gradients(method: DuoSegNet, loss: Tensor) -> dict[str, Tensor]:
    """Module -> the gradient of ``loss`` in all its parameters, whoever's term it is; a vector."""
    found = {}
    for name, module in method.named_children():
        parameters = [p for p in module.parameters() if p.requires_grad]
        if parameters:
            grads = torch.autograd.grad(
                loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            found[name] = torch.cat([g.flatten() for g in grads])
    return found


def hit(found: Mapping[str, Tensor]) -> set[str]:
    return {name for name, gradient in found.items() if gradient.abs().sum() > 0}


def flat(module: torch.nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()]).clone()


def train(
    method: DuoSegNet, known: Facts, data: Mapping[str, Crops], optimizer: Optimizer, **more: Any
) -> list[dict[str, float]]:
    """Train on one batch over and over; the terms of every step."""

    class Same:
        def __init__(self, stage: Stage) -> None: ...

        def batch(self, step: int) -> Mapping[str, Crops]:
            return data

    seen: list[dict[str, float]] = []
    hooks = Hooks(journal=lambda record: seen.append(record["terms"]), **more)
    fit(
        method, known, Same, optimizer=optimizer, rebuild=lambda: DuoSegNet(known, method.settings),
        paper_steps=15000, log_every=1, hooks=hooks,
    )  # fmt: skip
    return seen


# Each of the next eight is a defect of the published code, or of its successor's.


@pytest.mark.parametrize("form", ["ce", "mse", "js", "dice"])
def test_1_agreement_has_a_gradient_and_brings_the_networks_together(form: str) -> None:
    known = facts()
    method = build(known, agreement_form=form, dropout=0.0)
    data = batch(method, known)
    terms = terms_of(method, known, data)
    assert hit(gradients(method, terms["agreement"].value)) == {"student"}
    assert hit(gradients(method, terms["agreement_second"].value)) == {"second"}

    @torch.no_grad()
    def gap() -> float:
        x = data["unlabeled"].views["weak"]
        one, two = (n(x, norm="batch").logits.softmax(1) for n in (method.student, method.second))
        return float((one - two).abs().mean())

    method = build(known, agreement_form=form, segmentation=0.0, adversarial=0.0, agreement=1.0, dropout=0.0)
    before = gap()
    train(method, known, data, replace(STILL, lr=1.0))
    assert gap() < 0.7 * before


def test_1_agreement_is_soft_cross_entropy_towards_the_other() -> None:
    known = facts()
    method = build(known, dropout=0.0)
    data = batch(method, known)
    found = terms_of(method, known, data)
    logits = []
    for name, labeled in (("student", "labeled"), ("second", "labeled_second")):
        x = torch.cat([data[labeled].views["weak"], data["unlabeled"].views["weak"]])
        logits.append(getattr(method, name)(x, norm="batch").logits[1:])
    for term, p, q in (("agreement", *logits), ("agreement_second", *reversed(logits))):
        expected = -(q.softmax(1) * p.log_softmax(1)).sum(1).mean()
        assert found[term].value.item() == pytest.approx(expected.item(), rel=1e-5)


def test_2_dice_is_a_part_of_the_supervised_gradient() -> None:
    known = facts()
    method = build(known, dropout=0.0)
    data = batch(method, known)
    half = data["labeled"]
    x = torch.cat([half.views["weak"], data["unlabeled"].views["weak"]])
    logits = method.student(x, norm="batch").logits[:1]
    rest = (half.target, half.valid, half.annotated)
    whole = gradients(method, terms_of(method, known, data)["segmentation"].value)["student"]
    ce, dice = (gradients(method, loss(logits, *rest))["student"] for loss in (cross_entropy, dice_loss))
    assert dice.norm() > 0.05 * ce.norm()
    assert torch.allclose(whole, (ce + dice) / 2, atol=1e-5)


@pytest.mark.parametrize("critic", ["pixel", "image"])
@pytest.mark.parametrize("dims", [2, 3])
def test_3_networks_learn_to_pass_and_the_critic_to_tell(critic: str, dims: int) -> None:
    known = facts(dims)
    method = build(known, critic=critic)
    terms = terms_of(method, known, batch(method, known))
    assert terms["adversarial"].player == terms["adversarial_second"].player == "segmenter"
    assert "student" in hit(gradients(method, terms["adversarial"].value))
    assert "second" in hit(gradients(method, terms["adversarial_second"].value))
    assert terms["critic"].player == "critic"
    assert hit(gradients(method, terms["critic"].value)) == {"critic"}  # not even there to be ignored


def test_3_the_loop_moves_each_by_its_own_terms() -> None:
    """Alone, the adversarial terms move both networks; however large, they do not move the critic."""
    known = facts(steps=1)
    moved = {}
    for weight in (0.2, 500.0):
        method = build(known, segmentation=0.0, agreement=0.0, adversarial=weight, critic_lr=0.01)
        begin = {name: flat(getattr(method, name)) for name in ("student", "second", "critic")}
        train(method, known, batch(method, known), MOVING)
        moved[weight] = {name: flat(getattr(method, name)) - begin[name] for name in begin}
        assert hit(moved[weight]) == {"student", "second", "critic"}
    assert torch.equal(moved[0.2]["critic"], moved[500.0]["critic"])
    assert not torch.equal(moved[0.2]["student"], moved[500.0]["student"])


def test_3_passing_for_a_label_is_what_they_learn() -> None:
    """Against a critic that stands still the adversarial loss falls."""
    known = facts(steps=30)
    method = build(known, segmentation=0.0, agreement=0.0, adversarial=1.0, critic_lr=0.0, dropout=0.0)
    seen = train(method, known, batch(method, known), replace(STILL, lr=1.0))
    for term in ("adversarial", "adversarial_second"):
        assert seen[-1][term] < seen[0][term] - 0.1


def test_4_each_image_meets_its_own_label_and_each_network_its_own_half() -> None:
    known = facts(batch=(4, 2))
    method = build(known, dropout=0.0)
    data = batch(method, known)
    before = terms_of(method, known, data)

    def with_labels(name: str, target: Tensor) -> set[str]:
        after = terms_of(method, known, {**data, name: replace(data[name], target=target)})
        return {t for t in before if not torch.equal(before[t].value, after[t].value)}

    first, second = data["labeled"].target, data["labeled_second"].target
    assert first is not None
    assert second is not None
    # a 1x1 critic hardly cares which mask belongs to which image
    assert {"segmentation"} <= with_labels("labeled", first.flip(0)) <= {"segmentation", "critic"}
    assert "segmentation_second" in with_labels("labeled_second", second.flip(0))
    assert "segmentation" not in with_labels("labeled_second", 1 - second)
    half = data["labeled"]
    turned = replace(half, views={"weak": half.views["weak"].flip(0)}, target=first.flip(0))
    after = terms_of(method, known, {**data, "labeled": turned})
    for term in before:
        torch.testing.assert_close(after[term].value, before[term].value, rtol=1e-4, atol=1e-5)


def test_5_averaged_networks_predict_with_running_statistics() -> None:
    known = facts()
    method = build(known)
    pairs = method.stages(known)[0].pairs
    assert method.predictor == tuple(pair.teacher for pair in pairs)
    data = batch(method, known)
    train(method, known, data, MOVING)
    x = data["unlabeled"].views["weak"]
    for pair in pairs:
        teacher = getattr(method, pair.teacher)
        assert not torch.equal(flat(teacher), flat(getattr(method, pair.student)))
        alone = teacher(x[:1], norm="running").logits
        torch.testing.assert_close(alone, teacher(x, norm="running").logits[:1])


@dataclass
class Case:
    image: np.ndarray
    target: np.ndarray | None
    annotated: np.ndarray
    valid: None = None
    known: None = None
    spacing: tuple[float, ...] = (1.0, 1.0)

    @property
    def foreground(self) -> dict[int, np.ndarray]:
        return {1: np.array([[8, 8]], np.int32)}

    @property
    def body(self) -> np.ndarray:
        return np.zeros((0, 2), np.int32)


class Store:
    """``labeled`` labelled and six unlabelled images of as many patients."""

    def __init__(self, labeled: int) -> None:
        self.labeled = tuple(range(labeled))
        self.unlabeled = tuple(range(labeled, labeled + 6))
        self.patients = tuple(f"patient{i}" for i in range(labeled + 6))

    def case(self, index: int) -> Case:
        target = np.full((2, 16, 16), 100, np.uint8) if index in self.labeled else None
        return Case(np.full((1, 16, 16), index, np.float32), target, np.ones(2, np.float32))


def drawn(labeled: int, known: Facts, steps: int, **settings: Any) -> dict[str, list[int]]:
    """Which cases each stream gives over some steps."""
    streams = build(known, **settings).stages(known)[0].streams
    batches = Batches(Store(labeled), streams, known.plan.patch, Key(0), "train")
    seen: dict[str, list[int]] = {name: [] for name in streams}
    for step in range(steps):
        for name, crops in batches.batch(step).items():
            seen[name] += crops.case.tolist()
    return seen


def test_6_all_unlabelled_scans_are_seen_however_few_are_labelled() -> None:
    seen = drawn(2, facts(), steps=3)
    assert sorted(seen["unlabeled"]) == [2, 3, 4, 5, 6, 7]
    assert len(seen["labeled"]) == len(seen["labeled_second"]) == 3  # and labels go round meanwhile


def test_6_halves_are_disjoint_and_hold_every_labelled_scan() -> None:
    seen = drawn(5, facts(), steps=30)
    first, second = set(seen["labeled"]), set(seen["labeled_second"])
    assert first & second == set()
    assert first | second == {0, 1, 2, 3, 4}
    assert abs(len(first) - len(second)) <= 1
    shared = drawn(5, facts(), steps=30, shared_labels=True)
    assert set(shared["labeled"]) == set(shared["labeled_second"]) == {0, 1, 2, 3, 4}
    assert set(drawn(5, facts(), steps=30, views=1)["labeled"]) == {0, 1, 2, 3, 4}


def test_6_one_labelled_patient_cannot_be_halved_silently() -> None:
    with pytest.raises(SettingsError, match="parts"):
        drawn(1, facts(), steps=1)
    assert set(drawn(1, facts(), steps=2, shared_labels=True)["labeled_second"]) == {0}


def test_7_every_step_is_made_and_the_optimizers_are_those_declared() -> None:
    known = facts(steps=7)
    method = build(known)
    assert len(train(method, known, batch(method, known), MOVING)) == 7
    segmenter, critic = method.stages(known)[0].players
    assert segmenter.modules == ("student", "second")
    assert segmenter.optimizer is None
    assert critic.optimizer is not None
    assert (critic.modules, critic.optimizer.kind, critic.optimizer.lr) == (("critic",), "rmsprop", 1e-3)
    assert (critic.optimizer.schedule, critic.optimizer.weight_decay) == ("constant", 0)
    config, _ = resolve(Path("data"), {"method": "duo_segnet", "recipe": "paper"})
    paper = config.optimizer
    assert (paper.kind, paper.lr, paper.momentum, paper.nesterov) == ("sgd", 0.01, 0.9, False)
    assert (paper.weight_decay, paper.schedule) == (0, "constant")
    weights = (config.method.segmentation, config.method.agreement, config.method.adversarial)
    assert weights == (1.0, 0.4, 0.2)


@pytest.mark.parametrize("critic", ["pixel", "image"])
@pytest.mark.parametrize("dims", [2, 3])
def test_8_the_critic_learns_to_tell_labels_from_predictions(critic: str, dims: int) -> None:
    """The networks stand still; their soft masks are easily told from labels."""
    known = facts(dims, steps=25)
    method = build(known, critic=critic, critic_lr=2e-3)
    assert method.critic is not None
    begin = {name: p.detach().clone() for name, p in method.critic.named_parameters()}
    networks = flat(method.student), flat(method.second)
    seen = train(method, known, batch(method, known), STILL)
    assert seen[0]["critic"] > 0.5  # log 2 is chance
    assert seen[-1]["critic"] < 0.1
    assert seen[-1]["adversarial"] > seen[0]["adversarial"] + 0.2  # on other images too
    assert all(not torch.equal(p, begin[name]) for name, p in method.critic.named_parameters())
    assert torch.equal(networks[0], flat(method.student))
    assert torch.equal(networks[1], flat(method.second))


def test_the_critic_moves_at_its_default_rate() -> None:
    known = facts(steps=20)
    method = build(known)
    seen = train(method, known, batch(method, known), STILL)
    assert seen[-1]["critic"] < seen[0]["critic"] - 0.02


# What is ours.


@pytest.mark.parametrize("critic", ["pixel", "image"])
def test_an_organ_nobody_annotated_changes_no_term(critic: str) -> None:
    known = facts()
    method = build(known, critic=critic)
    data = batch(method, known)
    plain, painted = dict(data), dict(data)
    for name in ("labeled", "labeled_second"):
        crops = data[name]
        assert crops.target is not None
        annotated = crops.annotated.clone()
        annotated[:, 1] = 0
        target = crops.target.clone()
        target[:, 1] = 1 - target[:, 0]
        plain[name] = replace(crops, annotated=annotated)
        painted[name] = replace(crops, annotated=annotated, target=target)
    one, two = (terms_of(method, known, d) for d in (plain, painted))
    assert all(torch.equal(one[t].value, two[t].value) for t in one)
    whole = terms_of(method, known, data)
    for term in ("critic", "adversarial", "adversarial_second"):  # it hides the class in all it shows
        assert not torch.equal(one[term].value, whole[term].value)


@pytest.mark.parametrize("critic", ["pixel", "image"])
def test_unlabelled_predictions_are_shown_as_labels_are(critic: str) -> None:
    """Where class 2 was not annotated in any labelled crop, no verdict depends on it."""
    known = facts()
    method = build(known, critic=critic)
    data = batch(method, known)
    for name in ("labeled", "labeled_second"):
        annotated = data[name].annotated.clone()
        annotated[:, 1] = 0
        data[name] = replace(data[name], annotated=annotated)
    seen: list[Tensor] = []
    assert method.critic is not None
    method.critic.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    terms_of(method, known, data)
    assert len(seen) == 3  # labels and predictions there; one network's passes; the other's
    assert all(masks[:, 2].abs().max() == 0 for masks in seen)
    assert all(torch.allclose(masks.sum(1), torch.ones(())) for masks in seen)


@pytest.mark.parametrize("critic", ["pixel", "image"])
def test_nothing_outside_the_scan_reaches_the_critic(critic: str) -> None:
    known = facts()
    method = build(known, critic=critic, dropout=0.0)
    data = batch(method, known)
    valid = torch.ones_like(data["labeled"].valid)
    valid[..., :5] = 0
    target = data["labeled"].target
    assert target is not None
    wrong = target.clone()
    wrong[..., :5] = 0.5 * (1 - wrong[..., :5])
    one, two = (
        terms_of(method, known, {**data, "labeled": replace(data["labeled"], valid=valid, target=y)})
        for y in (target, wrong)
    )
    assert all(torch.equal(one[t].value, two[t].value) for t in one)


def test_networks_begin_differently_and_teachers_as_their_own() -> None:
    known = facts(steps=1)
    method = build(known)
    assert not torch.equal(flat(method.student), flat(method.second))
    train(method, known, batch(method, known), STILL)
    assert torch.equal(flat(method.teacher), flat(method.student))
    assert torch.equal(flat(method.second_teacher), flat(method.second))


@pytest.mark.parametrize(("size", "sizes"), [(1, (1, 1)), (2, (1, 1)), (3, (2, 1)), (4, (2, 2)), (7, (4, 3))])
def test_labelled_crops_are_shared_out(size: int, sizes: tuple[int, int]) -> None:
    known = facts(batch=(size, 3))
    streams = build(known).stages(known)[0].streams
    assert (streams["labeled"].size, streams["labeled_second"].size, streams["unlabeled"].size) == (*sizes, 3)
    alone = build(known, views=1).stages(known)[0].streams
    assert (set(alone), alone["labeled"].size) == ({"labeled", "unlabeled"}, size)


def test_one_view_trains_one_network_that_both_teachers_follow() -> None:
    known = facts()
    method = build(known, views=1)
    assert {name for name, _ in method.named_children()} == {"student", "teacher", "second_teacher", "critic"}
    data = batch(method, known)
    assert set(terms_of(method, known, data)) == {"segmentation", "adversarial", "critic"}
    train(method, known, data, MOVING)
    assert torch.equal(flat(method.teacher), flat(method.second_teacher))


@pytest.mark.parametrize("off", [{"critic": "none"}, {"adversarial": 0.0}])
def test_without_a_critic_there_is_no_player_for_it(off: Mapping[str, Any]) -> None:
    known = facts(steps=2)
    method = build(known, **off)
    assert [player.name for player in method.stages(known)[0].players] == ["segmenter"]
    assert not any(name.startswith("critic") for name in method.state_dict())
    kept: Sequence[dict[str, float]] = train(method, known, batch(method, known), MOVING)
    assert set(kept[0]) == {"segmentation", "segmentation_second", "agreement", "agreement_second"}
