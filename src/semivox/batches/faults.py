"""What makes a stream impossible, said before the first batch."""

from __future__ import annotations

from semivox.batches.stream import Stream, group_size

VIEWS = ("weak", "strong", "intensity", "recrop")


def stream_fault(stream: Stream, cases: int, unlabeled: int, bank: bool) -> str | None:
    """Why this stream cannot be, or None.

    ``cases``: how many it draws from, ``unlabeled``: how many of them are not labelled; ``bank``: whether
    pseudo-labels are at hand.
    """
    pseudo = stream.target in ("pseudo", "either")
    if not cases:
        return f"there are no {stream.cases} cases" if stream.cases != "all" else "there are no cases"
    if unknown := [view for view in stream.views if view not in VIEWS]:
        return f"unknown views {unknown}, known are {list(VIEWS)}"
    if stream.size % group_size(stream):
        return f"where={stream.where!r} makes pairs, and {stream.size} crops a step is an odd number"
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
    return None
