"""The processes that train one run together, and what they tell each other. One process is the ordinary case.

All of them run the same code in the same order and hold the same weights; see :mod:`semivox.networks.shard`.
The first one alone writes, shows and decides; what it decides goes by :meth:`Processes.agree`.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from semivox.batches import Crops, Stream
from semivox.batches.stream import rows_of
from semivox.devices import choose_device
from semivox.errors import SettingsError
from semivox.machine import cpus
from semivox.networks import Segmenter
from semivox.networks.shard import Shard, lost_processes

T = TypeVar("T")

LAUNCHER = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher such as torchrun puts into the environment of each process."""
OURS = "semivox"
"""The name of a run of processes that :mod:`semivox.training.launch` has started."""
STEP_WAIT = timedelta(minutes=30)
"""How long a process waits for the others within a step before it gives up."""
LONG_WAIT = timedelta(days=7)
"""The same for what one process does while the others wait, such as preparing scans. A process that ends is
noticed at once in both cases; these are for one that stands still."""


def launched() -> bool:
    """Whether this is one of several processes of a launcher."""
    return all(name in os.environ for name in LAUNCHER) and int(os.environ["WORLD_SIZE"]) > 1


def rank_here() -> int:
    """This process's number, where a launcher gave it one; else 0."""
    return int(os.environ["RANK"]) if launched() else 0


def is_asked() -> bool:
    """Whether a person asked this process, or of torchrun's the first: it looks at the data and tells."""
    return rank_here() == 0 and not (launched() and os.environ.get("TORCHELASTIC_RUN_ID") == OURS)


@dataclass(frozen=True)
class Processes:
    """This process, ``rank`` of ``ranks``; ``local_rank`` of ``local_ranks`` on this machine.

    ``patient``: the group of torch.distributed for messages from host to host.
    """

    rank: int = 0
    ranks: int = 1
    local_rank: int = 0
    local_ranks: int = 1
    patient: Any = None

    @property
    def first(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    @property
    def shard(self) -> Shard | None:
        """For networks and the sampler; None for one process."""
        return Shard(self.rank, self.ranks) if self.ranks > 1 else None

    @property
    def place(self) -> tuple[int, int]:
        return self.rank, self.ranks

    @property
    def threads(self) -> int:
        """CPU threads of each, so that a machine's processes fill its cores."""
        return max(1, cpus() // self.local_ranks)

    def device(self, name: str) -> torch.device:
        """The device called ``name``: of several processes on GPUs, each has one of its own."""
        device = choose_device(name)
        if self.ranks == 1 or device.type != "cuda":
            return device
        if device.index is not None or torch.cuda.device_count() < self.local_ranks:
            raise SettingsError(
                "each process needs a GPU of its own",
                found=f"--device {name}, {self.local_ranks} processes, {torch.cuda.device_count()} GPUs here",
                remedy="at most as many --devices as there are GPUs and --device cuda (CUDA_VISIBLE_DEVICES "
                "chooses among them), or --device cpu",
            )
        torch.cuda.set_device(self.local_rank)
        return torch.device("cuda", self.local_rank)

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is true in any process."""
        if self.ranks == 1:
            return flag
        shard = Shard(self.rank, self.ranks, self.patient)
        return bool(shard.gather(torch.tensor([flag]), (1,) * self.ranks).any())

    def wait(self) -> None:
        """Until all have come here."""
        self.collect(None)

    def agree(self, value: T) -> T:
        """What the first process has as ``value``: plain numbers, text, lists, dicts."""
        return self.collect(value)[0]

    def collect(self, value: T) -> list[T]:
        """Of each process its ``value``, made of numbers, text, lists and dicts."""
        if self.ranks == 1:
            return [value]
        own = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        shard = Shard(self.rank, self.ranks, self.patient)
        one_each = (1,) * self.ranks
        sizes: list[int] = shard.gather(torch.tensor([[len(own)]]), one_each).flatten().tolist()
        padded = torch.zeros(1, max(sizes), dtype=torch.uint8)
        padded[0, : len(own)] = own
        rows = shard.gather(padded, one_each)
        return [json.loads(bytes(row[:n].tolist())) for row, n in zip(rows, sizes, strict=True)]

    def same(self, value: object, fault: str, remedy: str) -> None:
        """Raise SettingsError in all processes where ``value`` is not the same in all."""
        values = self.collect(value)
        if any(other != values[0] for other in values):
            found = ", ".join(f"{other} in process {rank}" for rank, other in enumerate(values))
            raise SettingsError(fault, found=found, remedy=remedy)

    def batch(
        self, own: Mapping[str, Crops], streams: Mapping[str, Stream], device: torch.device
    ) -> dict[str, Crops]:
        """The whole batch on ``device``, of which each process has made its rows (``own``)."""
        moved = {name: crops.to(device) for name, crops in own.items()}
        if self.shard is None:
            return moved
        whole = {}
        for name, crops in moved.items():
            counts = tuple(len(rows_of(streams[name], rank, self.ranks)) for rank in range(self.ranks))
            whole[name] = gathered(crops, counts, self.shard)
        return whole

    def join_gradients(self, parameters: Sequence[nn.Parameter], partial: Collection[int]) -> None:
        """Sum the gradients of which each process has a part (``partial``, see :func:`partial_parameters`);
        the mean of those that all have in full, so that rounding cannot lead the processes apart."""
        if self.shard is None:
            return
        found = [(p.grad, id(p) in partial) for p in parameters if p.grad is not None]
        for kind in {grad.dtype for grad, _ in found}:
            alike = [(grad, part) for grad, part in found if grad.dtype == kind]
            flat = torch.cat([(g if part else g / self.ranks).reshape(-1) for g, part in alike])
            summed = self.shard.sum(flat).split([grad.numel() for grad, _ in alike])
            for (grad, _), whole in zip(alike, summed, strict=True):
                grad.copy_(whole.reshape(grad.shape))


ALONE = Processes()


def partial_parameters(method: nn.Module) -> frozenset[int]:
    """The ``id`` of each parameter whose gradient is partial: those of networks that forward their rows."""
    networks = (m for m in method.modules() if isinstance(m, Segmenter))
    return frozenset(id(p) for network in networks for p in network.parameters())


def gathered(own: Crops, counts: tuple[int, ...], shard: Shard) -> Crops:
    """The crops of all processes, of which ``own`` are this one's and ``counts`` how many each has.

    Everything travels as bytes in one message, so that it arrives bit for bit.
    """
    fields = {name: getattr(own, name) for name in ("target", "valid", "annotated", "sdm", "case", "box")}
    tensors = {**{f"views/{n}": v for n, v in own.views.items()}, **fields}
    present = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    rows = [x.reshape(len(x), math.prod(x.shape[1:])).view(torch.uint8) for x in present.values()]
    parts = shard.gather(torch.cat(rows, 1), counts).split([row.shape[1] for row in rows], 1)
    whole: dict[str, Tensor] = {
        name: part.clone(memory_format=torch.contiguous_format).view(x.dtype).reshape(-1, *x.shape[1:])
        for (name, x), part in zip(present.items(), parts, strict=True)
    }
    views = {name: whole.pop(f"views/{name}") for name in own.views}
    joined = {name: whole.get(name) for name in fields}
    return Crops(views=views, regions=own.regions, **joined)  # type: ignore[arg-type]


def join(rank: int, ranks: int, local_rank: int, local_ranks: int, store: Any = None) -> Processes:
    """Meet the other processes, at ``store`` or where the environment says; blocks until all are there."""
    from torch import distributed

    gpus = torch.cuda.is_available() and distributed.is_nccl_available()
    with lost_processes():
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if gpus else "gloo",
            store=store,
            rank=rank,
            world_size=ranks,
            timeout=STEP_WAIT,
        )
        patient = distributed.new_group(backend="gloo", timeout=LONG_WAIT)
    return Processes(rank, ranks, local_rank, local_ranks, patient)


def leave() -> None:
    """Leave the group."""
    from torch import distributed

    if distributed.is_initialized():
        distributed.destroy_process_group()


@contextlib.contextmanager
def together(devices: int, nodes: int) -> Iterator[Processes]:
    """The processes that a launcher has started, ``devices`` on each of ``nodes`` machines, joined until the
    block ends; without a launcher this one alone. Raises SettingsError where the numbers do not fit."""
    if not launched() and nodes == 1:
        yield ALONE
        return
    if not launched():
        raise SettingsError(
            "a run on several machines is started on each of them by torchrun",
            found=f"--nodes {nodes}, and no launcher",
            remedy=f"torchrun --nnodes {nodes} --nproc-per-node {devices} --rdzv-backend c10d "
            f"--rdzv-endpoint HOST:29500 -m semivox train ... --devices {devices} --nodes {nodes}",
        )
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if devices * nodes != ranks:
        raise SettingsError(
            "the launcher started another number of processes",
            found=f"{ranks} processes, and {devices * nodes} by --devices x --nodes",
            remedy="give --devices what torchrun has as --nproc-per-node, and --nodes its --nnodes",
        )
    local = int(os.environ.get("LOCAL_RANK", rank)), int(os.environ.get("LOCAL_WORLD_SIZE", ranks))
    try:
        yield join(rank, ranks, *local)
    finally:
        leave()
