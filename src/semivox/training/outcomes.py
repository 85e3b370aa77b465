"""What became of each process of a launch, as files, and which of them is why the run has ended."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semivox.errors import ProcessLost, Stopped, TrainingFailed
from semivox.failure import Failure
from semivox.files import read_text

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

SAID = 4000
"""Characters of what a process said that are handed on."""


def outcome_of(folder: Path, rank: int) -> Path:
    """Where a process writes ``{"result": ...}`` or ``{"failure": ...}``."""
    return folder / f"outcome-{rank}.json"


def result(folder: Path, ranks: int, ended: Mapping[int, ProcessFailure], came: str | None) -> Any:
    """What the first of ``ranks`` processes has returned.

    ``ended``: those that the launcher found to have failed, in its order; ``came``: the signal that ended it.
    Raises what a process has raised, else how one was killed, else that one has lost another.
    """
    files = [outcome_of(folder, rank) for rank in range(ranks)]
    told = [dict(json.loads(read_text(file))) if file.is_file() else {} for file in files]
    failures = {rank: Failure(**each["failure"]) for rank, each in enumerate(told) if "failure" in each}
    own = [rank for rank, failure in failures.items() if failure.kind != ProcessLost.__name__]
    silent = sorted(
        set(ended) - set(failures), key=lambda rank: (ended[rank].timestamp, [*ended].index(rank))
    )
    for rank in [*own, *silent, *failures]:
        which = f"process {rank + 1} of {ranks}"
        raise _raised(failures[rank], which) if rank in failures else _killed(ended[rank], which, folder)
    if "result" not in told[0]:
        raise Stopped("was stopped", found=came)
    return told[0]["result"]


def _raised(failure: Failure, which: str) -> Exception:
    if failure.parts is None:
        return RuntimeError(f"{which}: {failure.error}")
    if not which.startswith("process 1 "):
        parts = {**failure.parts, "fault": f"{failure.parts['fault']} ({which})"}
        failure = replace(failure, parts=parts)
    return failure.error


def _killed(process: ProcessFailure, which: str, folder: Path) -> Exception:
    code = process.exitcode
    if code == Stopped.exit_code:
        return Stopped("was stopped", found=f"a signal to {which}")
    if code < 0:
        return TrainingFailed(
            f"{which} was killed",
            found=signal.Signals(-code).name,
            remedy="if it was for memory: a smaller patch (--set plan.patch=[...]), or fewer --devices; "
            "--resume goes on from the last checkpoint",
        )
    said = "".join(read_text(log) for log in folder.glob(f"logs/*/*/{process.local_rank}/stderr.log"))
    return RuntimeError(f"{which} ended with code {code}: {said[-SAID:].strip() or 'it said nothing'}")
