"""Resident memory of this process, by the system's count (Linux)."""

from __future__ import annotations

from pathlib import Path


def resident(name: str) -> int:
    """Bytes, now (``VmRSS``) or at their highest (``VmHWM``)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"this system does not tell {name}")
