"""What a check says of a method that fails it."""

from __future__ import annotations


class MethodFault(AssertionError):  # noqa: N818
    """A method breaks a rule: the message says which, in which stage and term, and the likely remedy."""


def method_fault(
    what: str, remedy: str, *, stage: str | None = None, term: str | None = None, setting: str | None = None
) -> MethodFault:
    """A fault with its place in front: ``stage 'train', term 'contrast': WHAT. REMEDY``."""
    named = {"setting": setting, "stage": stage, "term": term}
    place = ", ".join(f"{kind} {name!r}" for kind, name in named.items() if name is not None)
    return MethodFault(f"{place}: {what}. {remedy}" if place else f"{what}. {remedy}")
