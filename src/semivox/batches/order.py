"""Which case each sample takes: every case once an epoch, in a keyed order, as a pure function."""

from __future__ import annotations

from collections.abc import Sequence

from semivox.randomness import Key


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
