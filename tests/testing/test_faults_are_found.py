"""For each check a method that is wrong in one way, and what the check says of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from semivox.batches import Crops, Stream
from semivox.losses import segmentation_loss, softmax_mse
from semivox.methods.atso import ATSO
from semivox.methods.conventions import labeled_and_unlabeled
from semivox.methods.declare import At, Batch, Facts, Method, Pair, Player, Stage, Term
from semivox.networks import Output, SliceProjection
from semivox.randomness import BatchKey, Key
from semivox.testing import CHECKS, MethodFault, check_method
from semivox.testing.checks import FOLLOWS
from semivox.testing.learning import check_learns
from semivox.testing.runs import check_declaration, check_resume, check_trains
from semivox.testing.steps import (
    check_partly_annotated,
    check_purity,
    check_switches,
    check_terms,
    check_valid,
)


@dataclass(frozen=True)
class PlainSettings:
    paper_steps: int = 6000
    consistency: float = 0.1
    factor: float = 1.0


class Plain(Method):
    """A mean teacher with nothing wrong, whose parts the others change."""

    Settings = PlainSettings
    players: ClassVar[tuple[Player, ...]] = (Player("segmenter", ("student",)),)
    pairs: ClassVar[tuple[Pair, ...]] = (Pair("student", "teacher", 0.99),)

    def __init__(self, facts: Facts, settings: PlainSettings) -> None:
        super().__init__()
        self.settings = settings
        self.student, self.teacher = facts.network("student"), facts.network("student")

    def stages(self, facts: Facts) -> Sequence[Stage]:
        return [Stage("train", labeled_and_unlabeled(facts), self.players, self.pairs)]

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        terms = {"segmentation": Term(self.supervised(batch["labeled"], at.rng("dropout")))}
        if self.settings.consistency:
            loss = self.agreement(batch["unlabeled"].views["weak"], at.rng("noise"))
            terms["consistency"] = Term(loss, self.settings.consistency)
        return terms

    def supervised(self, labeled: Crops, key: BatchKey) -> Tensor:
        logits = self.student(labeled.views["weak"], drop=key).logits
        return segmentation_loss(logits, labeled.target, labeled.valid, labeled.annotated)

    def agreement(self, x_u: Tensor, key: BatchKey) -> Tensor:
        noisy = x_u + 0.1 * key.normal(tuple(x_u.shape))
        with torch.no_grad():
            told = self.teacher(x_u, norm="batch").logits
        return softmax_mse(self.student(noisy, norm="batch").logits, told)


class Detached(Plain):
    def agreement(self, x_u: Tensor, key: BatchKey) -> Tensor:
        return super().agreement(x_u, key).detach()


class NoGradient(Plain):
    def agreement(self, x_u: Tensor, key: BatchKey) -> Tensor:
        return 0 * super().agreement(x_u, key)


class NotFinite(Plain):
    def agreement(self, x_u: Tensor, key: BatchKey) -> Tensor:
        return super().agreement(x_u, key) / torch.zeros(())


class TrainableTeacher(Plain):
    def agreement(self, x_u: Tensor, key: BatchKey) -> Tensor:
        return softmax_mse(self.student(x_u, norm="batch").logits, self.teacher(x_u, norm="batch").logits)


class MovedTeacher(Plain):
    players = (Player("segmenter", ("student", "teacher")),)


class NobodysTerm(Plain):
    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        terms = super().step(batch, at)
        return {**terms, "consistency": replace(terms["consistency"], player="critic")}


class OnlyInFlat(Plain):
    """Right in 2D and for two classes, but not in general."""

    def agreement(self, x_u: Tensor, key: BatchKey) -> Tensor:
        loss = super().agreement(x_u, key)
        return loss if x_u.dim() == 4 or x_u.shape[1] == 1 else loss.detach()


class CountsDraws(Plain):
    """Its keys are numbered in the order of use: without the consistency, dropout gets another one."""

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        keys = iter(at.rng(f"draw {i}") for i in range(9))
        terms = {}
        if self.settings.consistency:
            loss = self.agreement(batch["unlabeled"].views["weak"], next(keys))
            terms["consistency"] = Term(loss, self.settings.consistency)
        return {**terms, "segmentation": Term(self.supervised(batch["labeled"], next(keys)))}


class SharesWeights(Plain):
    """Switching off one term changes another one's weight."""

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        terms = super().step(batch, at)
        return {**terms, "segmentation": replace(terms["segmentation"], weight=1 / len(terms))}


class CrashesAt0(Plain):
    def agreement(self, x_u: Tensor, key: BatchKey) -> Tensor:
        scale = {1.0: 1.0}[self.settings.factor]
        return scale * super().agreement(x_u, key)


class UnannotatedClass(Plain):
    def supervised(self, labeled: Crops, key: BatchKey) -> Tensor:
        return super().supervised(replace(labeled, annotated=torch.ones_like(labeled.annotated)), key)


class UnannotatedDistance(Plain):
    def stages(self, facts: Facts) -> Sequence[Stage]:
        return [Stage("train", labeled_and_unlabeled(facts, sdm=True), self.players, self.pairs)]

    def supervised(self, labeled: Crops, key: BatchKey) -> Tensor:
        assert labeled.sdm is not None
        probs = self.student(labeled.views["weak"], norm="batch").logits.softmax(1)[:, 1:]
        return super().supervised(labeled, key) + (labeled.valid * probs * labeled.sdm).mean()


class OutsideTheScan(Plain):
    def supervised(self, labeled: Crops, key: BatchKey) -> Tensor:
        return super().supervised(replace(labeled, valid=torch.ones_like(labeled.valid)), key)


class Rand(Plain):
    def agreement(self, x_u: Tensor, key: BatchKey) -> Tensor:
        return super().agreement(x_u + torch.rand(x_u.shape), key)


class SeedsAllOfTorch(Plain):
    def agreement(self, x_u: Tensor, key: BatchKey) -> Tensor:
        torch.manual_seed(0)
        return super().agreement(x_u + torch.rand(x_u.shape), key)


class ShufflesNothing(Plain):
    def agreement(self, x_u: Tensor, key: BatchKey) -> Tensor:
        np.random.rand()
        return super().agreement(x_u, key)


class ChangesTheBatch(Plain):
    def agreement(self, x_u: Tensor, key: BatchKey) -> Tensor:
        return super().agreement(x_u.clamp_(-1, 1), key)


class DrawnAnew(Plain):
    def __init__(self, facts: Facts, settings: PlainSettings) -> None:
        super().__init__(facts, settings)
        self.head = nn.Linear(3, 3)


class HiddenCounter(Plain):
    count = 0

    def agreement(self, x_u: Tensor, key: BatchKey) -> Tensor:
        self.count += 1
        return self.count * super().agreement(x_u, key)


class LabelsOfUnlabelled(Plain):
    def stages(self, facts: Facts) -> Sequence[Stage]:
        streams = {**labeled_and_unlabeled(facts), "unlabeled": Stream("unlabeled", 2, target="label")}
        return [Stage("train", streams, self.players, self.pairs)]


class Diverges(Plain):
    """Finite at first; after a step its loss is not."""

    def agreement(self, x_u: Tensor, key: BatchKey) -> Tensor:
        moved = (self.student.head.bias**2).sum()  # the biases begin at 0
        return super().agreement(x_u, key) + torch.sqrt(moved)


class NobodyFollows(Plain):
    pairs = ()


class NoPaperSteps(Plain):
    @dataclass(frozen=True)
    class Settings:
        consistency: float = 0.1


class NobodyPredicts(Plain):
    predictor = ("mentor",)


class PredictsByAHead(Plain):
    predictor = ("head",)

    def __init__(self, facts: Facts, settings: PlainSettings) -> None:
        super().__init__(facts, settings)
        self.head = SliceProjection(1, facts.key)


class FollowsNobody(Plain):
    pairs = (Pair("student", "mentor"),)


class TwiceTheSame(Plain):
    def stages(self, facts: Facts) -> Sequence[Stage]:
        return [*super().stages(facts), *super().stages(facts)]


class KeepsAnObject(Plain):
    def get_extra_state(self) -> Any:
        return Key(0)

    def set_extra_state(self, state: Any) -> None: ...


class LooksAreCounted(ATSO):
    """Its teacher's answer depends on how often it was asked, which no state holds."""

    def __init__(self, facts: Facts, settings: Any) -> None:
        super().__init__(facts, settings)
        self.looks = 0
        self.teacher.register_forward_hook(self._look)

    def stages(self, facts: Facts) -> Sequence[Stage]:
        return super().stages(facts)[:2]

    def _look(self, module: nn.Module, given: object, output: Output) -> None:
        self.looks += 1
        output.logits[:, 1 + self.looks % 2] += 100


FAULTS: list[tuple[Callable[..., object], type[Method], str]] = [
    (check_terms, Detached, r"stage 'train', term 'consistency': it has no gradient"),
    (check_terms, NoGradient, r"term 'consistency': it trains none of \('student',\)"),
    (check_terms, NotFinite, r"term 'consistency': it is inf with weight 0.1 in 3D"),
    (check_terms, TrainableTeacher, r"its gradient reaches the teacher 'teacher'.*no_grad"),
    (check_terms, MovedTeacher, r"the teacher 'teacher' is moved by an optimizer"),
    (check_terms, NobodysTerm, r"its player 'critic' is not declared.*\['segmenter'\]"),
    (check_terms, OnlyInFlat, r"no gradient in 3D with 3 classes and 2 channels"),
    (check_switches, CountsDraws, r"setting 'consistency', stage 'train', term 'segmentation': it changes"),
    (check_switches, SharesWeights, r"changes from 0.5 x \S+ to 1 x \S+ when consistency=0 drops"),
    (check_switches, CrashesAt0, r"setting 'factor': set to 0.0 the method crashes: KeyError"),
    (check_partly_annotated, UnannotatedClass, r"term 'segmentation': it depends on the label of a class"),
    (check_partly_annotated, UnannotatedDistance, r"term 'segmentation': it depends on the label of a class"),
    (check_valid, OutsideTheScan, r"term 'segmentation': it depends on the target where crops.valid is 0"),
    (check_purity, Rand, r"term 'consistency': two calls of step .* differ.*at.rng"),
    (check_purity, SeedsAllOfTorch, r"draws from a global generator"),
    (check_purity, ShufflesNothing, r"draws from a global generator"),
    (check_purity, ChangesTheBatch, r"step changes its batch \(stream 'unlabeled'\)"),
    (check_purity, DrawnAnew, r"first weights 'head.weight' are drawn anew"),
    (check_purity, HiddenCounter, r"two calls of step .* differ.*buffer"),
    (check_trains, LabelsOfUnlabelled, r"'unlabeled' of stage 'train': unlabeled cases have no labels"),
    (check_trains, Diverges, r"stops: the loss is not finite|are not finite"),
    (check_resume, HiddenCounter, r"stopped after step 1 \(train from 0\) and resumed ends with other"),
    (check_resume, KeepsAnObject, r"its checkpoint cannot be read: .*weights_only"),
    (check_resume, LooksAreCounted, r"stopped while labelling for stage 'generation1_part1'"),
    (check_learns, NobodyFollows, r"its predictor has a mean Dice of 0\.\d+ on others"),
    (check_declaration, NoPaperSteps, r"no paper_steps"),
    (check_declaration, NobodyPredicts, r"no module 'mentor', which is to predict"),
    (check_declaration, PredictsByAHead, r"the network 'head' predicts, and its run folder could not"),
    (check_declaration, FollowsNobody, r"a pair names 'mentor', which is no module"),
    (check_declaration, TwiceTheSame, r"'train' of TwiceTheSame has a name that is taken"),
]


@pytest.mark.parametrize(("check", "method", "said"), FAULTS, ids=lambda part: getattr(part, "__name__", ""))
def test_a_fault_is_found(check: Callable[..., object], method: type[Method], said: str) -> None:
    with pytest.raises(MethodFault, match=said):
        check(method)


def test_the_method_that_they_change_has_no_fault() -> None:
    assert "learns" not in check_method(Plain, learns=False)
    assert check_switches(Plain) == {"consistency": {"consistency"}, "factor": set()}


def test_all_faults_are_told_at_once() -> None:
    class Wrong(Rand, UnannotatedClass):
        def stages(self, facts: Facts) -> Sequence[Stage]:
            (stage,) = super().stages(facts)
            return [replace(stage, fresh=("nobody",))]

    with pytest.raises(MethodFault) as caught:
        check_method(Wrong, learns=False)
    lines = str(caught.value).splitlines()
    assert lines[0] == "Wrong fails:"
    named = [line.split(":")[0] for line in lines[1:]]
    assert {"declaration", "partly_annotated", "purity"} <= set(named)
    assert "terms" not in named
    assert isinstance(caught.value.__cause__, MethodFault)


class UnseededLayer(Plain):
    """A head of its own, drawn anew each time it is built, decides every term."""

    def __init__(self, facts: Facts, settings: PlainSettings) -> None:
        super().__init__(facts, settings)
        self.own = nn.Linear(1, 1)

    def step(self, batch: Batch, at: At) -> dict[str, Term]:
        factor = self.own(torch.ones(1)).exp().sum()
        return {
            name: Term(term.value * factor, term.weight) for name, term in super().step(batch, at).items()
        }


IMPURE = [UnseededLayer, *(method for check, method, _ in FAULTS if check is check_purity)]


@pytest.mark.parametrize("method", IMPURE)
def test_what_follows_from_an_impure_method_is_not_told_as_its_faults(method: type[Method]) -> None:
    with pytest.raises(MethodFault) as caught:
        check_method(method, learns=False)
    first, *rest = str(caught.value).splitlines()[1:]
    assert first.startswith("purity: ")
    assert "not run" not in first
    assert rest == [
        f"{name}: not run, follows from purity"
        for name in ("switches", "partly_annotated", "valid", "resume")
    ]


def test_causes_stand_before_what_follows_from_them() -> None:
    order = list(CHECKS)
    assert all(order.index(cause) < order.index(name) for name, causes in FOLLOWS.items() for cause in causes)


def test_an_error_of_the_method_is_told_with_its_check() -> None:
    class Breaks(Plain):
        def agreement(self, x_u: Tensor, key: BatchKey) -> Tensor:
            raise KeyError("weak")

    with pytest.raises(MethodFault, match=r"terms: the method raised KeyError: 'weak'") as caught:
        check_method(Breaks, learns=False)
    assert isinstance(caught.value.__cause__, KeyError)


def test_settings_of_the_caller_are_used() -> None:
    check_terms(Detached, {"consistency": 0.0})
    with pytest.raises(MethodFault):
        check_terms(Detached, {"consistency": 1.0})
