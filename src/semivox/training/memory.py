"""The most memory a stretch of work held at once: of the process on a CPU, of the tensors on a GPU."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import torch

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """Begins to look when it is made; :meth:`gib` tells the peak since then.

    A process remembers its highest use only once. Linux lets it forget; elsewhere a peak that lies before
    this object was made hides later ones, which are then unknown.
    """

    def __init__(self, device: torch.device) -> None:
        self._gpu = device if device.type == "cuda" else None
        if self._gpu is not None:
            torch.cuda.reset_peak_memory_stats(self._gpu)
        self._forgot = _forget()
        self._before = _highest()

    def gib(self) -> float | None:
        """GiB; None where the system does not say."""
        if self._gpu is not None:
            return round(torch.cuda.max_memory_allocated(self._gpu) / 2**30, 3)
        highest = _highest()
        if highest is None or (not self._forgot and highest == self._before):
            return None
        return round(highest / 2**30, 3)


def _forget() -> bool:
    """Set the process's highest use back to its present one (Linux, proc(5): clear_refs)."""
    try:
        CLEAR.write_text("5")
    except OSError:
        return False
    return True


def _highest() -> int | None:
    """Bytes of the process in memory at most, its mapped files included."""
    try:
        lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024
