"""The device that a name stands for."""

from __future__ import annotations

import torch
from torch import Tensor

from semivox.errors import SettingsError


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
