"""A Ray cluster: a task is one of Ray's, wherever it has the cores for it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import signal
import socket
import threading
import time
from typing import Any

from semivox.engines.engine import TRIES
from semivox.engines.task import Needs, Outcome, Task, Tell, do, from_plain, to_plain
from semivox.errors import DataError, PartialFailure, SettingsError
from semivox.extras import package_of
from semivox.failure import failure_of
from semivox.machine import CPUS

ANSWER_SECONDS = 10.0
"""A cluster answers within these."""
START_SECONDS = 120.0
"""Ray gives itself half a minute to start on this machine, which a busy one may need longer for: while these
last it is tried again."""


class OnRay:
    """Ray starts a task anew whose worker or node died. Tasks and outcomes travel as text: of an error that
    Ray cannot build again it tells nothing but that."""

    def __init__(self, address: str | None, needs: Needs, tell: Tell) -> None:
        ray = package_of("ray", "ray", "--on ray")
        self._ray, self._ours = ray, not ray.is_initialized()
        if self._ours:
            _join(ray, address)
        threads = max(1, needs.cpus)
        self._function = ray.remote(
            num_cpus=threads,
            num_gpus=needs.gpus,
            max_retries=TRIES - 1,
            runtime_env={"env_vars": {CPUS: str(threads), "OMP_NUM_THREADS": str(threads)}},
        )(_do_text)
        self.places = max(1, int(ray.cluster_resources().get("CPU", 1)) // threads)
        _tell_of_no_place(ray, threads, needs.gpus, tell)
        self._out: dict[Any, Task] = {}
        self.bundle = 1

    def __enter__(self) -> OnRay:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def put(self, task: Task) -> None:
        self._out[self._function.remote(json.dumps({"folder": os.getcwd(), "task": vars(task)}))] = task

    def take(self) -> Outcome:
        while True:
            ready, _ = self._ray.wait(list(self._out), timeout=0.5)
            if ready:
                break
        task = self._out.pop(ready[0])
        errors = self._ray.exceptions
        try:
            return from_plain(json.loads(self._ray.get(ready[0])))
        except errors.RayTaskError as error:  # the task's own are in its outcome: it has not begun
            what, found = "a machine of the Ray cluster cannot do tasks of semivox", _lines(error)[-1]
            remedy = "install the same semivox and extras on every machine of the cluster"
        except errors.RayError as error:
            what, found = "Ray lost the task", f"{type(error).__name__}: {_lines(error)[0]}"
            remedy = "look at its nodes (`ray status`)"
        lost = PartialFailure(
            what,
            found=f"{found} ({task.name or task.kind})",
            remedy=f"{remedy}, and give the same command again",
        )
        return Outcome(task.number, failure=failure_of(lost))

    def close(self) -> None:
        for reference in self._out:
            self._ray.cancel(reference, force=False)
        self._out.clear()
        if self._ours:
            self._ray.shutdown()


def _lines(error: Exception) -> list[str]:
    """What Ray says, without its colours; at least one."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    return [line for line in plain.splitlines() if line.strip()] or [type(error).__name__]


def _do_text(told: str) -> str:
    """Where relative paths begin as they do for who asked."""
    asked = json.loads(told)
    task = Task(**asked["task"])
    try:
        os.chdir(asked["folder"])
    except OSError as error:
        unseen = DataError(
            "this folder is not seen on every machine of the cluster",
            path=asked["folder"],
            found=f"{error.strerror} on {socket.gethostname()}",
            remedy="give the command in a folder that all share",
        )
        return json.dumps(to_plain(Outcome(task.number, failure=failure_of(unseen))))
    return json.dumps(to_plain(do(task, lambda text: None)))


def _tell_of_no_place(ray: Any, threads: int, gpus: int, tell: Tell) -> None:
    """Ray says nothing of tasks that no machine is large enough for; one that is may join later."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(each.get("CPU", 0) >= threads and each.get("GPU", 0) >= gpus for each in machines):
        asked = f"{threads} cores" + (f" and {gpus} GPUs" if gpus else "")
        tell(f"no machine of the Ray cluster has {asked}, as a task asks for; waiting for one that has")


def _join(ray: Any, address: str | None) -> None:
    """Be a driver of the cluster at ``address``, or of one on this machine alone."""
    if address is not None:
        _refuse_silence(address)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        _started(ray, address)
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():  # Ray's own leaves at once: nothing would be said or saved
                signal.signal(number, handler)


def _started(ray: Any, address: str | None) -> None:
    import psutil  # it comes with Ray

    began, tries, us = time.monotonic(), 0, psutil.Process()
    others = {child.pid for child in us.children()}
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    while True:
        tries += 1
        try:
            ray.init(address=address, include_dashboard=False, **quiet)
            return
        except Exception as error:  # Ray raises bare ones, such as for a node that is late
            seconds = time.monotonic() - began
            if address is not None or not START_SECONDS > seconds >= ANSWER_SECONDS:
                found = f"{str(error).strip().partition(chr(10))[0]} ({tries} tries, {seconds:.0f} s)"
                raise _no_answer(address, found) from error
            for child in us.children():  # Ray leaves its own at work
                with contextlib.suppress(psutil.Error):  # it has just ended
                    if child.pid not in others and "/ray/" in " ".join(child.cmdline()):
                        child.kill()


def _refuse_silence(address: str) -> None:
    """Raise SettingsError where nobody listens: Ray would try for minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port[:9]) < 65536:
        raise _no_answer(address, "no HOST:PORT")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS).close()
    except OSError as error:
        raise _no_answer(address, str(error)) from error


def _no_answer(address: str | None, found: str) -> SettingsError:
    if address is None:
        return SettingsError(
            "Ray does not start on this machine",
            found=f"--on ray: {found}",
            remedy="give the command again when the machine is less busy, or use --on local:N",
        )
    return SettingsError(
        "no Ray cluster answers",
        found=f"--on ray:{address}: {found}",
        expected="the address that `ray start --head` told, such as 10.0.0.1:6379",
        remedy="--on ray:ADDRESS, or --on ray to use this machine",
    )
