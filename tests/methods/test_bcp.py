"""BCP: boxes change places; the teacher's pseudo-labels are cleaned."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from semivox.methods.bcp import BCP
from semivox.methods.cleanup import largest_components
from semivox.networks import Output
from semivox.testing.synthetic import random_batch, tiny, tiny_at, tiny_plan
from semivox.training.config import resolve
from semivox.training.optimizers import learning_rate


def test_bcp_exchanges_boxes_and_labels_alike() -> None:
    """With the image equal to its label everywhere, every mixed image equals its mixed label."""
    method, facts = tiny(BCP, classes=2, mixed=1.0)
    data = random_batch(method, facts, 1)
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
    terms = method.step(data, tiny_at(method, facts, 1))
    mixed = seen[1]
    share = (mixed < 0).float().mean(dim=(1, 2, 3, 4))
    box = (11 / 16) * (11 / 16) * (5 / 8)  # two thirds of each side, rounded
    assert torch.allclose(share, torch.tensor([box, box, 1 - box, 1 - box]), atol=1e-6)
    assert all(term.value.item() < 1e-3 for term in terms.values())


def test_bcp_begins_its_second_stage_with_the_student_as_teacher() -> None:
    method, facts = tiny(BCP)
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
    plan = tiny_plan(classes=4)
    assert torch.equal(largest_components(labels, plan), expected)
    flat = labels[..., 0]
    assert torch.equal(largest_components(flat, plan), expected[..., 0])
    several = replace(plan, classes=(replace(plan.classes[0], one_piece=False), *plan.classes[1:]))
    assert torch.equal(largest_components(labels, several), labels)


def test_a_class_in_several_pieces_keeps_them_in_pseudo_labels() -> None:
    _, facts = tiny(BCP, classes=2)
    several = replace(facts.plan, classes=(replace(facts.plan.classes[0], one_piece=False),))
    two = torch.zeros(1, 2, 16, 16, 8)
    two[:, 1] = -9.0
    two[:, 1, 2:5, 2:5, 2] = two[:, 1, 9, 9, 5] = 9.0

    class Draws(torch.nn.Module):
        def forward(self, x: torch.Tensor, **options: object) -> Output:
            return Output(two)

    for plan, left in ((facts.plan, 9), (several, 10)):
        method = BCP(replace(facts, plan=plan), BCP.Settings())
        method.teacher = Draws()
        assert method._pseudo_labels(torch.zeros(1, 1, 16, 16, 8)).sum() == left


def test_the_published_self_training_divides_its_rate_by_ten_each_2500_steps(
    tmp_path: Path,
) -> None:
    config, _ = resolve(tmp_path, {"method": "bcp", "recipe": "paper"})
    _, facts = tiny(BCP)
    first, second = BCP(facts, config.method).stages(facts)
    assert first.players[0].optimizer is None  # the run's: constant
    assert config.optimizer.schedule == "constant"
    published = second.players[0].optimizer
    assert published is not None
    for step in range(0, 15000, 50):
        expected = 0.01 * 0.1 ** (step // 2500)
        assert learning_rate(published, step / 15000) == pytest.approx(expected), step


def test_what_is_not_mixed_is_a_labelled_crop_as_it_is() -> None:
    method, facts = tiny(BCP, mixed=0.5, dropout=0.0)
    data = random_batch(method, facts, 1)
    n_l, n_u = (len(data[name].valid) for name in ("labeled", "unlabeled"))
    assert (n_l, n_u) == (facts.alone, facts.alone // 2)
    seen: list[torch.Tensor] = []
    method.student.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    method.step(data, tiny_at(method, facts, 1))
    same = (seen[0] == data["labeled"].views["weak"]).flatten(1).all(1)
    assert same.tolist() == [False] * n_u + [True] * (n_l - n_u)
