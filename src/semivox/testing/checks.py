"""All checks of a method, in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from semivox.methods import Method
from semivox.testing.faults import MethodFault
from semivox.testing.learning import check_learns
from semivox.testing.runs import check_declaration, check_resume, check_trains
from semivox.testing.steps import (
    check_partly_annotated,
    check_purity,
    check_switches,
    check_terms,
    check_valid,
)

CHECKS: Mapping[str, Callable[..., object]] = {
    "declaration": check_declaration,
    "purity": check_purity,
    "terms": check_terms,
    "switches": check_switches,
    "partly_annotated": check_partly_annotated,
    "valid": check_valid,
    "trains": check_trains,
    "resume": check_resume,
    "learns": check_learns,
}
"""Causes come first."""

FOLLOWS: Mapping[str, tuple[str, ...]] = {
    "switches": ("purity",),
    "partly_annotated": ("purity",),
    "valid": ("purity",),
    "resume": ("purity", "trains"),
    "learns": ("trains",),
}
"""Check -> the earlier ones without which it says nothing: it compares two builds or two steps of the method,
which differ anyway in a method that is not pure, or goes on with a run that does not train."""


def check_method(
    method: type[Method], *, learns: bool = True, settings: Mapping[str, Any] | None = None
) -> tuple[str, ...]:
    """Run every check of :data:`CHECKS` on a method; returns the names of those passed.

    A check that would only repeat the fault of an earlier one (:data:`FOLLOWS`) is not run, and says so.

    ``settings`` are the method's own, by name, where its defaults do not fit a network that knows nothing yet
    (a confidence threshold). ``learns`` False leaves out the check that takes longest. All of them take about
    ten seconds on a CPU and leave nothing behind.

    Raises
    ------
    MethodFault
        One line for each check that failed: what is wrong, in which stage and term, and the likely remedy;
        one for each that was not run, with the check that it follows from.
    """
    passed: list[str] = []
    faults: dict[str, str] = {}
    first: Exception | None = None
    for name, check in CHECKS.items():
        if name == "learns" and not learns:
            continue
        cause = next((cause for cause in FOLLOWS.get(name, ()) if cause in faults), None)
        if cause is not None:
            faults[name] = f"not run, follows from {cause}"
            continue
        try:
            check(method, settings)
        except MethodFault as fault:
            faults[name] = str(fault)
            first = first or fault
        except Exception as error:
            said = (str(error).splitlines() or [""])[0]
            faults[name] = f"the method raised {type(error).__name__}: {said}"
            first = first or error
        else:
            passed.append(name)
    if faults:
        lines = "\n".join(f"{name}: {said}" for name, said in faults.items())
        raise MethodFault(f"{method.__name__} fails:\n{lines}") from first
    return tuple(passed)
