"""Starting the processes of a run: on one machine by itself, on several with ``torchrun``.

The process that was asked is the first of the run. It starts the others as ``python -m MODULE``, which read
what they are to do as JSON from their standard input and, if they fail, write why to their standard output.
An input that ends before they are done means that the first process is gone, and they end too.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import torch

from semivox import errors
from semivox.errors import BUG, SemivoxError, SettingsError, TrainingFailed
from semivox.machine import cpus
from semivox.networks.shard import ProcessLost
from semivox.training.processes import ALONE, Processes, join, leave

LAUNCHER = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What a launcher such as torchrun puts into the environment of each process."""
LAST_WORDS = 10.0
"""Seconds that a process has to end by itself."""
SAID = 4000
"""Characters of what a failed process said that are handed on."""

_store: Any = None
"""Where this process meets the first one, if that started it."""


def rank_here() -> int:
    """This process's number, where a launcher gave it one; else 0."""
    return int(os.environ["RANK"]) if _launched() else 0


def _launched() -> bool:
    return all(name in os.environ for name in LAUNCHER) and int(os.environ["WORLD_SIZE"]) > 1


def as_json(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a function for :func:`together`'s ``request``; those that JSON cannot hold are left
    out, for they only show what happens."""
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in arguments.items()}
    kinds = Mapping, Sequence, str, int, float, bool, type(None)
    return {name: value for name, value in plain.items() if isinstance(value, kinds)}


LEAST_MOST = 8
"""So many processes a machine may have, whatever it is."""


@contextlib.contextmanager
def together(devices: int, nodes: int, module: str, request: Mapping[str, Any]) -> Iterator[Processes]:
    """The processes of a run: ``devices`` on each of ``nodes`` machines, joined until the block ends.

    ``module`` and ``request``: what the other processes on this machine run. Raises SettingsError where the
    numbers do not fit how this process was started; where another process failed, what that one raised.
    """
    if _launched():
        with _joined_by_launcher(devices * nodes) as processes:
            yield processes
    elif nodes > 1:
        raise SettingsError(
            "a run on several machines is started on each of them by torchrun",
            found=f"--nodes {nodes}, and no launcher",
            remedy=f"torchrun --nnodes {nodes} --nproc-per-node {devices} --rdzv-backend c10d "
            f"--rdzv-endpoint HOST:29500 -m semivox train ... --devices {devices} --nodes {nodes}",
        )
    elif devices == 1:
        yield ALONE
    else:
        with _joined_by_us(devices, module, request) as processes:
            yield processes


@contextlib.contextmanager
def _joined_by_launcher(asked: int) -> Iterator[Processes]:
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if asked != ranks:
        raise SettingsError(
            "the launcher started another number of processes",
            found=f"{ranks} processes, and {asked} by --devices x --nodes",
            remedy="give --devices what torchrun has as --nproc-per-node, and --nodes its --nnodes",
        )
    local = int(os.environ.get("LOCAL_RANK", rank)), int(os.environ.get("LOCAL_WORLD_SIZE", ranks))
    try:
        yield join(rank, ranks, *local, _store)
    finally:
        leave()


@contextlib.contextmanager
def _joined_by_us(ranks: int, module: str, request: Mapping[str, Any]) -> Iterator[Processes]:
    from torch import distributed

    if distributed.is_initialized():
        raise SettingsError(
            "this process already belongs to a group of torch.distributed",
            remedy="call semivox.train with devices=1, or from a process of its own",
        )
    most = max(LEAST_MOST, cpus(), torch.cuda.device_count())
    if ranks > most:
        raise SettingsError(
            "a run cannot have so many processes on this machine",
            found=f"--devices {ranks}",
            expected=f"1 to {most}",
            remedy="give --devices the number of GPUs, or leave it out",
        )
    store = distributed.TCPStore("127.0.0.1", 0, ranks, is_master=True, wait_for_workers=False)
    others: list[_Other] = []
    threads = torch.get_num_threads()
    try:
        with _loopback():
            others += [_Other(rank, ranks, store.port, module, request) for rank in range(1, ranks)]
            while not all(store.check([_ready(other.rank)]) for other in others):
                _raise_cause(others)
                time.sleep(0.02)
            processes = join(0, ranks, 0, ranks, store)
        yield processes
        for other in others:
            other.wait(LAST_WORDS)
    except ProcessLost:
        deadline = time.monotonic() + LAST_WORDS
        for other in others:
            other.wait(deadline - time.monotonic())
        _raise_cause(others)  # rather why it ended than that it did
        raise
    finally:
        for other in others:
            other.end()
        leave()
        torch.set_num_threads(threads)  # the cores are this process's again


def obey(function: Callable[..., object]) -> int:
    """What a process that :func:`together` started does: ``function(**request)``; returns its exit code."""
    global _store
    from torch import distributed

    request = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    rank, port = int(os.environ["RANK"]), int(os.environ["MASTER_PORT"])
    _store = distributed.TCPStore(os.environ["MASTER_ADDR"], port, is_master=False)
    _store.set(_ready(rank), "")
    try:
        function(**request)
    except SemivoxError as error:
        told = {name: getattr(error, name) for name in ("fault", "path", "found", "expected", "remedy")}
        told = {name: value if value is None else str(value) for name, value in told.items()}
        print(json.dumps({"kind": type(error).__name__, **told}), flush=True)
        return error.exit_code
    except KeyboardInterrupt:
        return 4
    except Exception:
        traceback.print_exc()
        return BUG
    return 0


def _end_with_the_first() -> None:
    # not through sys.stdin: a thread that holds its lock would abort the interpreter at its end
    while os.read(0, 1):
        pass
    os._exit(TrainingFailed.exit_code)


def _ready(rank: int) -> str:
    return f"semivox/ready/{rank}"


@contextlib.contextmanager
def _loopback() -> Iterator[None]:
    """Processes of one machine talk over its loopback, whatever becomes of its networks."""
    name = "GLOO_SOCKET_IFNAME"
    loopback = next((text for _, text in socket.if_nameindex() if text.startswith("lo")), None)
    if name in os.environ or loopback is None:
        yield
        return
    os.environ[name] = loopback
    try:
        yield
    finally:
        del os.environ[name]


class _Other:
    """Another process of the run, seen from the first."""

    def __init__(self, rank: int, ranks: int, port: int, module: str, request: Mapping[str, Any]) -> None:
        self.rank, self.ranks = rank, ranks
        self._told, self._said = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        environment = {
            "RANK": str(rank),
            "WORLD_SIZE": str(ranks),
            "LOCAL_RANK": str(rank),
            "LOCAL_WORLD_SIZE": str(ranks),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
            # a method may be a module that only this process's path leads to
            "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=self._told,
            stderr=self._said,
            env={**os.environ, **environment},
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: its fault will be found
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()

    def wait(self, seconds: float) -> None:
        """Until it has ended, but not longer."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0.0, seconds))

    def end(self) -> None:
        """It ends now, if it has not: the first process has written all there is to keep."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._told.close()
        self._said.close()

    def fault(self) -> Exception | None:
        """What made it end, if it has failed."""
        code = self._process.poll()
        if code is None or code == 0:
            return None
        which = f"process {self.rank + 1} of {self.ranks}"
        told, said = (_text(file).strip() for file in (self._told, self._said))
        with contextlib.suppress(ValueError):
            told = json.loads(told.splitlines()[-1] if told else "")
            kinds = {"ProcessLost": ProcessLost, **vars(errors)}
            kind = kinds.get(told.pop("kind"), TrainingFailed)
            if kind is ProcessLost:
                return ProcessLost(RuntimeError(told["found"]))
            return kind(f"{told.pop('fault')} ({which})", **told)
        if code < 0:
            return TrainingFailed(
                f"{which} was killed",
                found=signal.Signals(-code).name,
                remedy="if it was for memory: a smaller patch (--set plan.patch=[...]), or fewer --devices; "
                "--resume goes on from the last checkpoint",
            )
        return RuntimeError(f"{which} ended with code {code}: {said[-SAID:] or 'it said nothing'}")


def _raise_cause(others: Sequence[_Other]) -> None:
    """Raise why a process has failed: rather its own reason than that it lost another one."""
    faults = [fault for other in others if (fault := other.fault()) is not None]
    for fault in sorted(faults, key=lambda fault: isinstance(fault, ProcessLost)):
        raise fault


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
