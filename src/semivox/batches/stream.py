"""What a method asks of the sampler: one stream of crops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from semivox.losses.distance import SdmForm


@dataclass(frozen=True)
class Stream:
    """A stream of crops.

    cases: which cases it draws from, each once an epoch.
    size: crops a step.
    views: names of the views to make of each crop. ``weak``: geometry only, with the mild gain, offset and
        noise every training view gets; ``strong``: the same geometry with strong intensity changes;
        ``intensity``: a second, independent draw of ``weak``'s intensity changes.
    target: ``label`` gives class fractions (labelled cases only), None gives none.
    where: where crops are centred: ``random``; ``foreground``: two thirds on a foreground voxel of a random
        class; ``body``: on a voxel of the body rather than of the air around it.
    sdm: also give signed distance targets (needs ``target``); True: of the run's form, or a form by name.
    """

    cases: Literal["labeled", "unlabeled", "all"]
    size: int
    views: tuple[str, ...] = ("weak",)
    target: Literal["label"] | None = None
    where: Literal["random", "foreground", "body"] = "random"
    sdm: bool | SdmForm = False
