"""Two real processes on loopback take the steps of one: every method, the bank, signals, faults, torchrun."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from semivox.batches import Crops
from semivox.commands.train import train
from semivox.errors import BUG, DataError, SettingsError, Stopped, TrainingFailed
from semivox.files import write_json
from semivox.methods.catalog import CATALOG, load_method
from semivox.networks.shard import Shard
from semivox.testing.synthetic import tiny
from semivox.training.checkpoints import load as load_checkpoint
from semivox.training.display import Silent
from semivox.training.journal import read_journal
from semivox.training.options import as_json
from semivox.training.processes import ALONE, LAUNCHER, gathered, partial_parameters, together

Folders = tuple[Path, Path]
SCRIPT = Path(__file__).with_name("process_jobs.py")
CASES = [*CATALOG, "uneven", "nothing", "mcnet", "warm_up"]


def jobs_of(script: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[script.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    """What became of each job: in the first and second of two processes, and in one alone."""
    folder, alone = tmp_path_factory.mktemp("pair"), tmp_path_factory.mktemp("alone")
    pair = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(folder), str(rank), "2"], stderr=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    one = jobs_of(SCRIPT).all_jobs(ALONE, alone)
    torch.set_num_threads(threads)
    for process in pair:
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said
    return [*(torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)), one]


@pytest.mark.parametrize("job", CASES)
def test_two_processes_take_the_steps_of_one(job: str, states: list[dict[str, dict[str, Tensor]]]) -> None:
    first, second, one = (state[job] for state in states)
    assert set(states[0]) == set(CASES)
    assert first.keys() == second.keys() == one.keys()
    for name, value in one.items():
        assert torch.equal(first[name], second[name]), name  # to the bit, so that they never part
        torch.testing.assert_close(first[name], value, rtol=0, atol=1e-8, msg=name)


def weights(run: Path) -> dict[str, Tensor]:
    return load_file(run / "model.safetensors")


def gap(a: Path, b: Path) -> float:
    one, two = weights(a), weights(b)
    assert one.keys() == two.keys()
    return max(float((one[name] - two[name]).abs().max()) for name in one)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def command(data: Path, out: Path, cache: Path, small: dict[str, Any], *more: str) -> list[str]:
    sets = [text for key, value in small.items() for text in ("--set", f"{key}={value}")]
    return ["semivox", "train", str(data), "--out", str(out), "--cache", str(cache), *sets, *more]


def test_the_command_line_on_two_devices_yields_the_weights_of_one(
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "one"
    train(phantoms[0], alone, method="mean_teacher", steps=4, settings=small, cache=cache)
    more = ("--method", "mean_teacher", "--steps", "4", "--devices", "2")
    two = command(phantoms[0], tmp_path / "two", cache, small, *more)
    done = subprocess.run([sys.executable, "-m", *two], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 processes share each batch of 2 crops" in done.stderr
    assert done.stderr.count("done: 4 steps") == 1  # one of them talks
    assert gap(tmp_path / "two", alone) < 1e-3
    records = [r for r in read_journal(tmp_path / "two/metrics.jsonl") if r["kind"] == "step"]
    assert [r["step"] for r in records] == [0, 1, 2, 3]
    assert json.loads((tmp_path / "two/environment.json").read_text())["processes"] == 2
    assert yaml.safe_load((tmp_path / "two/config.yaml").read_text())["run"]["devices"] == 2
    files = {path.name for path in alone.iterdir()}
    assert {path.name for path in (tmp_path / "two").iterdir()} == files


class Tell(Silent):
    """A display that notes what is said, and calls ``act`` once ``step`` steps are done."""

    def __init__(self, step: int = 0, act: Any = None) -> None:
        self.at, self.act, self.said = step, act, list[str]()

    def say(self, text: str) -> None:
        self.said.append(text)

    def step(self, step: int, steps: int, record: dict[str, Any]) -> None:
        if step == self.at:
            self.act()


def children(of: int | None = None) -> dict[str, psutil.Process]:
    """The processes of a run that this one, or another, has started: rank -> process."""
    found = (p for p in psutil.Process(of).children() if "semivox.runs.process" in p.cmdline())
    return {p.environ()["RANK"]: p for p in found}


@pytest.fixture(scope="module")
def whole(
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any]]:
    """A run of atso in one process, and its options."""
    # a small learning rate: at the usual one float32's rounding changes pseudo-labels of an untrained network
    settings = {**small, "run.sweeps": 1, "optimizer.lr": 1e-3}
    options = {"method": "atso", "steps": 24, "settings": settings, "cache": cache}
    run = tmp_path_factory.mktemp("whole") / "run"
    train(phantoms[0], run, **options)
    return run, options


@pytest.mark.parametrize("who", ["asked", "second"])
def test_a_signal_to_any_process_stops_all_and_another_number_goes_on(
    who: str, whole: tuple[Path, dict[str, Any]], phantoms: Folders, tmp_path: Path
) -> None:
    """The labels that two processes dealt out among themselves are those that one goes on with."""
    alone, options = whole
    parts = tmp_path / "parts"

    def act() -> None:
        if who == "asked":
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            children()["1"].send_signal(signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped, match=r"after step \d+ of 24; everything is saved.*--resume") as stopped:
        train(phantoms[0], parts, devices=2, display=Tell(16, act), **options)
    assert not children()
    assert signal.getsignal(signal.SIGTERM) is before
    status = json.loads((parts / "status.json").read_text())
    assert status["state"] == "stopped"
    assert f"after step {status['step']} " in str(stopped.value)
    state, _ = load_checkpoint(parts / "checkpoints")
    assert state is not None
    assert 16 <= state["step"] == status["step"] < 24
    assert list(parts.rglob("target.npy"))

    told = Tell()
    train(phantoms[0], parts, resume=True, devices=1, display=told, cache=options["cache"])
    names = [sorted(p.relative_to(run) for p in run.rglob("*.npy")) for run in (alone, parts)]
    assert names[0] == names[1]
    assert any("not bit for bit" in line and "processes: 2 -> 1" in line for line in told.said)
    assert gap(alone, parts) < 1e-4


OFTEN = {"run.checkpoint_seconds": 0}


def assert_it_can_go_on(run: Path) -> None:
    state, reports = load_checkpoint(run / "checkpoints")
    assert state is not None
    assert state["step"] >= 2
    assert reports == []
    assert not list(run.glob(".writing-*"))
    assert not torch.distributed.is_initialized()
    assert not children()


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_process_that_is_killed_ends_the_run_at_once(
    rank: str, phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    began: list[float] = []

    def act() -> None:
        children()[rank].kill()
        began.append(time.monotonic())

    which = rf"process {int(rank) + 1} of 2 was killed; found SIGKILL.*--resume"
    with pytest.raises(TrainingFailed, match=which):
        train(
            phantoms[0], tmp_path / "run", steps=500, devices=2, settings={**small, **OFTEN}, cache=cache,
            display=Tell(3, act),
        )  # fmt: skip
    assert time.monotonic() - began[0] < 30
    assert_it_can_go_on(tmp_path / "run")
    if rank == "1":
        assert json.loads((tmp_path / "run/status.json").read_text())["state"] == "failed"


STUCK = """
import os, signal, time
from semivox.methods.supervised import Supervised

class Stuck(Supervised):
    def step(self, batch, at):
        if at.step == 2 and os.environ.get("RANK") == "{rank}":
            os.kill(os.getpid(), signal.SIGKILL)
        if at.step == 2:
            time.sleep(600)  # as in a collective of GPUs: no signal ends it
        return super().step(batch, at)
"""


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_waits_for_a_lost_one_is_ended(
    rank: int,
    phantoms: Folders,
    small: dict[str, Any],
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torch.distributed.elastic.multiprocessing.api import SubprocessContext

    close = SubprocessContext._close

    def sooner(self: SubprocessContext, death_sig: signal.Signals, timeout: int = 30) -> None:
        close(self, death_sig, 2 if timeout == 30 else timeout)  # torch's own: half a minute

    monkeypatch.setattr(SubprocessContext, "_close", sooner)
    (tmp_path / "mine.py").write_text(STUCK.format(rank=rank))
    method, run = f"{tmp_path}/mine.py:Stuck", tmp_path / "run"
    settings = {**small, **OFTEN}
    began = time.monotonic()
    with pytest.raises(TrainingFailed, match=rf"process {rank + 1} of 2 was killed; found SIGKILL"):
        train(phantoms[0], run, method=method, steps=500, devices=2, settings=settings, cache=cache)
    assert time.monotonic() - began < 60
    assert_it_can_go_on(run)


def test_processes_save_and_end_when_the_one_that_was_asked_is_killed(
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    words = command(phantoms[0], run, cache, small, "--steps", "5000", "--devices", "2")
    asked = subprocess.Popen([sys.executable, "-m", *words], stderr=subprocess.DEVNULL)
    journal = run / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (journal.is_file() and len(journal.read_text().splitlines()) > 2):
        assert asked.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    others = children(asked.pid)
    assert sorted(others) == ["0", "1"]
    asked.kill()
    asked.wait()
    gone, alive = psutil.wait_procs(list(others.values()), timeout=50)
    assert not alive
    assert len(gone) == 2
    assert json.loads((run / "status.json").read_text())["state"] == "stopped"
    state, _ = load_checkpoint(run / "checkpoints")
    assert state is not None
    assert state["step"] >= 2


def test_what_a_display_raises_ends_the_run(
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    def act() -> None:
        raise ValueError("a display of the user's own")

    with pytest.raises(ValueError, match="of the user's own"):
        train(
            phantoms[0], tmp_path / "run", steps=500, devices=2, settings=small, cache=cache,
            display=Tell(3, act),
        )  # fmt: skip
    assert_it_can_go_on(tmp_path / "run")


FAULTY = """
import os
from semivox.errors import DataError
from semivox.methods.supervised import Supervised

class Faulty(Supervised):
    def step(self, batch, at):
        if at.step == 2 and os.environ.get("RANK") == "1":
            raise {error}
        return super().step(batch, at)
"""


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (
            "DataError('a fault of one', found='this')",
            DataError,
            r"a fault of one \(process 2 of 2\); found this",
        ),
        (
            "ValueError('a bug of one')",
            SettingsError,
            r"mine.py: the method failed \(process 2 of 2\); found line 9, in step: ValueError: a bug of one",
        ),
    ],
)
def test_the_fault_of_another_process_is_told_by_the_first(
    error: str,
    kind: type[Exception],
    said: str,
    phantoms: Folders,
    small: dict[str, Any],
    cache: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "mine.py").write_text(FAULTY.format(error=error))
    method = f"{tmp_path}/mine.py:Faulty"
    with pytest.raises(kind, match=said):
        train(phantoms[0], tmp_path / "run", method=method, steps=50, devices=2, settings=small, cache=cache)
    assert not torch.distributed.is_initialized()


def test_torchrun_on_two_machines(
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path
) -> None:
    """Two launchers of one process each, as on two machines."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1",
        "--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "-m",
    ]  # fmt: skip
    out = tmp_path / "run"
    more = ("--method", "pseudo_contrast", "--steps", "4", "--nodes", "2")
    settings = {**small, "run.sweeps": 1, "optimizer.lr": 1e-3}
    both = [
        subprocess.Popen(
            [*launcher, *command(phantoms[0], out, cache, settings, *more)],
            stderr=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("done: 4 steps" in text for text in said) == 1
    alone = tmp_path / "one"
    train(phantoms[0], alone, method="pseudo_contrast", steps=4, settings=settings, cache=cache)
    assert gap(out, alone) < 1e-4


def test_numbers_that_do_not_fit_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="torchrun --nnodes 3 --nproc-per-node 2"), together(2, 3):
        pass
    for name, value in zip(LAUNCHER, ("0", "4", "127.0.0.1", "1"), strict=True):
        monkeypatch.setenv(name, value)
    for devices, nodes in ((1, 1), (2, 1), (4, 2)):
        with pytest.raises(SettingsError, match="4 processes, and"), together(devices, nodes):
            pass
    monkeypatch.setenv("WORLD_SIZE", "1")  # what some clusters set everywhere
    with together(1, 1) as processes:
        assert processes == ALONE


def test_one_device_joins_no_group(
    phantoms: Folders, small: dict[str, Any], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object, **more: object) -> None:
        raise AssertionError("one process has nobody to talk to")

    for name in ("init_process_group", "TCPStore", "all_reduce", "all_gather_into_tensor"):
        monkeypatch.setattr(torch.distributed, name, refused)
    train(phantoms[0], tmp_path / "run", method="supervised", steps=2, settings=small, cache=cache)


def test_crops_arrive_bit_for_bit() -> None:
    draw = torch.Generator().manual_seed(0)

    def crops(rows: int, sdm: bool) -> Crops:
        x = torch.randn(rows, 2, 3, 5, generator=draw)
        return Crops(
            {"weak": x, "strong": x + 1}, x[:, :1], x[:, 1:], x[:, 0, 0, :2], x if sdm else None,
            torch.arange(rows), x[..., :2],
        )  # fmt: skip

    class Echo(Shard):
        def gather(self, own: Tensor, counts: tuple[int, ...]) -> Tensor:
            assert own.dtype == torch.uint8
            return torch.cat([own[: counts[0]], own[: counts[1]]])

    for sdm in (True, False):
        own = crops(3, sdm)
        whole = gathered(own, (3, 1), Echo(0, 2))
        assert list(whole.views) == ["weak", "strong"]
        assert (whole.sdm is None) == (not sdm)
        for name in ("target", "valid", "annotated", "case", "box"):
            given, arrived = getattr(own, name), getattr(whole, name)
            assert arrived.dtype == given.dtype
            assert torch.equal(arrived, torch.cat([given, given[:1]]))
        assert torch.equal(whole.views["strong"][3], own.views["strong"][0])


def test_gradients_of_networks_are_parts_and_those_of_heads_are_whole() -> None:
    method, _ = tiny(load_method("simcvd"))
    partial = partial_parameters(method)
    assert all(id(p) in partial for p in method.student.parameters())
    assert not any(id(p) in partial for p in method.projection.parameters())

    class Twice(Shard):
        def sum(self, x: Tensor) -> Tensor:
            return x.mul_(2)

    class Pair(type(ALONE)):  # type: ignore[misc]
        shard = Twice(0, 2)

    inside, outside = next(method.student.parameters()), next(method.projection.parameters())
    for parameter in (inside, outside):
        parameter.grad = torch.ones_like(parameter)
    Pair(0, 2).join_gradients([inside, outside], partial)
    assert bool((inside.grad == 2).all())
    assert bool((outside.grad == 1).all())


def test_what_the_other_processes_are_asked_for() -> None:
    asked = as_json({"data": Path("a"), "labeled": 8, "settings": {"k": (1, 2)}, "display": Tell()})
    assert asked == {"data": "a", "labeled": 8, "settings": {"k": (1, 2)}}


def test_a_request_imports_nothing_but_this_package(tmp_path: Path) -> None:
    (tmp_path / "strange.py").write_text("raise SystemExit('imported')")
    write_json(
        tmp_path / "request.json",
        {"parent": os.getpid(), "page": "strange:page", "asked": {}, "began": 0.0, "display": None},
    )
    done = subprocess.run([sys.executable, "-m", "semivox.runs.process", str(tmp_path)], cwd=tmp_path)
    assert done.returncode == BUG
    assert "no module of semivox" in (tmp_path / "outcome-0.json").read_text()
