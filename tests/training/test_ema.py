from __future__ import annotations

import pytest
import torch
from torch import nn

from semivox.methods.declare import Optimizer
from semivox.training import ema
from semivox.training.ema import scaled_decay
from semivox.training.optimizers import learning_rate


class Net(nn.Module):
    def __init__(self, value: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((3,), value))
        self.register_buffer("mean", torch.full((2,), value))
        self.register_buffer("count", torch.tensor(int(value)))


def test_the_teacher_lies_between_its_past_self_and_the_student() -> None:
    student, teacher = Net(4.0), Net(2.0)
    ema.update(student, teacher, decay=0.75, step=100)
    assert torch.allclose(teacher.weight, torch.full((3,), 2.5))
    assert torch.allclose(teacher.mean, torch.full((2,), 2.5))  # float buffers are averaged
    assert int(teacher.count) == 4  # others are copied
    assert torch.equal(student.weight, torch.full((3,), 4.0))


def test_many_updates_equal_the_formula() -> None:
    student, teacher = Net(0.0), Net(1.0)
    expected = 1.0
    for step in range(50):
        value = float(step % 7)
        with torch.no_grad():
            student.weight.fill_(value)
        ema.update(student, teacher, decay=0.9, step=step)
        decay = min(0.9, 1 - 1 / (step + 1))
        expected = decay * expected + (1 - decay) * value
    assert torch.allclose(teacher.weight, torch.full((3,), expected), atol=1e-5)


def test_a_teacher_begins_as_the_student_and_takes_no_gradient() -> None:
    student, teacher = Net(4.0), Net(0.0)
    ema.begin(student, teacher)
    assert torch.equal(teacher.weight, student.weight)
    assert not teacher.weight.requires_grad
    assert student.weight.requires_grad


def test_the_horizon_scales_with_the_run() -> None:
    assert scaled_decay(0.99, 6000, 6000) == pytest.approx(0.99)
    assert scaled_decay(0.999, 6000, 1000) == pytest.approx(0.994)
    assert scaled_decay(0.99, 6000, 60000) == pytest.approx(0.999)
    assert scaled_decay(0.99, 6000, 10) == pytest.approx(0.9)


def test_learning_rates() -> None:
    assert learning_rate(Optimizer(lr=1.0), 0.0) == 1.0
    assert learning_rate(Optimizer(lr=1.0, power=2), 0.5) == pytest.approx(0.25)
    step = Optimizer(lr=1.0, schedule="step", milestones=(0.5, 0.75))
    assert [learning_rate(step, p) for p in (0.0, 0.5, 0.8)] == pytest.approx([1.0, 0.1, 0.01])
    assert learning_rate(Optimizer(lr=1.0, schedule="cosine"), 0.5) == pytest.approx(0.5)
    assert learning_rate(Optimizer(lr=1.0, schedule="constant"), 0.9) == 1.0
