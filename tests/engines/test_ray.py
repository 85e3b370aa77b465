"""A real cluster of two nodes on this machine, one of which is killed at work. Needs ``semivox[ray]``."""

from __future__ import annotations

import importlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

import semivox
from semivox.engines import Needs, Task, done_on, engine_on, on_ray
from semivox.engines.task import from_plain
from semivox.errors import DataError, SettingsError

ray = pytest.importorskip("ray", reason="semivox[ray] is not installed")

KIND = "of_tests"
HERE = str(Path(__file__).parent)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))  # Ray keeps a token there
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        memory = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, **memory})
        yield made
        made.shutdown()


def do_text(told: str) -> str:
    """As of the engine, with the kind of the tests."""
    sys.path.insert(0, HERE)
    from semivox.engines import on_ray, task

    task.KINDS = {**task.KINDS, KIND: "of_tests:do_as_told"}
    return on_ray._do_text(told)


def until(holds: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_killed_node_loses_no_task(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_ray, "_do_text", do_text)
    second = cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    cluster.wait_for_nodes()
    from of_tests import arrived  # not above: Ray's processes import this file, and have no path to that one

    whats = ["add", "fail", "wait", "wait", "add", "environment", "refuse"]
    given = [{"folder": str(tmp_path), "number": n, "what": what} for n, what in enumerate(whats)]

    def kill_a_node_at_work() -> None:
        begun = [tmp_path / f"begun-{n}" for n in (2, 3)]
        until(lambda: all(path.exists() and path.read_text() for path in begun))
        pids = [int(path.read_text()) for path in begun]
        cluster.remove_node(second, allow_graceful=False)
        until(lambda: any(gone(pid) for pid in pids))  # its worker sees that the node is gone, and ends
        (tmp_path / "go").touch()

    before = signal.getsignal(signal.SIGTERM)
    with (
        engine_on(f"ray:{cluster.address}", Needs(), print, tmp_path) as engine,
        ThreadPoolExecutor(1) as other,
    ):
        assert engine.places == 2
        assert signal.getsignal(signal.SIGTERM) is before
        monkeypatch.chdir(tmp_path)  # not before: Ray's processes find the tests where they began
        killed = other.submit(kill_a_node_at_work)
        outcomes = {o.task: o for o in done_on(engine, (Task(n, KIND, each) for n, each in enumerate(given)))}
        killed.result()
    assert [outcomes[n].result for n in (0, 2, 3, 4)] == [1, 3, 4, 5]
    failure = outcomes[1].failure
    assert failure is not None
    assert "ValueError: task 1 is wrong" in str(failure.error)
    assert outcomes[5].result[:2] == [1, "1"]
    refused = outcomes[6].failure
    assert refused is not None
    assert arrived(refused.error)
    assert outcomes[5].result[3] == str(tmp_path)  # relative paths mean the same there
    tries = [(tmp_path / f"tried-{n}").stat().st_size for n in range(7)]
    assert tries in ([1, 1, 2, 1, 1, 1, 1], [1, 1, 1, 2, 1, 1, 1])


def test_a_machine_that_lacks_what_tasks_need_is_told(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one without semivox: a module that this process alone finds."""
    (tmp_path / "of_the_driver.py").write_text("def do(told):\n    return told\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(on_ray, "_do_text", importlib.import_module("of_the_driver").do)
    with engine_on(f"ray:{cluster.address}", Needs(), print, tmp_path) as engine:
        (outcome,) = done_on(engine, iter([Task(0, KIND, {}, "case01")]))
    failure = outcome.failure
    assert failure is not None
    assert str(failure.error) == (
        "a machine of the Ray cluster cannot do tasks of semivox; found ModuleNotFoundError: No module named "
        "'of_the_driver' (case01). Remedy: install the same semivox and extras on every machine of the "
        "cluster, and give the same command again"
    )


def test_predict_loses_no_scan_with_a_node(
    cluster: Any, flat_phantoms: tuple[Path, Path], tmp_path: Path
) -> None:
    """Masks are those of one process."""
    settings = {"plan.patch": [32, 32], "plan.batch": [1, 1], "run.precision": "fp32", "run.threads": 1}
    semivox.train(flat_phantoms[0], tmp_path / "run", method="supervised", steps=2, settings=settings)
    scan = next((flat_phantoms[1] / "imagesTr").iterdir())
    (tmp_path / "scans").mkdir()
    for i in range(12):
        shutil.copy(scan, tmp_path / f"scans/case{i:02}_0000{''.join(scan.suffixes)}")
    second = cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    cluster.wait_for_nodes()
    done: list[int] = []

    def progress(*so_far: Any) -> None:
        done.append(1)
        if len(done) == 3:
            cluster.remove_node(second, allow_graceful=False)

    address = f"ray:{cluster.address}"
    there = semivox.predict(
        tmp_path / "run", tmp_path / "scans", tmp_path / "there", threads=1, on=address, progress=progress
    )
    here = semivox.predict(tmp_path / "run", tmp_path / "scans", tmp_path / "here", threads=1)
    assert not there.failed
    assert not here.failed
    assert sorted(row.case for row in there.rows) == [row.case for row in here.rows]
    assert len(here.rows) == 12
    for row in here.rows:
        assert (tmp_path / "there" / row.mask).read_bytes() == (tmp_path / "here" / row.mask).read_bytes()


def test_a_folder_that_another_machine_does_not_see_is_told(tmp_path: Path) -> None:
    asked = {"folder": str(tmp_path / "gone"), "task": vars(Task(4, KIND, {}))}
    failure = from_plain(json.loads(on_ray._do_text(json.dumps(asked)))).failure
    assert failure is not None
    assert isinstance(failure.error, DataError)
    assert "not seen on every machine" in str(failure.error)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere", "127.0.0.1:x", ":6379", "127.0.0.1:70000"])
def test_an_address_without_a_cluster_is_told_at_once(address: str, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(SettingsError, match=f"no Ray cluster answers; found --on ray:{address}: "):
        engine_on(f"ray:{address}", Needs(), print, tmp_path)
    assert time.monotonic() - began < 15


@pytest.mark.parametrize("kind", [Exception, RuntimeError, ConnectionError, TimeoutError])
def test_a_ray_that_does_not_start_is_no_bug(
    kind: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(**given: Any) -> None:
        raise kind("The current node timed out during startup.\nThis could happen because ...")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", late)
    with pytest.raises(
        SettingsError, match=r"does not start .* timed out during startup\. \(1 tries, 0 s\)\. Remedy: "
    ):
        engine_on("ray", Needs(), print, tmp_path)


def test_a_busy_machine_is_given_time_to_start_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a try has left at work is ended before the next, and nothing else."""
    monkeypatch.setattr(on_ray, "ANSWER_SECONDS", 0.0)
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    left: list[subprocess.Popen[bytes]] = []
    ours = subprocess.Popen(sleeper)

    class Late:
        @staticmethod
        def init(**given: Any) -> None:
            late = subprocess.Popen([*sleeper, "/ray/raylet"])
            while not psutil.Process(late.pid).cmdline():  # a new program has none for a moment
                time.sleep(0.001)
            left.append(late)
            if len(left) < 3:
                raise Exception("The current node timed out during startup.")

    try:
        on_ray._started(Late, None)
        assert [process.wait(20) for process in left[:2]] == [-signal.SIGKILL, -signal.SIGKILL]
        assert left[2].poll() is None
    finally:
        for process in (ours, *left):
            process.kill()
            process.wait()


def test_tasks_that_no_machine_is_large_enough_for_are_told() -> None:
    class Small:
        @staticmethod
        def nodes() -> list[dict[str, Any]]:
            return [
                {"Alive": True, "Resources": {"CPU": 2.0}},
                {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
            ]

    said: list[str] = []
    on_ray._tell_of_no_place(Small, 2, 0, said.append)
    assert said == []
    on_ray._tell_of_no_place(Small, 3, 0, said.append)
    on_ray._tell_of_no_place(Small, 1, 1, said.append)
    assert ["3 cores" in said[0], "1 cores and 1 GPUs" in said[1]] == [True, True]
