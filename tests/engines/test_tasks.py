"""Tasks and what comes of them travel as JSON and arrive as they left."""

from __future__ import annotations

import ast
import copy
import json
import pickle
from importlib import import_module
from pathlib import Path

import pytest

import semivox
from semivox import errors
from semivox.engines import task as tasks
from semivox.engines.task import Task, do, from_plain, to_plain
from semivox.errors import SemivoxError
from semivox.failure import Failure, failure_of

SOURCE = Path(semivox.__file__).parent


def classes_of_ours() -> list[type[SemivoxError]]:
    """Every class of an error in the source, wherever it stands and however it names what it is made of."""
    found: dict[str, tuple[str, set[str]]] = {}
    for path in SOURCE.rglob("*.py"):
        module = ".".join(["semivox", *path.relative_to(SOURCE).with_suffix("").parts])
        for each in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(each, ast.ClassDef):
                bases = {ast.unparse(base).rpartition(".")[2] for base in each.bases}
                found[f"{module}:{each.name}"] = each.name, bases
    known: dict[str, type[SemivoxError]] = {"SemivoxError": SemivoxError}
    while new := [key for key, (name, bases) in found.items() if bases & set(known) and name not in known]:
        for module, _, name in (key.partition(":") for key in new):
            known[name] = getattr(import_module(module), name)
    return list(known.values())


OURS = classes_of_ours()
LONG = " ".join(f"word{i}" for i in range(1000))


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"path": Path("scans/a.nii.gz"), "found": [1, 2], "expected": "x" * 5000, "remedy": "mend it."},
        {"found": "9" * 300, "path": "b\udcff.nii"},
        {"found": LONG, "expected": LONG, "remedy": LONG, "path": LONG},
    ],
)
def test_every_error_of_ours_arrives_whole(kind: type[SemivoxError], parts: dict[str, object]) -> None:
    error = kind("is wrong", **parts)
    told = json.loads(json.dumps(to_plain(tasks.Outcome(3, failure=failure_of(error)))))
    arrived = from_plain(told).failure
    assert arrived is not None
    nearest = kind if kind.__module__ == errors.__name__ else kind.__base__
    assert type(arrived.error) is nearest
    assert type(pickle.loads(pickle.dumps(error))) is kind
    for again in (arrived.error, pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert str(again) == str(error)
        assert str(again.found) == str(error.found)
        assert str(again.expected) == str(error.expected)
        assert again.remedy == error.remedy
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
    forged = Failure("Exception", "x", parts={"fault": "x"})
    assert type(forged.error) is SemivoxError


@pytest.mark.parametrize("kind", sorted(tasks.KINDS))
def test_every_kind_has_its_function(kind: str) -> None:
    module, function = tasks.KINDS[kind].split(":")
    assert callable(getattr(__import__(module, fromlist=[function]), function))
