"""Networks that forward a part of the rows: gathering, statistics of all rows, and their gradients.

The processes are threads that hand each other tensors, so that any number of them is at hand in no time;
tests/training/test_processes.py has real ones.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from semivox.devices import share
from semivox.errors import ProcessLost, TrainingFailed
from semivox.networks import build_network
from semivox.networks.shard import Part, Shard, lost_processes, own_part, sharing
from semivox.networks.shared_norm import shared_batch_norm, statistics
from semivox.prepare.plan import NetworkPlan
from semivox.randomness import BatchKey, Key

PLAN = NetworkPlan("vnet", (2, 4), ((3, 3),) * 2, ((2, 2),))


@dataclass
class Table:
    """Where threads lay down tensors for each other."""

    ranks: int
    laid: dict[int, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.barrier = threading.Barrier(self.ranks, timeout=20)

    def pass_round(self, rank: int, x: Tensor) -> list[Tensor]:
        self.laid[rank] = x.detach().clone()
        self.barrier.wait()
        found = [self.laid[r] for r in range(self.ranks)]
        self.barrier.wait()
        return found


@dataclass(frozen=True)
class ThreadShard(Shard):
    def gather(self, x: Tensor, counts: tuple[int, ...]) -> Tensor:
        assert len(x) == counts[self.rank]
        return torch.cat(self.group.pass_round(self.rank, x))

    def sum(self, x: Tensor) -> Tensor:
        return x.copy_(torch.stack(self.group.pass_round(self.rank, x)).sum(0))


def in_threads(ranks: int, work: Callable[[Shard], object]) -> list[object]:
    table = Table(ranks)
    with ThreadPoolExecutor(ranks) as pool:
        return list(pool.map(lambda rank: work(ThreadShard(rank, ranks, table)), range(ranks)))


def draw(*shape: int, name: str = "x") -> Tensor:
    return torch.randn(*shape, generator=Key(name).torch(), dtype=torch.float64)


@pytest.mark.parametrize("total", range(8))
@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
def test_shares_are_a_partition_as_even_as_can_be(total: int, ranks: int) -> None:
    parts = [share(total, rank, ranks) for rank in range(ranks)]
    assert [i for part in parts for i in part] == list(range(total))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize(("rows", "ranks"), [(4, 2), (5, 2), (3, 3), (2, 3), (1, 2)])
def test_take_and_whole_are_the_identity_with_the_gradient_of_one_process(rows: int, ranks: int) -> None:
    x, weight = draw(rows, 3), draw(rows, 3, name="w")
    given = x.clone().requires_grad_()
    (given.square() * weight).sum().backward()

    def work(shard: Shard) -> Tensor:
        own = x.clone().requires_grad_()
        part = Part(rows, shard)
        taken = part.take(own)
        assert len(taken) == part.counts[shard.rank]
        whole = part.whole(taken.square())
        torch.testing.assert_close(whole, x.square(), rtol=0, atol=0)
        (whole * weight).sum().backward()
        assert own.grad is not None
        return own.grad

    for grad in in_threads(ranks, work):  # the gradient of all rows comes back to every process
        torch.testing.assert_close(grad, given.grad, rtol=0, atol=1e-15)


def test_one_process_does_nothing() -> None:
    x, key = draw(3, 2), BatchKey(Key(0), 2)
    part = own_part(3)
    assert part.take(x) is x
    assert part.whole(x) is x
    assert part.key(key) is key


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(("rows", "ranks"), [(4, 2), (5, 3), (1, 2)])
def test_statistics_and_gradients_of_the_normalisation_are_those_of_all_rows(
    rows: int, ranks: int, dims: int
) -> None:
    shape = (rows, 4, 6, 5, 3)[: dims + 2]
    x, weight, bias = 2 * draw(*shape) + 3, draw(4, name="weight"), draw(4, name="bias")
    towards = draw(*shape, name="towards")
    given = [t.clone().requires_grad_() for t in (x, weight, bias)]
    y = functional.batch_norm(given[0], None, None, given[1], given[2], True, 0.1, 1e-5)
    expected = torch.autograd.grad((y.sin() * towards).sum(), given)

    def work(shard: Shard) -> list[Tensor]:
        part = Part(rows, shard)
        rows_here = slice(part.rows.start, part.rows.stop)
        own = [t.clone().requires_grad_() for t in (x[rows_here], weight, bias)]
        z, mean, var = shared_batch_norm(*own, 1e-5, part)
        torch.testing.assert_close(z, y[rows_here])
        axes = (0, *range(2, x.dim()))
        torch.testing.assert_close(mean, x.mean(axes))
        torch.testing.assert_close(var, x.var(axes, correction=0))
        return [z.detach(), *torch.autograd.grad((z.sin() * towards[rows_here]).sum(), own)]

    done = in_threads(ranks, work)
    found = [torch.cat([each[1] for each in done]), *(sum(each[i] for each in done) for i in (2, 3))]
    for gradient, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-10, atol=1e-12)


def test_statistics_hold_far_from_zero_and_in_half_precision() -> None:
    x = (1e4 + draw(4, 3, 16, 16)).float()
    low = draw(4, 3, 16, 16).bfloat16()
    for values, tolerance in ((x, 1e-3), (low, 1e-5)):

        def work(shard: Shard, values: Tensor = values) -> tuple[Tensor, Tensor]:
            part = Part(4, shard)
            return statistics(values[part.rows.start : part.rows.stop], part)

        for mean, var in in_threads(2, work):
            assert mean.dtype == var.dtype == torch.float32
            exact = values.double()
            torch.testing.assert_close(mean.double(), exact.mean((0, 2, 3)), rtol=1e-6, atol=tolerance)
            torch.testing.assert_close(
                var.double(), exact.var((0, 2, 3), correction=0), rtol=tolerance, atol=0
            )


def test_without_sharing_a_network_sees_all_rows_even_after_an_error() -> None:
    network, x = build_network(PLAN, 1, 2, Key(0)), draw(4, 1, 8, 8).float()
    before = network(x, None, "batch").logits
    with pytest.raises(RuntimeError, match="in the step"), sharing(Shard(1, 2)):
        raise RuntimeError("in the step")
    assert torch.equal(network(x, None, "batch").logits, before)


@pytest.mark.parametrize("norm", ["update", "batch", "running"])
def test_a_network_forwards_its_rows_alone_with_the_masks_of_the_whole(norm: str) -> None:
    """The second of two processes, of which the first says nothing."""
    x, drop = draw(3, 1, 8, 8).float(), BatchKey(Key(5))
    whole = build_network(PLAN, 1, 2, Key(0), sdm=True).double()
    expected = whole(x.double(), drop, "running")

    class Half(Shard):
        def gather(self, own: Tensor, counts: tuple[int, ...]) -> Tensor:
            seen.append(tuple(own.shape))
            given.append(own)
            return own.new_zeros(sum(counts), *own.shape[1:])

    seen: list[tuple[int, ...]] = []
    given: list[Tensor] = []
    network = build_network(PLAN, 1, 2, Key(0), sdm=True).double()
    with sharing(Half(1, 2)):
        output = network(x.double(), drop, norm)
        assert output.logits.shape == expected.logits.shape
        n = len(seen)
        assert output.features["bottleneck"].shape[0] == 3  # gathered when it is asked for
        assert len(seen) == n + 1
        assert network.encode(x.double(), drop, norm)["bottleneck"].shape[0] == 3
    maps = [shape for shape in seen if len(shape) == 4]
    assert {shape[0] for shape in maps} == {1}  # of 3 rows the second process has one
    if norm == "running":  # then a row depends on no other
        assert expected.sdm is not None
        torch.testing.assert_close(given[0], expected.logits[2:])
        torch.testing.assert_close(given[1], expected.sdm[2:])
    statistics_shared = [shape for shape in seen if len(shape) == 2]
    assert bool(statistics_shared) == (norm != "running")


def test_what_torch_says_of_lost_processes() -> None:
    with pytest.raises(ProcessLost, match="Connection closed by peer.*--resume") as caught, lost_processes():
        raise RuntimeError("[/x/third_party/gloo/gloo/transport/tcp/pair.cc:5] Connection closed by peer")
    assert isinstance(caught.value, TrainingFailed)
    assert "third_party" not in str(caught.value)
    with pytest.raises(RuntimeError, match="a bug"), lost_processes():
        raise RuntimeError("a bug")
