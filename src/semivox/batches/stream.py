"""What a method asks of the sampler: one stream of crops, and what makes a stream impossible."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Literal, get_args

from semivox.devices import share
from semivox.losses import SdmForm

Cases = Literal["labeled", "unlabeled", "all"]
Target = Literal["label", "pseudo", "either"]
Where = Literal["random", "foreground", "body", "shared_classes"]


@dataclass(frozen=True)
class Stream:
    """A stream of crops.

    cases: which cases it draws from, each once an epoch.
    size: crops a step.
    views: names of the views to make of each crop. ``weak``: geometry only, with the mild gain, offset and
        noise every training view gets; ``strong``: the same geometry with strong intensity changes;
        ``intensity``: a second, independent draw of ``weak``'s intensity changes; ``recrop``: another crop
        of the same case with its own place and geometry (target, valid, sdm and box are the other views').
    target: ``label`` gives class fractions (labelled cases only), ``pseudo`` those of the newest relabelling
        (unlabelled cases only), ``either`` whichever a case has; None gives none.
    where: where crops are centred: ``random``; ``foreground``: two thirds on a foreground voxel of a random
        class; ``body``: on a voxel of the body rather than of the air around it; ``shared_classes``: samples
        2j and 2j + 1 are two cases that share a foreground class, both centred on a voxel of one they share.
    sdm: also give signed distance targets (needs ``target``); True: of the run's form, or a form by name.
    part: (i, k): only part i of k of these cases, cut by patient, the same all through the run.
    confidence: pseudo-labelled voxels below this confidence are not valid.
    weighted: a pseudo-labelled voxel's ``valid`` is its weight in 0..1: how sure it is among those of its
        class, times the weight of its scan.
    surest: only this share of the pseudo-labelled cases (at least one group of samples): those whose views
        agreed most when they were labelled.
    """

    cases: Cases
    size: int
    views: tuple[str, ...] = ("weak",)
    target: Target | None = None
    where: Where = "random"
    sdm: bool | SdmForm = False
    part: tuple[int, int] = (0, 1)
    confidence: float = 0.0
    weighted: bool = False
    surest: float = 1.0
    exchange: float = 0.0
    exchange_side: float = 2 / 3


def group_size(stream: Stream) -> int:
    """How many neighbouring samples of the stream belong together, in one process."""
    return 2 if stream.where == "shared_classes" or stream.exchange else 1


def rows_of(stream: Stream, rank: int, ranks: int) -> range:
    """Which samples of the stream's batch process ``rank`` of ``ranks`` makes; pairs stay together."""
    group = group_size(stream)
    groups = share(-(-stream.size // group), rank, ranks)
    return range(*(min(group * end, stream.size) for end in (groups.start, groups.stop)))


VIEWS = ("weak", "strong", "intensity", "recrop")
WORDS = {
    "cases": get_args(Cases),
    "target": (*get_args(Target), None),
    "where": get_args(Where),
    "sdm": (*get_args(SdmForm), True, False),
}
"""What these fields may be."""


def stream_fault(stream: Stream, cases: int, unlabeled: int, bank: bool) -> str | None:
    """Why this stream cannot be, or None.

    ``cases``: how many it draws from, ``unlabeled``: how many of them are not labelled; ``bank``: whether
    pseudo-labels are at hand.
    """
    pseudo = stream.target in ("pseudo", "either")
    for name, known in WORDS.items():
        if (value := getattr(stream, name)) not in known:
            return f"unknown {name}={value!r}, known are {list(known)}"
    if not isinstance(stream.size, Integral) or stream.size < 0:
        return f"size is {stream.size!r}, and must be a whole number from 0 on"
    if not cases:
        return f"there are no {stream.cases} cases" if stream.cases != "all" else "there are no cases"
    if unknown := [view for view in stream.views if view not in VIEWS]:
        return f"unknown views {unknown}, known are {list(VIEWS)}"
    if stream.where == "shared_classes" and stream.size % 2:
        return f"where={stream.where!r} makes pairs, and {stream.size} crops a step is an odd number"
    if stream.exchange and (stream.sdm or "recrop" in stream.views):
        return "boxes of distance targets and of second crops cannot change places"
    for name in ("exchange", "exchange_side"):
        if not 0 <= getattr(stream, name) <= 1:
            return f"{name} is {getattr(stream, name)}, and must lie in 0..1"
    if stream.sdm and stream.target is None:
        return "distance targets need a target"
    if stream.target == "pseudo" and stream.cases != "unlabeled":
        return "target='pseudo' is for unlabelled cases; for labelled ones too it is target='either'"
    if stream.cases != "labeled" and not pseudo:
        if stream.target is not None or stream.where in ("foreground", "shared_classes"):
            return f"{stream.cases} cases have no labels, so neither targets nor foreground centres"
    elif unlabeled and pseudo and not bank:
        return f"target={stream.target!r} needs pseudo-labels, and none are given (see a stage's `relabel`)"
    if not 0 <= stream.confidence <= 1:
        return f"confidence is {stream.confidence}, and must lie in 0..1"
    if stream.confidence > 0 and not pseudo:
        return "confidence is that of pseudo-labels: it needs target='pseudo' or 'either'"
    if not 0 <= stream.surest <= 1:
        return f"surest is {stream.surest}, and must lie in 0..1"
    if stream.surest < 1 and stream.target != "pseudo":
        return "surest is a share of the pseudo-labelled cases: it needs target='pseudo'"
    return None
