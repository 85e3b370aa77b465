"""Pairs of cases that share a foreground class."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from semivox.randomness import Key


def draw_pair(
    key: Key, first: int, second: int, cases: Sequence[int], classes: Callable[[int], Collection[int]]
) -> tuple[int, int | None]:
    """The partner of case ``first``, and a class that both have; ``classes`` tells those of a case.

    The partner is ``second`` if it is another case and shares a class; else the first other case that does,
    in an order of ``cases`` drawn from ``key / "partner"``; else ``first`` itself. Where ``first`` has no
    class there is no pair: ``second`` and None. The class is drawn from ``key / "class"``.
    """
    own = set(classes(first))
    if not own:
        return second, None
    partner, shared = second, own.intersection(classes(second))
    if second == first or not shared:
        order = [cases[int(place)] for place in (key / "partner").numpy().permutation(len(cases))]
        for partner in (*(case for case in order if case != first), first):
            shared = own.intersection(classes(partner))
            if shared:
                break
    common = sorted(shared)
    return partner, common[int((key / "class").numpy().integers(len(common)))]
