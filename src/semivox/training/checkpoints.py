"""Checkpoints: ``last.ckpt`` and ``previous.ckpt``, written atomically, never unpickled.

A checkpoint damaged by a crash or a disk is reported, and the other one is used.
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from semivox.errors import DataError
from semivox.files import replacing

FORMAT = 1


def save(folder: Path, state: dict[str, Any]) -> None:
    """Write ``state`` as ``last.ckpt``; the one before becomes ``previous.ckpt``."""
    with replacing(folder / "last.ckpt", keep="previous.ckpt") as temporary:
        torch.save({"format": FORMAT, **state}, temporary)


def load(folder: Path) -> tuple[dict[str, Any] | None, list[str]]:
    """The newest sound checkpoint (None if there is none) and a line for each damaged one."""
    reports: list[str] = []
    for name in ("last.ckpt", "previous.ckpt"):
        path = folder / name
        if not path.exists():
            continue
        try:
            return _read(path), reports
        except DataError:
            raise
        except Exception as error:
            reports.append(f"{path} is damaged ({type(error).__name__}: {error}); trying the one before")
    if reports:
        raise DataError(
            "no sound checkpoint is left",
            path=folder,
            found="; ".join(reports),
            remedy="start the run again in a new folder",
        )
    return None, reports


@contextlib.contextmanager
def fitting(folder: Path) -> Iterator[None]:
    """Around what takes a checkpoint's content: what does not fit the run becomes a DataError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        said = " ".join(str(error).split())[:300]
        raise DataError(
            "the checkpoint is not one of this run",
            path=folder,
            found=f"{type(error).__name__}: {said}",
            expected="the weights and optimizers of the run's own method",
            remedy="put the run's own checkpoint back, or start the run again in a new folder",
        ) from error


def _read(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        if (bad := archive.testzip()) is not None:
            raise ValueError(f"checksum of {bad} does not match")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    if state["format"] > FORMAT:
        raise DataError(
            "was written by a newer semivox",
            path=path,
            found=f"format {state['format']}",
            expected=f"format {FORMAT} or older",
            remedy="upgrade semivox",
        )
    return state
