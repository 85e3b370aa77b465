"""A cohort: the cases of a data folder, in order, and what its labels mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from semivox.cohort.regions import NONE, Regions
from semivox.errors import DataError


@dataclass(frozen=True)
class Case:
    """One scan. A case whose ``label`` is None has no label file; no label is opened to make a Case.

    ``annotated`` lists the label values annotated in this case (None: all). ``role`` is "" or one of
    "unlabeled" (its label file is not used) and "test" (kept out of training).
    """

    name: str
    images: tuple[Path, ...]
    label: Path | None = None
    patient: str = ""
    annotated: tuple[int, ...] | None = None
    role: str = ""

    @property
    def group(self) -> str:
        """The patient, or the case itself where none is named: splits, folds and intervals never cut it."""
        return self.patient or self.name


@dataclass(frozen=True)
class Naming:
    """How the image files of a case are named.

    ``numbered``: a name may end in a channel's number, which is no part of the case's name; else the whole
    stem is the name, and every file a case. ``files_per_case``: of how many files a case is made, 0 where
    nobody knows.
    """

    numbered: bool = True
    files_per_case: int = 0

    @classmethod
    def from_card(cls, card: Mapping[str, Any]) -> Naming:
        """Of a model's card. Earlier versions kept none; a model of one channel had one file a case."""
        kept = card.get("naming")
        if kept is None:
            return cls(True, 1 if len(card["channels"]) == 1 else 0)
        return cls(bool(kept["numbered"]), int(kept["files_per_case"]))


@dataclass(frozen=True)
class Cohort:
    """All cases in use, in cohort order. ``classes`` maps label value -> name, background excluded: what
    label files hold and a network tells apart. ``structures`` is what is judged; ``may_be_empty`` has their
    numbers.

    ``naming`` is how the names of its files were read. ``inferred``: which of "channels" and "classes" nobody
    declared, so that their names are made up and say nothing. ``left_out``: what the folder holds and no rule
    uses, as warnings.
    """

    root: Path
    cases: tuple[Case, ...]
    channels: tuple[str, ...]
    classes: Mapping[int, str]
    ignore: int | None = None
    file_ending: str = ".nii.gz"
    may_be_empty: tuple[int, ...] = ()
    spacing_known: bool = True
    codes: Mapping[str, object] = field(default_factory=dict)
    colours: Mapping[str, object] = field(default_factory=dict)
    naming: Naming = Naming()
    inferred: frozenset[str] = frozenset()
    left_out: tuple[DataError, ...] = ()
    regions: Regions = NONE

    @property
    def structures(self) -> Mapping[int, str]:
        """Number -> name: of the regions, or label value -> name of the classes where there are none."""
        return self.regions.names if self.regions else self.classes

    def structures_of(self, case: Case) -> tuple[int, ...]:
        """Numbers of the structures that are annotated in a case."""
        if case.annotated is None:
            return tuple(sorted(self.structures))
        return self.regions.annotated(case.annotated) if self.regions else case.annotated

    @property
    def values(self) -> tuple[int, ...]:
        """Label values of the foreground classes, ascending; class index k (from 1) is ``values[k - 1]``."""
        return tuple(sorted(self.classes))


@dataclass(frozen=True)
class Split:
    """Which cases are labelled in a run; every other training case is unlabelled, whatever files it has."""

    labeled: tuple[Case, ...]
    unlabeled: tuple[Case, ...]


def is_ct(channel: str) -> bool:
    """Whether a channel's name says computed tomography: ``ct`` as a word, in any case."""
    return _has_word(channel, "ct")


def is_no_ct(channel: str) -> bool:
    """Whether a channel's name says another kind of image."""
    magnetic = r"mri?|t[12](w|ce|gd|c)?|flair|dwi|adc|swi|bold|cine|lge"
    return _has_word(channel, rf"{magnetic}|pet|us|ultrasound|r|g|b|red|green|blue|gr[ae]y")


def _has_word(channel: str, words: str) -> bool:
    return re.search(rf"(?<![a-z0-9])({words})(?![a-z0-9])", channel.lower()) is not None
