"""Parts of a set of cases, cut by patient: the same parts in every stage and every generation of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from semivox.errors import SettingsError
from semivox.randomness import Key


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
            remedy="more scans of other patients (--labeled K sets how many are labelled), or fewer parts in "
            "the method's settings",
        )
    names = sorted(counts)
    sizes = [0] * k
    home: dict[str, int] = {}
    for place in (key / "parts").numpy().permutation(len(names)):
        name = names[int(place)]
        home[name] = sizes.index(min(sizes))
        sizes[home[name]] += counts[name]
    return tuple(case for case in cases if home[patients[case]] == i)
