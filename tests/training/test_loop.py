"""The loop on toy methods: who moves, what stages do, when it stops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from semivox.errors import TrainingFailed
from semivox.methods.declare import At, Batch, Facts, Method, Optimizer, Pair, Player, Stage, Term
from semivox.randomness import Key
from semivox.training.loop import Hooks, Progress, fit
from semivox.training.stages import stage_ends

from .toys import PLAN, NoSettings, Numbers

PLAIN = Optimizer(lr=0.1, momentum=0.0, nesterov=False, weight_decay=0.0, schedule="constant", clip=0)


def facts(steps: int) -> Facts:
    return Facts(PLAN, steps, 1, 1, Key(0))


class TwoPlayers(Method):
    """A segmenter and a critic that share a graph and want opposite things; the teacher follows."""

    Settings = NoSettings

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.student, self.teacher, self.critic = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 1)
        self.seen: list[At] = []

    def stages(self, facts: Facts) -> Sequence[Stage]:
        players = (
            Player("segmenter", ("student",)),
            Player("critic", ("critic",), replace(PLAIN, lr=0.2, momentum=0.9)),
        )
        pairs = (Pair("student", "teacher", 0.5),)
        return [
            Stage("first", {}, players, pairs, share=0.4),
            Stage("second", {}, players, pairs, share=0.6, fresh=("critic",)),
        ]

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        self.seen.append(at)
        score = self.critic(self.student(batch["all"].views["weak"])).mean()
        return {
            "fool": Term(score, 2.0),
            "off": Term(score * 1000, 0.0),
            "judge": Term(-score, 1.0, player="critic"),
        }


def run(method: TwoPlayers, steps: int = 10, **more: Any) -> Progress:
    return fit(method, facts(steps), Numbers, optimizer=PLAIN, rebuild=TwoPlayers, paper_steps=10, **more)


def test_each_player_moves_by_its_own_terms_only() -> None:
    method, before = TwoPlayers(), TwoPlayers()
    x = Numbers(method.stages(facts(1))[0]).batch(0)["all"].views["weak"]
    grad_student = torch.autograd.grad(2.0 * before.critic(before.student(x)).mean(), before.student.weight)[
        0
    ]
    grad_critic = torch.autograd.grad(-before.critic(before.student(x)).mean(), before.critic.weight)[0]
    run(method, hooks=Hooks(stop=lambda: True))
    assert torch.allclose(method.student.weight, before.student.weight - 0.1 * grad_student)
    assert torch.allclose(method.critic.weight, before.critic.weight - 0.2 * grad_critic, atol=1e-6)


def test_stages_share_the_steps_and_fresh_modules_begin_anew() -> None:
    assert stage_ends(TwoPlayers().stages(facts(10)), 10) == [4, 10]
    at_border: dict[str, torch.Tensor] = {}
    method = TwoPlayers()

    def progress(step: int, record: object) -> None:
        if step == 4:
            at_border.update({k: v.clone() for k, v in method.state_dict().items()})

    run(method, hooks=Hooks(progress=progress))
    assert [at.stage for at in method.seen] == ["first"] * 4 + ["second"] * 6
    assert method.seen[4].stage_progress == 0
    assert method.seen[9].progress == pytest.approx(0.9)

    second = TwoPlayers()  # the second stage alone, from where the first ended, its critic anew
    second.load_state_dict(
        {**at_border, **{k: v for k, v in TwoPlayers().state_dict().items() if k[:6] == "critic"}}
    )
    run(second, progress=Progress(step=4))
    assert all(
        torch.equal(a, b)
        for a, b in zip(method.state_dict().values(), second.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("stop_at", [2, 4, 7])
def test_resume_equals_uninterrupted_also_at_a_stage_border(stop_at: int) -> None:
    whole, parts = TwoPlayers(), TwoPlayers()
    run(whole)
    saved: dict[str, Any] = {}

    def checkpoint(step: int, state: Any) -> None:
        if step == stop_at:
            saved.update(state())
            saved["method"] = {k: v.clone() for k, v in saved["method"].items()}

    stopped = run(parts, hooks=Hooks(checkpoint=checkpoint, stop=lambda: bool(saved)))
    assert stopped.step == stop_at
    again = TwoPlayers()
    again.load_state_dict(saved["method"])
    run(again, progress=Progress(saved["step"], saved["optimizers"], saved["ends"]))
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_a_later_stage_can_start_from_an_earlier_ones_end() -> None:
    class Back(TwoPlayers):
        def stages(self, facts: Facts) -> Sequence[Stage]:
            first, second = super().stages(facts)
            third = replace(first, name="third", start="first", copy={"teacher": "student"})
            return [replace(first, share=0.5), replace(second, share=0.25), replace(third, share=0.25)]

    ends: dict[int, torch.Tensor] = {}
    method = Back()
    batches = Numbers

    def source(stage: Stage) -> Numbers:
        ends[len(method.seen)] = method.student.weight.detach().clone()
        return batches(stage)

    fit(method, facts(8), source, optimizer=PLAIN, rebuild=Back, paper_steps=10)
    assert torch.equal(ends[6], ends[4])
    assert not torch.equal(ends[4], ends[0])


def test_a_loss_that_is_not_finite_stops_with_step_term_and_cases() -> None:
    class Breaks(TwoPlayers):
        def step(self, batch: Batch, at: At) -> dict[str, Term]:
            terms = super().step(batch, at)
            if at.step == 3:
                terms["fool"] = Term(terms["fool"].value * float("nan"))
            return terms

    method = Breaks()
    with pytest.raises(TrainingFailed, match=r"step 3.*term fool.*\[3, 5\]"):
        run(method)
    assert all(bool(torch.isfinite(p).all()) for p in method.parameters())


def test_gradients_are_clipped() -> None:
    method, before = TwoPlayers(), TwoPlayers()
    fit(method, facts(1), Numbers, optimizer=replace(PLAIN, clip=1e-3), rebuild=TwoPlayers, paper_steps=10)
    moved = torch.cat(
        [
            (a - b).flatten()
            for a, b in zip(method.student.parameters(), before.student.parameters(), strict=True)
        ]
    )
    assert moved.norm().item() == pytest.approx(0.1 * 1e-3, rel=1e-3)


def test_the_journal_tells_terms_weights_and_rates() -> None:
    records: list[dict[str, Any]] = []
    run(TwoPlayers(), hooks=Hooks(journal=records.append), log_every=3)
    assert [r["step"] for r in records] == [0, 3, 6, 9]
    assert records[0]["weights"] == {"fool": 2.0, "off": 0.0, "judge": 1.0}
    assert records[0]["terms"]["judge"] == -records[0]["terms"]["fool"]
    assert records[0]["lr"] == {"segmenter": 0.1, "critic": 0.2}


def test_the_journal_says_whose_gradient_it_was_and_training_stays_the_same() -> None:
    records: list[dict[str, Any]] = []
    told, silent = TwoPlayers(), TwoPlayers()
    run(told, log_every=1, shares_every=4, hooks=Hooks(journal=records.append))
    run(silent, log_every=1)
    assert [r["step"] for r in records if "gradient_share" in r] == [0, 4, 8]
    assert records[0]["gradient_share"] == {"fool": 1.0, "off": 0.0, "judge": 1.0}
    assert all(torch.equal(a, b) for a, b in zip(told.parameters(), silent.parameters(), strict=True))


def test_shares_that_were_measured_are_journalled_whatever_else_is() -> None:
    """Steps between two lines need be no part of those between two shares."""
    records: list[dict[str, Any]] = []
    run(TwoPlayers(), log_every=3, shares_every=2, hooks=Hooks(journal=records.append))
    steps = [r["step"] for r in records if "gradient_share" in r]
    assert steps == [step for step in range(max(r["step"] for r in records) + 1) if step % 2 == 0]
