"""In which order scans are offered: as ``rank`` chose them, then as it ordered the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from semivox.errors import DataError
from semivox.files import read_json
from semivox.ranking.record import JSON, RankingContent


@dataclass(frozen=True)
class Ranked:
    """Scan -> why it is worth a label, in the order in which they are offered; by which model."""

    reasons: Mapping[str, str]
    model_id: str | None


NOTHING = Ranked({}, None)


def read_ranking(folder: Path) -> Ranked:
    """What ``rank`` wrote there; :data:`NOTHING` where there is none that can be read."""
    path = folder / JSON
    if not path.is_file():
        return NOTHING
    try:
        content = read_json(path, kind=RankingContent)
    except DataError:
        return NOTHING
    rows = sorted(content["cases"], key=lambda row: (row["chosen"] is None, row["chosen"] or 0, row["rank"]))
    return Ranked({row["case"]: row["reason"] for row in rows}, content["model_id"])


def in_turn(names: Sequence[str], ranked: Ranked, later: Iterable[str]) -> list[str]:
    """``names`` in the order in which they are offered; ``later`` (skipped) ones come last."""
    places = {name: place for place, name in enumerate(ranked.reasons)}
    put_off = set(later)
    own = {name: place for place, name in enumerate(names)}
    return sorted(names, key=lambda name: (name in put_off, places.get(name, len(places)), own[name]))
