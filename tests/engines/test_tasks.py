"""Tasks and what comes of them travel as JSON and arrive as they left."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from semivox import errors
from semivox.engines import task as tasks
from semivox.engines.task import Task, do, failure_of, from_plain, to_plain
from semivox.errors import SemivoxError

OURS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, SemivoxError)]


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"path": Path("scans/a.nii.gz"), "found": [1, 2], "expected": "x" * 5000, "remedy": "mend it."},
        {"found": "9" * 300, "path": "b\udcff.nii"},
    ],
)
def test_every_error_of_ours_arrives_whole(kind: type[SemivoxError], parts: dict[str, object]) -> None:
    error = kind("is wrong", **parts)
    told = json.loads(json.dumps(to_plain(tasks.Outcome(3, failure=failure_of(error)))))
    arrived = from_plain(told).failure
    assert arrived is not None
    for again in (arrived.error, pickle.loads(pickle.dumps(error))):
        assert type(again) is kind
        assert str(again) == str(error)
        assert again.exit_code == error.exit_code
        assert again.fault == "is wrong"


def test_an_error_of_others_arrives_with_its_words_and_where_it_came_from() -> None:
    class OfTwo(Exception):  # noqa: N818 - cannot be built from its words, as some of libraries cannot
        def __init__(self, first: int, second: int) -> None:
            super().__init__(f"{first} and {second}")

    def raises() -> None:
        raise OfTwo(1, 2)

    try:
        raises()
    except OfTwo as error:
        left = failure_of(error)
    told = json.loads(json.dumps(to_plain(tasks.Outcome(1, failure=left))))
    arrived = from_plain(told).failure
    assert arrived is not None
    assert str(arrived.error).startswith("OfTwo: 1 and 2\nTraceback")
    assert "in raises" in str(arrived.error)


def test_a_kind_that_a_stranger_names_is_none() -> None:
    """Neither a function nor a module is taken from what a worker is told."""
    for kind in ("os:system", "builtins:print", ""):
        outcome = do(Task(1, kind, {}), lambda text: None)
        assert outcome.failure is not None
        assert outcome.failure.kind == "KeyError"
    forged = tasks.Failure("Exception", "x", parts={"fault": "x"})
    assert type(forged.error) is SemivoxError


@pytest.mark.parametrize("kind", sorted(tasks.KINDS))
def test_every_kind_has_its_function(kind: str) -> None:
    module, function = tasks.KINDS[kind].split(":")
    assert callable(getattr(__import__(module, fromlist=[function]), function))
