"""Slurm's own commands: hand in an array of jobs, ask what became of them, take them back.

No library stands between: submitit hands functions over as pickles, and where no accounting runs it does not
hear of a job that was killed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from semivox.errors import SettingsError

SECONDS = 60.0
"""A command of Slurm has answered within these, or does not answer."""
ENDED = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED"),
    *("NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
)

Place = tuple[str, int]
"""Number of an array, index in it."""


@dataclass(frozen=True)
class State:
    """In Slurm's words. ``reason``: why it waits, or ended."""

    state: str
    reason: str

    @property
    def ended(self) -> bool:
        return self.state in ENDED


class Refused(Exception):  # noqa: N818
    """Slurm takes no such array, now or ever."""


class Jobs:
    """Those of this user that have one name."""

    def __init__(self, name: str, partition: str | None) -> None:
        """Raises SettingsError where Slurm or the partition is not to be found."""
        on = f"--on slurm:{partition}" if partition else "--on slurm"
        if shutil.which("sbatch") is None:
            raise SettingsError(
                "there is no Slurm here",
                found=f"{on}, and no program sbatch",
                remedy="give the command on a machine that hands in jobs, or leave out --on",
            )
        self._name, self._partition, self._ours = name, partition, f"--user={os.getuid()}"
        try:
            told = _told(["scontrol", "show", "config"])
            partitions = _told(["sinfo", "--noheader", "--all", "--format=%R"]).split()
        except Refused as error:
            raise SettingsError(
                "Slurm does not answer", found=f"{on}: {error}", remedy="try `sinfo`, then again"
            ) from None
        if partition is not None and partition not in partitions:
            raise SettingsError(
                "no such partition", found=on, expected=" or ".join(f"slurm:{each}" for each in partitions)
            )
        largest = re.search(r"^MaxArraySize\s*=\s*(\d+)", told, re.MULTILINE)
        self.largest_array = max(1, int(largest[1]) - 1 if largest else 1)

    def submit(self, folder: Path, lines: Sequence[str], count: int) -> str:
        """Hand in jobs 0 .. ``count`` - 1, each of which runs the shell's ``lines`` in ``folder``; returns
        the array's number. Raises Refused."""
        command = ["sbatch", "--parsable", f"--job-name={self._name}", f"--array=0-{count - 1}"]
        command += [f"--partition={self._partition}"] if self._partition else []
        script = "\n".join(["#!/bin/sh", *lines, ""])
        return _told([*command, "--output=%a.log"], folder, script).strip().partition(";")[0]

    def states(self) -> Mapping[Place, State] | None:
        """Of all that wait, run, or ended in the last minutes; None where nobody answers."""
        what = ["--noheader", "--array", "--states=all", f"--name={self._name}", self._ours]
        try:
            told = _told(["squeue", *what, "--format=%F|%K|%T|%r"])
        except Refused:
            return None
        rows = (line.split("|", 3) for line in told.splitlines())
        return MappingProxyType(
            {
                (row[0].strip(), int(row[1])): State(row[2], row[3].strip())
                for row in rows
                if len(row) == 4 and row[1].isdigit()
            }
        )

    def cancel(self) -> None:
        """Ask all to end: each hears SIGTERM, and is killed when Slurm's KillWait is over."""
        try:
            _told(["scancel", f"--name={self._name}", self._ours])
        except Refused:
            return  # they will end by themselves, and nobody waits for them


def _told(command: Sequence[str], folder: Path | None = None, script: str | None = None) -> str:
    """What it prints. Raises Refused with what it says of itself."""
    try:
        done = subprocess.run(
            command, cwd=folder, input=script, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(str(error)) from None
    if done.returncode:
        raise Refused(" ".join(done.stderr.split()) or f"{command[0]}: exit code {done.returncode}")
    return done.stdout
