"""UA-MT: where it listens."""

from __future__ import annotations

from semivox.methods.mean_teacher import MeanTeacher
from semivox.methods.ua_mt import UAMT
from semivox.testing.synthetic import random_batch, tiny, tiny_at


def test_ua_mt_listens_only_where_its_teacher_is_sure() -> None:
    method, facts = tiny(UAMT, threshold=0.0)  # at the start nobody is sure
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
