"""Starting the processes of a run: on one machine by torch's launcher from here, on several by ``torchrun``,
which is the same launcher.

The process that was asked trains nothing then: it starts the others, hears what they tell, and raises what
ended them. torch's launcher ends all where one is lost, even if they wait for it where no signal is heard.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from semivox.errors import SettingsError
from semivox.files import scratch, write_json
from semivox.machine import cpus
from semivox.stopping import StopSignals
from semivox.training import outcomes
from semivox.training.processes import OURS

REQUEST = "request.json"
LEAST_MOST = 8
"""So many processes a machine may have, whatever it is."""
SAVED_IN = 3600
"""Seconds after a signal in which the step is taken and all is saved, or never."""


def launch(ranks: int, module: str, request: Mapping[str, Any], place: Path) -> Any:
    """What the first of ``ranks`` processes returns, each a ``python -m module FOLDER``; the ``request`` and
    what becomes of it lie in FOLDER, in ``place``. Raises what :func:`semivox.training.outcomes.result` does.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    if ranks > (most := max(LEAST_MOST, cpus(), torch.cuda.device_count())):
        raise SettingsError(
            "a run cannot have so many processes on this machine",
            found=f"--devices {ranks}",
            expected=f"1 to {most}",
            remedy="give --devices the number of GPUs, or leave it out",
        )
    with scratch(place / "processes") as folder, _surroundings():
        write_json(folder / REQUEST, {**request, "parent": os.getpid()})
        logs = DefaultLogsSpecs(str(folder / "logs"), dict.fromkeys(range(1, ranks), Std.ALL))
        here = {"rdzv_backend": "c10d", "rdzv_endpoint": "127.0.0.1:0", "local_addr": "127.0.0.1"}
        signals = {"signals_to_handle": "SIGTERM,SIGUSR1", "shutdown_timeout": SAVED_IN}
        config = LaunchConfig(1, 1, ranks, logs, OURS, max_restarts=0, **here, **signals)  # type: ignore[arg-type]
        ended, came = {}, None
        try:
            with StopSignals(at_once=True):  # of a second SIGINT, torch's handler would make a second wait
                elastic_launch(config, sys.executable)("-m", module, str(folder))
        except ChildFailedError as error:
            ended = error.failures
        except (SignalException, KeyboardInterrupt) as error:
            came = error.sigval.name if isinstance(error, SignalException) else str(error)
        return outcomes.result(folder, ranks, ended, came)


@contextlib.contextmanager
def _surroundings() -> Iterator[None]:
    """What the processes find: the modules that this one finds, and each other over loopback, whatever
    becomes of the machine's networks. What torch's launcher has to say is said by us."""
    loopback = next((text for _, text in socket.if_nameindex() if text.startswith("lo")), None)
    given = {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    given |= {"GLOO_SOCKET_IFNAME": loopback} if loopback and "GLOO_SOCKET_IFNAME" not in os.environ else {}
    before = {name: os.environ.get(name) for name in (*given, "TORCHELASTIC_SIGNALS_TO_HANDLE")}
    logger = logging.getLogger("torch.distributed")
    os.environ.update(given)
    handlers, logger.handlers = logger.handlers, [logging.NullHandler()]
    try:
        yield
    finally:
        logger.handlers = handlers
        for name, value in before.items():
            os.environ.pop(name, None)
            os.environ.update({} if value is None else {name: value})
