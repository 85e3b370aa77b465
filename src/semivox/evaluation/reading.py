"""Evaluations as they are given: files of this or of older builds, or what is already in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from semivox.content_checks import check_content
from semivox.contents import Evaluation, MetricPolicy, Table
from semivox.errors import DataError
from semivox.files import read_json

FORMAT = 1
Given = str | Path | Mapping[str, Any]
"""An evaluation, or where its file is."""


class Measured(TypedDict):
    """Of an evaluation, what is compared with that of another one."""

    cases: dict[str, Table]
    classes: dict[str, str]
    regions: NotRequired[dict[str, list[int]]]
    policy: NotRequired[MetricPolicy]
    patients: NotRequired[dict[str, str]]


def read_evaluation(path: str | Path) -> dict[str, Any]:
    """Read an evaluation file; one of a newer format is refused."""
    content = read_json(Path(path), newest=FORMAT)
    if absent := [key for key in ("cases", "mean", "classes") if key not in content]:
        raise DataError("is no evaluation file", path=path, expected=f"the keys {', '.join(absent)}")
    check_content(content, Evaluation, Path(path), "evaluate again")
    return content


def evaluations_given(name: str, given: Given | Sequence[Given]) -> list[Mapping[str, Any]]:
    """What the argument ``name`` gives: one evaluation, or several in an order. Raises DataError for what is
    none, or cannot be read."""
    if isinstance(given, str | Path | Mapping):
        return [_evaluation(name, given)]
    if not isinstance(given, Sequence):
        raise _none(name, given)
    return [_evaluation(f"{name}[{number}]", each) for number, each in enumerate(given)]


def _evaluation(name: str, given: Given) -> Mapping[str, Any]:
    if isinstance(given, str | Path):
        return read_evaluation(given)
    if not isinstance(given, Mapping):
        raise _none(name, given)
    check_content(
        {**given}, Measured, Path(name), "give what `semivox.evaluate` returned, or its file's path"
    )
    return given


def _none(name: str, given: object) -> DataError:
    return DataError(
        f"{name} is no evaluation",
        found=type(given).__name__,
        expected="the path of an evaluation.json, what `semivox.evaluate` returned, or a list of these",
    )
