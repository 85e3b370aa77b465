"""The machine and versions a run was made with: ``environment.json``."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from semivox.contents import Environment
from semivox.errors import DataError
from semivox.files import read_json
from semivox.machine import cpus, memory_bytes, processor

if TYPE_CHECKING:
    import torch

PACKAGES = ("semivox", "torch", "numpy", "scipy", "nibabel", "SimpleITK", "edt", "pydantic", "safetensors")


def environment(
    threads: int,
    device: torch.device,
    precision: str,
    processes: int = 1,
    package: str | None = None,
    method_sha256: str | None = None,
) -> dict[str, Any]:
    """Versions, commit, machine, threads; what "the same machine" means for a bit-for-bit repeat.

    ``package``: the distribution that brings the method, where it is not one of ours; ``method_sha256``: the
    hash of the file that it is written in, see :func:`semivox.methods.trust.code_sha256`.
    """
    if device.type == "cuda":
        import torch  # what only reads a record does without
    return {
        "format": 1,
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in (*PACKAGES, *([package] if package else []))},
        "commit": _commit(),
        "system": platform.platform(),
        "processor": processor(),
        "cores": cpus(),
        "memory_gib": round(memory_bytes() / 2**30, 1),
        "threads": threads,
        "processes": processes,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "precision": precision,
        **({} if method_sha256 is None else {"method_sha256": method_sha256}),
    }


def recorded_method(run: Path) -> str | None:
    """The hash of the method's file that a run began with; None where it says none."""
    try:
        found: str | None = read_json(run / "environment.json", kind=Environment).get("method_sha256")
    except DataError:
        return None
    return found


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What keeps a resumed run from being bit for bit the uninterrupted one."""
    watched = (
        "python",
        "packages",
        "processor",
        "threads",
        "processes",
        "device",
        "precision",
        "method_sha256",
    )
    # records of earlier versions have none
    before = {"processes": 1, "method_sha256": now.get("method_sha256"), **before}
    return [f"{k}: {before.get(k)} -> {now.get(k)}" for k in watched if before.get(k) != now.get(k)]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    here = Path(__file__).resolve().parent
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None
