"""UA-MT: where it listens."""

from __future__ import annotations

import math

import pytest
import torch

from semivox.methods.conventions import gaussian_ramp
from semivox.methods.mean_teacher import MeanTeacher
from semivox.methods.ua_mt import UAMT
from semivox.testing.synthetic import random_batch, tiny, tiny_at


def test_ua_mt_listens_only_where_its_teacher_is_sure() -> None:
    method, facts = tiny(UAMT, threshold=0.0, limit="classes")  # at the start nobody is sure
    data = random_batch(method, facts)
    early = method.step(data, tiny_at(method, facts, progress=0.0))["consistency"].value
    late = method.step(data, tiny_at(method, facts, progress=1.0))["consistency"].value
    assert 0 <= early < late
    assert early == 0
    ungated, _ = tiny(UAMT, passes=0)
    plain, _ = tiny(MeanTeacher)
    sure = method._sure(data["unlabeled"].views["weak"], tiny_at(method, facts, progress=1.0))
    assert sure.shape == (2, 1, *facts.plan.patch)
    assert sure.mean() > 0.99  # below ln K everywhere but where all classes are equal
    assert ungated.step(data, tiny_at(ungated, facts))["consistency"].value > 0
    assert plain.step(data, tiny_at(plain, facts))["consistency"].value > 0


@pytest.mark.parametrize("limit", ["two", "classes"])
def test_the_limit_is_that_of_the_published_code_or_of_all_classes(limit: str) -> None:
    """Against the entropy, in nats, of the mean of the passes."""
    method, facts = tiny(UAMT, limit=limit, passes=2)
    for parameter in method.teacher.head.parameters():
        parameter.data.mul_(8)  # some voxels sure, some not
    x, at = random_batch(method, facts)["unlabeled"].views["weak"], tiny_at(method, facts)
    mean = torch.stack([method.teach(x, at, f"pass {i}").softmax(1) for i in range(2)]).mean(0)
    entropy = -(mean * mean.log()).sum(1, keepdim=True)
    most = math.log(2 if limit == "two" else facts.classes)
    expected = entropy < (0.75 + 0.25 * gaussian_ramp(at.progress)) * most
    sure = method._sure(x, at)
    assert torch.equal(sure, expected.to(sure))
    assert 0 < sure.mean() < 1
