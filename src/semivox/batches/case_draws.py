"""Which cases a stream draws from, and which case each sample takes: pure functions of a key."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from semivox.batches.stream import Stream, stream_fault
from semivox.errors import SettingsError
from semivox.randomness import Key


def cases_of(
    stream: Stream,
    name: str,
    stage: str,
    labeled: Sequence[int],
    unlabeled: Sequence[int],
    patients: Sequence[str],
    key: Key,
    bank: bool,
) -> tuple[int, ...]:
    """The cases that a stream draws from: its part of those it asks for.

    ``name``, of the stream, and ``stage`` are told in an error; ``labeled``, ``unlabeled``: the cases of the
    run, ``patients``: the patient of each; ``key``: the run's; ``bank``: whether pseudo-labels are at hand.
    Raises SettingsError where there can be no such stream.
    """
    own = () if stream.cases == "unlabeled" else tuple(labeled)
    others = () if stream.cases == "labeled" else tuple(unlabeled)
    if fault := stream_fault(stream, len(own) + len(others), len(others), bank):
        raise SettingsError(f"stream {name!r} of stage {stage!r}: {fault}")
    return part_of((*own, *others), patients, stream.part, key)


def draw_cases(key: Key, cases: Sequence[int], first: int, count: int) -> list[int]:
    """The cases of draws ``first`` .. ``first + count - 1`` (numbered through the whole stage).

    Epoch ``n // len(cases)`` is a permutation of ``cases`` drawn from ``key / "order" / epoch``.
    """
    permutations = {}
    drawn = []
    for n in range(first, first + count):
        epoch, place = divmod(n, len(cases))
        if epoch not in permutations:
            permutations[epoch] = (key / "order" / epoch).numpy().permutation(len(cases))
        drawn.append(cases[int(permutations[epoch][place])])
    return drawn


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


def surest_of(
    cases: Sequence[int], share: float, agreement: Callable[[int], float], least: int = 1
) -> tuple[int, ...]:
    """The ``share`` of ``cases`` with the highest ``agreement``, at least ``least``, and those that agree as
    much as the last of them; in the order of ``cases``."""
    count = min(len(cases), max(least, math.ceil(share * len(cases))))
    agreed = [agreement(case) for case in cases]
    floor = sorted(agreed, reverse=True)[count - 1]
    return tuple(case for case, a in zip(cases, agreed, strict=True) if a >= floor)


def part_of(
    cases: Sequence[int], patients: Sequence[str], part: tuple[int, int], key: Key
) -> tuple[int, ...]:
    """Part i of k, ``part`` = (i, k), of ``cases``, in their order.

    ``patients``: the patient of every case of the store; ``key``: the run's, not a stage's. The k parts are
    disjoint, hold every case, never cut a patient, and differ in size by no more cases than the largest
    patient has.

    Patients come in an order drawn from ``key / "parts"``, and each goes to the part that has the fewest
    cases so far (of equals, the first). Parts are those of the given set: a part of the unlabelled cases is
    not the unlabelled share of a part of all cases.

    Raises
    ------
    SettingsError
        There is no such part, or there are fewer patients than parts.
    """
    i, k = part
    if not 0 <= i < k:
        raise SettingsError(
            "there is no such part of the cases", found=part, expected="(i, k) with 0 <= i < k"
        )
    if k == 1:
        return tuple(cases)
    counts = Counter(patients[case] for case in cases)
    if len(counts) < k:
        raise SettingsError(
            f"cannot cut {len(cases)} cases into {k} parts by patient",
            found=f"{len(counts)} patients",
            expected=f"at least {k}",
            remedy="more scans of other patients (--labeled K sets how many are labelled), or a setting of "
            "the method that asks for fewer parts (semivox methods NAME tells them)",
        )
    names = sorted(counts)
    sizes = [0] * k
    home: dict[str, int] = {}
    for place in (key / "parts").numpy().permutation(len(names)):
        name = names[int(place)]
        home[name] = sizes.index(min(sizes))
        sizes[home[name]] += counts[name]
    return tuple(case for case in cases if home[patients[case]] == i)
