"""Imports of what takes long: meanwhile Python looks for no garbage, of which there is none."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def heavy_imports() -> Iterator[None]:
    """Python's search for garbage stands still within it: modules stay, and torch's alone are so many objects
    that looking through them again and again is a tenth of the time that they take to load."""
    searched = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searched:
            gc.enable()
