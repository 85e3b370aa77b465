"""Settings of a run as people write them, by a flag, ``--set`` or a file: texts that are read as numbers,
lengths of time, and paths, which mean the same from every folder once they are absolute.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from semivox.cohort import COUNT
from semivox.cohort.split import one_way
from semivox.duration import parse_duration
from semivox.errors import SettingsError
from semivox.files import real_path
from semivox.pretrained import is_run
from semivox.ranges import SomeSeconds


def _text(value: Any) -> Any:
    return str(value) if type(value) is int or isinstance(value, Path) else value


def _cases(value: Any) -> Any:
    try:
        return one_way(value)
    except SettingsError:
        raise ValueError("8, 7p, 8@3, 7p@3, or a file with one case name a line") from None


def _seconds(value: Any) -> Any:
    try:
        return parse_duration(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError("a length of time, such as 90s, 30m, 2h or 1h30m") from None


Text = Annotated[str, BeforeValidator(_text)]
"""A folder called 2024 is a whole number to YAML."""
Labeled = Annotated[str, BeforeValidator(_cases)]
"""What :func:`semivox.cohort.split_cohort` takes; ``labeled: 2`` is a whole number to YAML."""
Length = Annotated[SomeSeconds, BeforeValidator(_seconds)]
"""Seconds, or with a unit: 30m, 2h, 1h30m."""


def is_file_of_names(labeled: str | None) -> bool:
    """Whether ``labeled`` is the path of a file, and no number of cases."""
    return labeled is not None and COUNT.fullmatch(labeled.strip()) is None


def absolute(name: str, value: Any) -> Any:
    """The setting ``name`` of a run; absolute where it is the path of what is there, or of where MLflow
    writes. A path of elsewhere stays as it was written: nobody knows what it is relative to."""
    if not isinstance(value, str) or not value:
        return value
    found = {
        "labeled": is_file_of_names(value) and os.path.isfile(value),
        "init": is_run(value) and os.path.isdir(value),
        "mlflow": "://" not in value,
    }
    path = Path(value).expanduser() if name == "mlflow" else Path(value)
    return str(path.absolute()) if found[name] else value


FILES = ("labeled", "init", "mlflow")
"""Settings of a run that may be paths."""


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """The dotted names whose values are not the same ones; a file is, whichever path it is written by."""
    paths = {f"run.{name}" for name in FILES}
    return [k for k in after if not _same(before.get(k), after[k], k in paths)]


def _same(one: Any, other: Any, paths: bool) -> bool:
    if one == other or not paths or not (isinstance(one, str) and isinstance(other, str)):
        return bool(one == other)
    absolute_ones = Path(one).is_absolute() and Path(other).is_absolute()
    return absolute_ones and real_path(one) == real_path(other)
