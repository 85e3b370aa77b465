"""self_training: its stages, and boxes that change places with their labels and weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from semivox.losses import segmentation_loss
from semivox.methods.self_training import SelfTraining
from semivox.networks import Output
from semivox.testing.synthetic import random_batch, tiny, tiny_at


class Shows(torch.nn.Module):
    """Remembers what it sees, and says that the image is the class."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor, **options: object) -> Output:
        self.seen.append(x)
        return Output(torch.cat([-10 * x, 10 * x], 1))


def test_stages_teach_alone_first_and_keep_the_labelled_crops() -> None:
    method, facts = tiny(SelfTraining, rounds=3, alone=0.4, final=0.1)
    stages = method.stages(replace(facts, sweeps=None))
    assert [stage.name for stage in stages] == ["labeled", "round1", "round2", "round3", "final"]
    assert sum(stage.share for stage in stages) == pytest.approx(1)
    assert stages[0].share == 0.4
    assert all(stage.streams["labeled"].size == sum(facts.batch) for stage in stages)
    assert [stage.relabel is not None for stage in stages] == [False, True, True, True, False]
    assert [stage.continues for stage in stages] == [False, False, True, True, True]
    method, facts = tiny(SelfTraining, lr=0)
    assert all(stage.continues for stage in method.stages(facts)[1:])


def test_each_round_learns_from_more_scans_the_surest_first() -> None:
    method, facts = tiny(SelfTraining, rounds=3)
    rounds = method.stages(replace(facts, sweeps=None))[1:]
    assert [stage.streams["pseudo"].surest for stage in rounds] == [0.25, 0.5, 0.75]
    method, facts = tiny(SelfTraining, easy_first=False)
    assert {stage.streams["pseudo"].surest for stage in method.stages(facts)[1:]} == {1.0}


@pytest.mark.parametrize("settings", [{"rounds": 0}, {"pseudo": 0}])
def test_without_pseudo_labels_it_is_one_supervised_stage(settings: dict[str, float]) -> None:
    method, facts = tiny(SelfTraining, **settings)
    (stage,) = method.stages(facts)
    assert (stage.share, stage.relabel, set(stage.streams)) == (1, None, {"labeled"})


def test_rounds_are_no_more_than_the_budget_holds() -> None:
    method, facts = tiny(SelfTraining)
    assert len(method.stages(replace(facts, sweeps=1))) == 2


def test_boxes_take_their_labels_along_in_half_of_the_pairs() -> None:
    """With the image equal to its label everywhere, every mixed image equals its mixed label."""
    method, facts = tiny(SelfTraining, classes=2)
    data = random_batch(method, facts, 1)
    method.student = Shows()
    one = torch.full_like(data["labeled"].views["weak"], 1.0)
    labeled, pseudo = data["labeled"], data["pseudo"]
    data["labeled"] = replace(
        labeled, views={"weak": one}, target=torch.ones_like(labeled.target),
        valid=torch.ones_like(labeled.valid), annotated=torch.ones_like(labeled.annotated),
    )  # fmt: skip
    data["pseudo"] = replace(
        pseudo, views={"weak": -one}, target=torch.zeros_like(pseudo.target),
        valid=torch.full_like(pseudo.valid, 0.5),
    )  # fmt: skip
    terms = method.step(data, tiny_at(method, facts, 1))
    (mixed,) = method.student.seen
    n = len(one)
    exchanged = (mixed[:n] < 0).float().mean(dim=(1, 2, 3, 4))
    box = 0.5**3
    assert exchanged.tolist() == [box] * (n // 2) + [0.0] * (n - n // 2)
    received = (mixed[n:] > 0).float().mean(dim=(1, 2, 3, 4))
    assert torch.equal(received, exchanged)
    assert all(term.value.item() < 1e-3 for term in terms.values())


def test_a_box_of_a_partly_annotated_crop_has_no_weight_among_pseudo_labels() -> None:
    """Its background may hide a class; the pseudo-labelled crop claims to know them all."""
    method, facts = tiny(SelfTraining, classes=3, exchange=1.0)
    data = random_batch(method, facts, 1)
    labeled = data["labeled"]
    annotated = torch.ones_like(labeled.annotated)
    annotated[:, 0] = 0
    data["labeled"] = replace(labeled, annotated=annotated)
    before = method.step(data, tiny_at(method, facts, 1))["pseudo"].value
    other = replace(data["labeled"], target=torch.zeros_like(labeled.target))
    after = method.step({**data, "labeled": other}, tiny_at(method, facts, 1))["pseudo"].value
    assert torch.equal(before, after)
    known = replace(data["labeled"], annotated=torch.ones_like(annotated))
    changed = method.step({**data, "labeled": replace(known, target=other.target)}, tiny_at(method, facts, 1))
    assert not torch.equal(changed["pseudo"].value, before)


def test_without_boxes_the_terms_are_the_losses_of_each_stream() -> None:
    method, facts = tiny(SelfTraining, exchange=0)
    data = random_batch(method, facts, 1)
    at = tiny_at(method, facts, 1)
    terms = method.step(data, at)
    labeled, pseudo = data["labeled"], data["pseudo"]
    both = torch.cat([labeled.views["weak"], pseudo.views["weak"]])
    logits = method.student(both, drop=at.rng("dropout/student")).logits
    n = len(labeled.valid)
    of_l = segmentation_loss(logits[:n], labeled.target, labeled.valid, labeled.annotated)
    of_u = segmentation_loss(logits[n:], pseudo.target, pseudo.valid, pseudo.annotated)
    assert torch.allclose(terms["segmentation"].value, of_l)
    assert torch.allclose(terms["pseudo"].value, of_u)
    assert terms["pseudo"].weight == 1.0


@pytest.mark.parametrize(("steps", "alone"), [(600, 0.7), (1250, 0.7), (2000, 0.5), (20000, 0.5)])
def test_a_long_run_is_not_alone_for_longer_than_it_helps(steps: int, alone: float) -> None:
    method, facts = tiny(SelfTraining)
    first, *_ = method.stages(replace(facts, steps=steps, sweeps=None))
    assert first.share == pytest.approx(alone)
