"""The twins that the benchmark of a training step is measured against compute what semivox computes: the same
loss terms, gradients and running statistics from the same weights, noise and dropout masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from literal.training import AS_PUBLISHED, TWINS
from literal.vnet import without_cancelled_biases
from semivox.batches import Crops, boxes
from semivox.losses import clipped_noise
from semivox.methods.catalog import load_method
from semivox.methods.declare import At, Facts, Method
from semivox.networks.blocks import channel_mask
from semivox.prepare.architecture import choose_network
from semivox.randomness import BatchKey, Key
from semivox.testing.synthetic import tiny_plan

PATCH, WIDTH, CLASSES, PROGRESS = (32, 32, 16), 4, 3, 0.7
STUDENT_DRAWS = {"simcvd": ["student", "student/noisy"]}
TEACHER_DRAWS = {
    "ua_mt": ["target", *(f"pass {i}" for i in range(8))],
    "simcvd": ["teacher", "teacher/noisy"],
    "bcp": [],
}
NOISE_DRAWS = {"ua_mt": TEACHER_DRAWS["ua_mt"], "simcvd": ["student", "teacher"]}


class Handed(nn.Module):
    """Dropout with masks that are handed to it, one a forward pass."""

    def __init__(self, keys: list[BatchKey], place: str) -> None:
        super().__init__()
        self.keys, self.place = iter(keys), place

    def forward(self, x: Tensor) -> Tensor:
        mask = channel_mask(next(self.keys), self.place, 0.5, (x.shape[0], x.shape[1]), 3)
        assert mask is not None
        return x * mask.to(x)


def method_and_place(name: str) -> tuple[Method, Facts, At, int]:
    """The method in float64, its teacher a little apart from its student, and a step late in the run."""
    plan = replace(tiny_plan(3, CLASSES, 2, patch=PATCH), network=choose_network(PATCH, (1.0,) * 3, "vnet"))
    plan = replace(plan, network=replace(plan.network, features=tuple(WIDTH * 2**i for i in range(5))))
    facts = Facts(plan, 100, 2, 2, Key(0))
    kind = load_method(name)
    method: Method = kind(facts, kind.Settings(**AS_PUBLISHED.get(name, {}))).double()
    for role, network in method.named_children():
        for place, tensor in network.state_dict().items():
            noise = torch.randn(tensor.shape, generator=(Key("apart") / role / place).torch())
            tensor.mul_(1 + 0.05 * noise)
    index = len(method.stages(facts)) - 1
    return method, facts, At(method.stages(facts)[index].name, 70, PROGRESS, PROGRESS, Key(0)), index


def batch_of(method: Method, facts: Facts, index: int) -> dict[str, Crops]:
    """Crops in float64: class k is where the k-th coordinate is large, brighter than the rest."""
    made = {}
    for name, stream in method.stages(facts)[index].streams.items():
        draw, n = (Key("batch") / name).torch(), stream.size
        axes = torch.meshgrid(*(torch.linspace(-1, 1, s, dtype=torch.float64) for s in PATCH), indexing="ij")
        shifts = torch.rand(n, CLASSES - 1, generator=draw, dtype=torch.float64) - 0.3
        inside = torch.stack([axes[k] > shifts[:, k, None, None, None] for k in range(CLASSES - 1)], 1)
        inside[:, 1] &= ~inside[:, 0]
        target = inside.double()
        x = torch.randn(n, 2, *PATCH, generator=draw, dtype=torch.float64)
        x = x + target.sum(1, keepdim=True) + 2 * target[:, 1:]
        made[name] = Crops(
            views={"weak": x},
            target=target if stream.target else None,
            valid=torch.ones(n, 1, *PATCH, dtype=torch.float64),
            annotated=torch.ones(n, CLASSES - 1, dtype=torch.float64),
            sdm=(1 - 2 * target) * axes[2].abs() if stream.sdm else None,
            case=torch.arange(n),
            box=torch.zeros(n, 3, 2),
        )
    return made


def twin_batch(batch: Mapping[str, Crops]) -> dict[str, Tensor]:
    labeled, unlabeled = batch["labeled"], batch["unlabeled"]
    assert labeled.target is not None
    label = (labeled.target * torch.arange(1, CLASSES).reshape(-1, 1, 1, 1)).sum(1).long()
    image = torch.cat([labeled.views["weak"], unlabeled.views["weak"]])
    made = {"image": image, "label": label}
    return made if labeled.sdm is None else {**made, "sdm": labeled.sdm}


def hand_over(method: nn.Module, twin: nn.Module) -> None:
    """The method's weights and statistics to the twin, whose modules stand in the same order; biases that a
    normalisation cancels stay what they are."""
    for role, ours in method.named_children():
        theirs = getattr(twin, role)
        for mine, its in zip(ours.parameters(), without_cancelled_biases(theirs), strict=True):
            assert mine.shape == its.shape
            its.data.copy_(mine.data)
        for mine, its in zip(ours.buffers(), statistics(theirs), strict=True):
            its.copy_(mine)
    if "bcp" in type(twin).__module__:
        for parameter in set(twin.teacher.parameters()) - set(without_cancelled_biases(twin.teacher)):
            parameter.data.zero_()  # its stored statistics cancel no bias that they have not seen


def statistics(module: nn.Module) -> Iterator[Tensor]:
    return (buffer for buffer in module.buffers() if buffer.is_floating_point())


def variances(module: nn.Module) -> list[Tensor]:
    return [buffer for name, buffer in module.named_buffers() if name.endswith("running_var")]


def twin_of(name: str, method: Any, at: At) -> Any:
    twin = TWINS[name](2, CLASSES, WIDTH).double()
    hand_over(method, twin)
    for network, draws in ((twin.student, STUDENT_DRAWS), (twin.teacher, TEACHER_DRAWS)):
        role = "student" if network is twin.student else "teacher"
        keys = [at.rng(f"dropout/{draw}") for draw in draws.get(name, [role])]
        if keys:
            network.bottleneck_dropout = Handed(keys, "bottleneck")
            network.output_dropout = Handed(keys, "output")
    noise = iter(at.rng(f"noise/{draw}") for draw in NOISE_DRAWS.get(name, ["teacher"]))
    twin.noise = lambda x: clipped_noise(next(noise), x)
    if name == "bcp":
        twin.mask = lambda x: 1 - boxes(x, at.rng("box"), method.settings.box)[:, 0]
    return twin


@pytest.mark.parametrize("name", sorted(TWINS))
def test_terms_gradients_and_statistics_are_those_of_the_twin(name: str) -> None:
    method, facts, at, index = method_and_place(name)
    batch, twin = batch_of(method, facts, index), twin_of(name, method, at)
    for pair in method.stages(facts)[index].pairs:
        getattr(method, pair.teacher).requires_grad_(False)

    ours = method.step(batch, at)
    theirs = twin.losses(twin_batch(batch), PROGRESS)
    assert set(ours) == set(theirs)
    for term, (weight, value) in theirs.items():
        assert ours[term].weight == pytest.approx(weight, rel=1e-12), term
        assert float(ours[term].value.detach()) == pytest.approx(float(value.detach()), rel=1e-9), term
        assert float(value.detach()) != 0, term

    learning = [name for name, module in method.named_children() if "teacher" not in name]
    for term, (_, value) in theirs.items():  # each alone: a wrong small one would hide behind a large one
        for role in learning:
            mine = list(getattr(method, role).parameters())
            its = without_cancelled_biases(getattr(twin, role))
            grads = torch.autograd.grad(ours[term].value, mine, retain_graph=True, allow_unused=True)
            expected = torch.autograd.grad(value, its, retain_graph=True, allow_unused=True)
            largest = max((float(g.abs().max()) for g in expected if g is not None), default=0.0)
            for a, b in zip(grads, expected, strict=True):
                assert (a is None) == (b is None), term
                if a is not None:
                    torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9 * largest, msg=f"{term} in {role}")
    for mine, its in zip(method.teacher.buffers(), statistics(twin.teacher), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-9, atol=1e-12)
    for mine, its in zip(variances(method.student), variances(twin.student), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-9, atol=1e-12)  # the means hold a bias of the twin's
