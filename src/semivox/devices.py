"""The device that a name stands for, the way of tensors to it, and what each process takes of the work."""

from __future__ import annotations

import torch
from torch import Tensor

from semivox.errors import SettingsError

CPU = torch.device("cpu")


def choose_device(name: str) -> torch.device:
    """``auto``: a GPU where there is one, else the CPU. SettingsError for a device that cannot be used."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise SettingsError(
            "this device cannot be used",
            found=f"{name} ({said})",
            expected="auto, cpu or a GPU of this machine",
        ) from None
    return device


def send(x: Tensor, device: torch.device) -> Tensor:
    """``x`` on ``device``. To a GPU it goes from pinned memory, so that the host need not wait for it."""
    if device.type == "cuda" and x.device.type == "cpu":
        x = x.pin_memory()
    return x.to(device, non_blocking=True)


def synchronise(device: torch.device) -> None:
    """Until ``device`` has done all it was given, so that a clock can be read; a CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def share(total: int, rank: int, ranks: int) -> range:
    """Which of ``total`` things process ``rank`` of ``ranks`` has: a stretch of them; the first processes
    have one more where they do not divide."""
    each, more = divmod(total, ranks)
    start = rank * each + min(rank, more)
    return range(start, start + each + (rank < more))
