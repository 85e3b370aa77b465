"""Compiled networks: the same numbers, statistics and gradients, one program a use, and nothing of it in the
weights. The programs are torch's graphs run one operation after the other (``aot_eager``): what torch's code
generator makes of them takes a minute a network."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch

from semivox.networks import Segmenter, build_network, compiled
from semivox.networks.compiled import compiler_fault, compiling, in_form
from semivox.networks.contract import NormMode
from semivox.prepare.plan import NetworkPlan
from semivox.randomness import BatchKey, Key

PLANS = {
    "vnet": NetworkPlan("vnet", (3, 4), ((3, 3, 3),) * 2, ((2, 2, 2),)),
    "unet": NetworkPlan("unet", (3, 4), ((3, 3),) * 2, ((2, 2),)),
}
plans = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")
    compiled._compiled.cache_clear()
    yield
    compiled._compiled.cache_clear()
    torch.compiler.reset()


def network(plan: NetworkPlan, name: str = "a") -> Segmenter:
    return build_network(plan, 1, 3, Key(0) / name, sdm=True, scales=True)


def images(plan: NetworkPlan) -> torch.Tensor:
    return torch.randn(2, 1, *(8,) * len(plan.kernels[0]), generator=Key("x").torch())


def step(net: Segmenter, x: torch.Tensor, norm: NormMode = "update") -> dict[str, torch.Tensor]:
    """Everything that a step makes of a network: outputs, gradients, statistics."""
    output = net(x, BatchKey(Key(1)), norm)
    assert output.sdm is not None
    maps = {"logits": output.logits, "sdm": output.sdm, "bottleneck": output.features["bottleneck_dropped"]}
    loss = sum((value.square().mean() for value in maps.values()), torch.zeros(()))
    names = [name for name, _ in net.named_parameters()]
    grads = torch.autograd.grad(loss, list(net.parameters()), allow_unused=True)
    made = {name: grad for name, grad in zip(names, grads, strict=True) if grad is not None}
    return {**maps, **made, **{name: buffer.clone() for name, buffer in net.named_buffers()}}


@plans
@pytest.mark.parametrize("norm", ["update", "batch", "running"])
def test_compiled_is_equal(plan: NetworkPlan, norm: NormMode) -> None:
    plain, fast, x = network(plan), network(plan), images(plan)
    with compiling(True):
        made = step(fast, x, norm)
    expected = step(plain, x, norm)
    assert made.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(made[name], value, rtol=1e-5, atol=1e-6, msg=name)
    with torch.no_grad(), compiling(True):
        torch.testing.assert_close(fast(x).logits, plain(x).logits, rtol=1e-5, atol=1e-6)


def test_one_program_serves_every_network_of_a_use_and_none_is_made_outside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> object:
        made.append(len(inputs))
        return graph.forward

    monkeypatch.setattr(compiled, "BACKEND", backend)
    plan = PLANS["unet"]
    x, student, teacher = images(plan), network(plan), network(plan, "b").requires_grad_(False)
    for one in (student, network(plan, "c")):
        with compiling(True):
            one(x, BatchKey(Key(1)), "update")
            one(x, BatchKey(Key(2)), "update")
    assert len(made) == 1
    with compiling(True), torch.no_grad():
        teacher(x, BatchKey(Key(1)), "batch")
        teacher(x, BatchKey(Key(2)), "batch")
    assert len(made) == 2
    student(x[..., :4], None, "running")
    with compiling(False):
        student(x[..., :4], None, "running")
    assert len(made) == 2


@plans
def test_weights_names_and_copies_are_as_before(plan: NetworkPlan) -> None:
    net, x = network(plan), images(plan)
    names = list(net.state_dict())
    with compiling(True):
        net(x)
    assert list(net.state_dict()) == names
    twin = copy.deepcopy(net)
    assert torch.equal(twin(x, norm="batch").logits, net(x, norm="batch").logits)


def test_two_backward_passes_through_one_graph() -> None:
    net, x = network(PLANS["unet"]), images(PLANS["unet"])
    with compiling(True):
        logits = net(x).logits
        first = torch.autograd.grad(logits.square().mean(), net.head.weight, retain_graph=True)[0]
        second = torch.autograd.grad(logits.square().mean(), net.head.weight)[0]
    assert torch.equal(first, second)


def test_inside_and_outside() -> None:
    def double(x: torch.Tensor) -> torch.Tensor:
        return 2 * x

    assert in_form(double) is double
    with compiling(True):
        inside = in_form(double)
        with compiling(False):
            assert in_form(double) is inside  # of two, the outer one has said it
    assert inside is not double
    assert in_form(double) is double


def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import cpp_builder

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", lambda: "g++")
    assert compiler_fault() is None

    def none() -> str:
        raise RuntimeError("no compiler\nsecond line")

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    assert compiler_fault() == "no compiler"
