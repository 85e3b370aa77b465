"""Networks as compiled code, inside training steps.

torch.compile makes a program of its own for each shape, mode of normalisation and set of gradients that it
meets, and takes a minute or more for each on a CPU. A run's steps meet a handful of them again and again;
prediction meets many shapes, so it stays as it is. A function is compiled, never a module: weights, their
names and checkpoints do not change.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeVar, cast

import torch

F = TypeVar("F", bound=Callable[..., Any])

PROGRAMS = 64
"""A run may need so many: roles x modes of normalisation x shapes."""

BACKEND = "inductor"
"""What makes the programs (torch.compile's name of it)."""

_on = False


@contextlib.contextmanager
def compiling(on: bool) -> Iterator[None]:
    """Inside, if ``on``, networks run compiled; backward passes through them belong inside too."""
    global _on
    if not on:
        yield
        return
    from torch._dynamo import config as tracing
    from torch._functorch import config as gradients

    before, _on = _on, True
    try:
        # players may share a graph, whose tensors then are needed by more than one backward pass
        with tracing.patch(recompile_limit=PROGRAMS), gradients.patch(donated_buffer=False):
            yield
    finally:
        _on = before


def in_form(function: F) -> F:
    """``function``, compiled inside of :func:`compiling`."""
    return _compiled(function) if _on else function


def compiler_fault() -> str | None:
    """Why nothing can be compiled for the CPU here; None if a C++ compiler is found."""
    try:
        from torch._inductor.cpp_builder import get_cpp_compiler

        get_cpp_compiler()
    except Exception as error:
        return (str(error).splitlines() or [type(error).__name__])[0]
    return None


@cache
def _compiled(function: F) -> F:
    return cast(F, torch.compile(function, dynamic=False, fullgraph=True, backend=BACKEND))


__all__ = ["compiler_fault", "compiling", "in_form"]
