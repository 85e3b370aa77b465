"""What this process may use of the machine, a container's limits included, how it keeps its memory, and where
it keeps what can be made again."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import platform
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from semivox.errors import SettingsError

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

CASE_MEMORY = "SEMIVOX_CASE_MEMORY"
CPUS = "SEMIVOX_CPUS"
"""The share of the CPUs that a worker among others is given."""
GROUPS = Path("/proc/self/cgroup")
MOUNT = Path("/sys/fs/cgroup")


def cpus() -> int:
    """CPUs this process may use: those it may run on, and no more than its group's quota or ``SEMIVOX_CPUS``
    says."""
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    told = os.environ.get(CPUS, "")
    share = int(told[:9]) if told.isascii() and told.isdigit() else count
    return max(1, math.ceil(min(count, share, _quota())))


def processor() -> str:
    """Its name."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory_bytes() -> int:
    """Memory this process may ever use."""
    return min([psutil.virtual_memory().total, *(limit for limit, _ in _memory_limits())])


def free_bytes() -> int:
    """Memory that is free for it now; what the system would give up, such as cached files, counts as free."""
    left = (limit - used for limit, used in _memory_limits())
    return max(0, min([psutil.virtual_memory().available, *left]))


def case_bytes() -> int:
    """Memory that one scan may take now: what is free, or what ``SEMIVOX_CASE_MEMORY`` says (bytes, or with a
    unit: 24GiB, 500M). Raises SettingsError where that is no size."""
    told = os.environ.get(CASE_MEMORY, "").strip()
    if not told:
        return int(max(0, min(free_bytes(), _address_space())))
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?)\s*([kmgt]?)(?:i?b)?", told, re.IGNORECASE)
    if found is None or (size := int(float(found[1]) * 1024 ** " kmgt".index(found[2].lower() or " "))) < 1:
        raise SettingsError(
            f"{CASE_MEMORY} is no size", found=told, expected="such as 24GiB", remedy="set it so, or unset it"
        )
    return size


def _address_space() -> float:
    """What is left of ``ulimit -v``; infinite without one."""
    if resource is None:
        return math.inf
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    return math.inf if most == resource.RLIM_INFINITY else most - psutil.Process().memory_info().vms


def _memory_limits() -> Iterator[tuple[int, int]]:
    """(limit, in use) of every group around this process that has a limit."""
    for folder in _folders("memory"):
        for limit_file, used_file, cached in (
            ("memory.max", "memory.current", "inactive_file"),  # version 2 of the control groups
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),  # version 1
        ):
            limit, used = _number(folder / limit_file), _number(folder / used_file)
            if limit is not None and used is not None:
                yield int(limit), max(0, int(used) - _statistic(folder / "memory.stat", cached))


def _quota() -> float:
    """CPUs that the groups around this process share out to it; infinite without a limit."""
    least = math.inf
    for folder in _folders("cpu"):
        try:
            words = (folder / "cpu.max").read_text().split()  # version 2: QUOTA PERIOD
        except OSError:
            words = [str(_number(folder / f"cpu.cfs_{name}_us")) for name in ("quota", "period")]
        try:
            quota, period = map(float, words)
        except ValueError:  # "max", or no such files
            continue
        if quota > 0 and period > 0:
            least = min(least, quota / period)
    return least


def _folders(controller: str) -> Iterator[Path]:
    """Folders of the groups this process is in, and of those around them. A container may see its own group
    as the mount's root."""
    try:
        lines = GROUPS.read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = MOUNT / controllers if controllers else MOUNT
        if not root.is_dir():
            root = MOUNT / controller
        folder = Path(path.strip("/"))
        for inner in (folder, *folder.parents):
            if (root / inner).is_dir():
                yield root / inner


def _number(file: Path) -> float | None:
    try:
        return float(file.read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return None


def _statistic(file: Path, name: str) -> int:
    try:
        words = dict(line.split(" ", 1) for line in file.read_text().splitlines())
        return int(words.get(name, 0))
    except (OSError, ValueError):
        return 0


# glibc's mallopt: names in malloc.h, and what it begins with
TRIM_THRESHOLD, MMAP_MAX = -1, -4
DEFAULTS = {TRIM_THRESHOLD: 128 * 1024, MMAP_MAX: 65536}
KEEPING = {TRIM_THRESHOLD: -1, MMAP_MAX: 0}

_lock = threading.Lock()
_inside = 0


@contextlib.contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Inside, the whole process keeps what it frees; on leaving, free memory goes back to the system.

    glibc asks the kernel for every large block and returns it when it is freed, so each activation of a
    network is zeroed page by page before it is written: a fifth of a V-Net's forward pass in bfloat16. It
    changes no number. Where the C library is another one, nothing happens. It may be nested.
    """
    global _inside
    library = _glibc()
    if library is None:
        yield
        return
    with _lock:
        _inside += 1
        _set(library, KEEPING)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _set(library, DEFAULTS)
                library.malloc_trim(0)


def _set(library: Any, options: dict[int, int]) -> None:
    for name, value in options.items():
        library.mallopt(name, value)


def _glibc() -> Any:
    """The C library, where it has the two functions; else None."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


def user_cache() -> Path:
    """The folder of the user's own for what can be made again."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


__all__ = [
    "case_bytes",
    "cpus",
    "free_bytes",
    "freed_memory_kept",
    "memory_bytes",
    "processor",
    "user_cache",
]
