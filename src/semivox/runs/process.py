"""One of the processes of a run on several devices: ``python -m semivox.runs.process FOLDER``, as
:mod:`semivox.training.launch` starts it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from semivox.errors import BUG, Stopped, TrainingFailed
from semivox.failure import failure_of
from semivox.files import read_text, write_json
from semivox.runs.run import carry_out
from semivox.stopping import StopSignals
from semivox.training.launch import REQUEST
from semivox.training.options import TrainOptions
from semivox.training.outcomes import outcome_of
from semivox.training.processes import rank_here
from semivox.training.remote_display import RemoteDisplay

PATIENCE = 60.0
"""Seconds in which a process whose asker is gone has saved what it does."""
LAST_WORDS = 2.0
"""Seconds in which the first process has said why it ends too: the launcher ends all when one has ended."""


def main(folder: Path) -> int:
    """Go through the phases of the run with the other processes; returns the exit code."""
    request, rank = json.loads(read_text(folder / REQUEST)), rank_here()
    threading.Thread(target=_end_after, args=(request["parent"],), daemon=True).start()
    # a first one that is stopped says so; another one, which may wait where no signal is heard, just ends
    with StopSignals(at_once=True) if rank == 0 else contextlib.nullcontext() as stop:
        try:
            told, code = {"result": _take_part(request, rank)}, 0
        except KeyboardInterrupt:
            return Stopped.exit_code
        except Exception as error:
            told, code = {"failure": asdict(failure_of(error))}, getattr(error, "exit_code", BUG)
        write_json(outcome_of(folder, rank), told)
        if stop is not None:
            stop.stay_deaf()
    deadline = time.monotonic() + LAST_WORDS
    while code and not outcome_of(folder, 0).is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    return code


def _take_part(request: dict[str, Any], rank: int) -> dict[str, Any]:
    module, _, name = request["page"].partition(":")
    if not module.startswith("semivox."):  # what a file names is imported from this package alone
        raise ValueError(f"{module} is no module of semivox")
    display = RemoteDisplay(request["display"]) if rank == 0 and request["display"] else None
    asked = TrainOptions(**request["asked"], display=display)
    # "began" is of this machine's clock, which all its processes read
    return carry_out(asked, getattr(import_module(module), name), request["began"]).plain()


def _end_after(parent: int) -> None:
    """Once who asked is gone: stop with all others after the same step, or, if that cannot be, at once."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os._exit(TrainingFailed.exit_code)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
