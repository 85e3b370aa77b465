"""Masks that other processes compare with their references."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from semivox.elsewhere.bundles import results_of
from semivox.engines import Needs, Tell
from semivox.evaluation import Policy
from semivox.evaluation.folders import Rows, score_pair
from semivox.evaluation.pairs import Pair, Pairs, match_folders


def scored_elsewhere(
    on: str,
    predictions: Path,
    labels: Path,
    matched: Pairs,
    tolerance_mm: float,
    policy: Policy,
    progress: Callable[[int, int], None] | None,
) -> list[Rows]:
    """The metrics of each pair of ``matched``, by the engine of ``--on``. Raises the first error."""
    folders = {"predictions": str(predictions.absolute()), "labels": str(labels.absolute())}
    common = {**folders, "tolerance_mm": tolerance_mm, "policy": policy}
    found: dict[str, Rows] = {}

    def plain(pair: Pair) -> dict[str, str]:
        return {"name": pair.case}

    pairs = iter(matched.pairs)
    for pair, result in results_of(on, Needs(), predictions / "engine", "scores", common, pairs, plain):
        if isinstance(result, Exception):
            raise result
        found[pair.case] = result
        if progress is not None:
            progress(len(found), len(matched.pairs))
    return [found[pair.case] for pair in matched.pairs]


def do_score(
    tell: Tell,
    predictions: str,
    labels: str,
    tolerance_mm: float,
    policy: Policy,
    pieces: Sequence[Mapping[str, str]],
) -> list[Rows]:
    """In the other process, which matches the folders again: only names and headers are read for it."""
    matched, pairs = _matched(predictions, labels)
    return [
        score_pair(pairs[each["name"]], matched=matched, tolerance_mm=tolerance_mm, policy=policy)
        for each in pieces
    ]


@lru_cache(maxsize=1)
def _matched(predictions: str, labels: str) -> tuple[Pairs, dict[str, Pair]]:
    matched = match_folders(Path(predictions), Path(labels))
    return matched, {pair.case: pair for pair in matched.pairs}
