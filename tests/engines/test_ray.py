"""A real cluster of two nodes on this machine, one of which is killed at work. Needs ``semivox[ray]``."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

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
    whats = ["add", "fail", "wait", "wait", "add", "environment"]
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
    assert outcomes[5].result[3] == str(tmp_path)  # relative paths mean the same there
    tries = [(tmp_path / f"tried-{n}").stat().st_size for n in range(6)]
    assert tries in ([1, 1, 2, 1, 1, 1], [1, 1, 1, 2, 1, 1])


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
    with pytest.raises(SettingsError, match=r"does not start .* timed out during startup\. Remedy: "):
        engine_on("ray", Needs(), print, tmp_path)
